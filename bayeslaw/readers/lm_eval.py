"""EleutherAI's lm_eval: `results*.json`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from bayeslaw.readers.document import read_document
from bayeslaw.readers.peek import Peek
from bayeslaw.readers.reader import ROW, Log, Reader
from bayeslaw.runs import Unreadable


class LmEval(Reader):
    """`results`: task -> metrics such as `bits_per_byte,none` and `bits_per_byte_stderr,none`.

    A task's loss is its bits/byte, or log byte_perplexity in nats/byte. Perplexities per word are
    of no unit that laws are fitted in, and accuracies are no losses: such tasks are counted.
    """

    name = "lm_eval"
    about = "lm_eval results*.json: bits/byte of every task that measures it"
    counted = "task"

    def recognises(self, peek: Peek) -> bool:
        return peek.has("results") and bool({"configs", "versions", "config"} & set(peek.document))

    def read(self, path: Path) -> Log:
        found = read_document(path)
        tasks = found.get("results") if isinstance(found, dict) else None
        if not isinstance(tasks, dict):
            raise Unreadable("no object 'results'; give the results*.json that lm_eval wrote")
        config = found.get("config") if isinstance(found.get("config"), dict) else {}
        shared = {
            "run_id": _model(found, config) or path.stem,
            "model_num_parameters": config.get("model_num_parameters"),
        }
        groups = found.get("groups") if isinstance(found.get("groups"), dict) else {}
        rows = []
        for i, (task, metrics) in enumerate(tasks.items()):
            loss = _loss(metrics) if isinstance(metrics, dict) and task not in groups else None
            if loss:
                rows.append({**shared, "domain": task, **loss, ROW: i})
        if not rows:
            raise Unreadable(
                f"none of its {len(tasks)} tasks has bits_per_byte or byte_perplexity; accuracies "
                "and word perplexities are no losses: evaluate a task of text, as wikitext"
            )
        left = len(tasks) - len(rows)
        notes = (f"{left} tasks or groups without a loss per byte left out",) if left else ()
        known = ("run_id", "domain", "loss", "loss_se", "unit")
        return Log(pd.DataFrame(rows), known, notes=notes)


def _model(found: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    """The model's name, or its `pretrained=` argument in files that are older."""
    arguments = config.get("model_args")
    if isinstance(arguments, str):
        arguments = dict(p.partition("=")[::2] for p in arguments.split(","))
    other = arguments.get("pretrained") if isinstance(arguments, dict) else None
    return str(found.get("model_name") or other or "")


def _loss(metrics: Mapping[str, Any]) -> dict[str, Any] | None:
    # `bits_per_byte,none`: the name of a metric and of the filter before it; older: the name.
    plain = {str(k).partition(",")[0]: v for k, v in metrics.items()}
    se = plain.get("bits_per_byte_stderr")
    if "bits_per_byte" in plain:
        value, unit = plain["bits_per_byte"], "bits/byte"
        return {"loss": value, "loss_se": se if se != "N/A" else None, "unit": unit}
    perplexity = plain.get("byte_perplexity")
    if perplexity is None:
        return None
    sound = isinstance(perplexity, (int, float)) and perplexity > 0
    return {"loss": math.log(perplexity) if sound else perplexity, "unit": "nats/byte"}
