"""Small logs of the shape that each tool writes, and the rows that they hold."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

LN2 = math.log(2.0)


def dump(value: Any) -> str:
    return json.dumps(value, indent=2)


def lines(*objects: Any) -> str:
    return "".join(json.dumps(o) + "\n" for o in objects)


@dataclass(frozen=True)
class Case:
    """A file, what must be said of it, and what comes of it.

    rows: (run_id, domain, D, loss in nats) of what is kept, early ones included.
    missing: our columns that the file does not hold.
    """

    reader: str
    file: str
    content: str | Callable[[Path], None]
    set: Mapping[str, Any]
    rows: list[tuple[str, str, float, float]]
    missing: tuple[str, ...]
    map: Mapping[str, str] = field(default_factory=dict)
    failed: int = 0  # rows kept out by their status
    unit: str = "nats/token"
    early: int = 0  # rows of the kept before the end of their run
    beside: Mapping[str, str] = field(default_factory=dict)  # other files of the same folder

    def write(self, folder: Path) -> Path:
        for name, text in self.beside.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        path = folder / self.file
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(self.content, str):
            path.write_text(self.content)
        else:
            self.content(path)
        return path


TRAINER = {
    "best_global_step": None,
    "best_metric": None,
    "best_model_checkpoint": None,
    "epoch": 1.0,
    "eval_steps": 500,
    "global_step": 1000,
    "is_hyper_param_search": False,
    "is_local_process_zero": True,
    "is_world_process_zero": True,
    "log_history": [
        {"epoch": 0.1, "grad_norm": 1.05, "learning_rate": 4.8e-06, "loss": 5.1677, "step": 100},
        {"epoch": 0.5, "eval_loss": 4.25, "eval_runtime": 92.01, "eval_samples_per_second": 22.67,
         "eval_steps_per_second": 1.42, "step": 500},
        {"epoch": 1.0, "eval_loss": 3.5, "eval_runtime": 92.09, "eval_samples_per_second": 22.65,
         "eval_steps_per_second": 1.42, "step": 1000},
        {"epoch": 1.0, "step": 1000, "total_flos": 1.07e18, "train_loss": 4.4,
         "train_runtime": 8203.88, "train_samples_per_second": 2.3, "train_steps_per_second": 0.1},
    ],
    "logging_steps": 100,
    "max_steps": 1000,
    "num_input_tokens_seen": 0,
    "num_train_epochs": 1,
    "save_steps": 500,
    "stateful_callbacks": {},
    "total_flos": 1.07e18,
    "train_batch_size": 8,
    "trial_name": None,
    "trial_params": None,
}  # fmt: skip
LM_EVAL = {
    "results": {
        "wikitext": {
            "alias": "wikitext",
            "word_perplexity,none": 37.37,
            "word_perplexity_stderr,none": "N/A",
            "byte_perplexity,none": 2.0,
            "byte_perplexity_stderr,none": "N/A",
            "bits_per_byte,none": 1.0,
            "bits_per_byte_stderr,none": "N/A",
        },
        "pile_github": {"alias": "pile_github", "bits_per_byte,none": 0.5,
                        "bits_per_byte_stderr,none": 0.01},
        "arc_easy": {"alias": "arc_easy", "acc,none": 0.43, "acc_stderr,none": 0.01},
    },
    "group_subtasks": {"wikitext": [], "pile_github": [], "arc_easy": []},
    "configs": {"wikitext": {"task": "wikitext", "output_type": "loglikelihood_rolling"}},
    "versions": {"wikitext": 2.0, "pile_github": 1.0, "arc_easy": 1.0},
    "n-shot": {"wikitext": 0, "pile_github": 0, "arc_easy": 0},
    "n-samples": {"wikitext": {"original": 62, "effective": 62}},
    "config": {
        "model": "hf",
        "model_args": "pretrained=org/small,dtype=bfloat16",
        "model_num_parameters": 124439808,
        "model_dtype": "torch.bfloat16",
        "batch_size": "8",
        "limit": None,
    },
    "git_hash": "a1b2c3d",
    "date": 1732600000.0,
    "transformers_version": "4.48.0",
    "model_source": "hf",
    "model_name": "org/small",
    "model_name_sanitized": "org__small",
    "total_evaluation_time_seconds": "61.2",
}  # fmt: skip
HPARAMS = {
    "tracker": "json_logger",
    "event": "hparams",
    "hparams": {"trainer": {"id": "small-a1", "train_batch_size": 256, "num_train_steps": 2000},
                "model": {"max_seq_len": 4096, "hidden_dim": 512}},
}  # fmt: skip


def levanter(step: int, metrics: Mapping[str, float]) -> dict[str, Any]:
    return {"tracker": "json_logger", "event": "log", "step": step, "metrics": metrics}


def history(path: Path) -> None:
    """As in the artifact of a run: one row a step, null where a metric was not logged."""
    pd.DataFrame(
        {
            "_step": [0, 100, 1000, 2000],
            "_timestamp": [1.7e9, 1.7e9 + 60, 1.7e9 + 600, 1.7e9 + 1200],
            "_runtime": [1.0, 60.0, 600.0, 1200.0],
            "train/loss": [10.8, 6.1, 4.0, 3.6],
            "eval/loss": [None, None, 4.1, 3.7],
            "train/num_input_tokens_seen": [0, 52428800, 524288000, 1048576000],
        }
    ).to_parquet(path, index=False)


CASES = {
    "wandb_table": Case(
        "wandb_table", "wandb_export.csv",
        '"Name","State","Notes","User","Tags","Created","Runtime","Sweep","hidden_size",'
        '"non_embedding_params","eval/loss","throughput/total_tokens","train/loss"\n'
        '"small","finished","-","me","","2025-01-02T03:04:05.000Z","3600","","512","19000000",'
        '"3.75","1000000000","3.6"\n'
        '"big","crashed","-","me","","2025-01-02T03:04:05.000Z","100","","1024","85000000",'
        '"5.5","100000000","5.4"\n'
        '"wild","finished","-","me","","2025-01-02T03:04:05.000Z","100","","1024","85000000",'
        '"NaN","900000000","NaN"\n'
        '"new","running","-","me","","2025-01-02T03:04:05.000Z","5","","512","19000000","","",""\n'
        '"dead","failed","-","me","","2025-01-02T03:04:05.000Z","5","","512","","11.0","",""\n',
        {}, [("small", "all", 1e9, 3.75)], (), failed=2,
    ),
    "wandb_history": Case(
        "wandb_history", "run-a1b2-history/0000.parquet", history, {"params": "19M"},
        [("run-a1b2-history", "all", 524288000, 4.1), ("run-a1b2-history", "all", 1048576000, 3.7)],
        ("params",), early=1,
    ),
    "wandb_history CSV": Case(
        "wandb_history", "small.csv",
        ",_step,_timestamp,_runtime,val/loss,train/loss\n0,0,1.7e9,1.0,10.9,10.8\n"
        "1,50,1.7e9,1.0,,6.1\n2,100,1.7e9,1.0,4.5,4.4\n",
        {"params": "19M", "tokens_per_step": "512k"}, [("small", "all", 51.2e6, 4.5)],
        ("params", "pretrain_tokens"),
    ),
    "wandb_chart": Case(
        "wandb_chart", "wandb_chart.csv",
        '"Step","small - eval/loss","small - eval/loss__MIN","small - eval/loss__MAX",'
        '"big - eval/loss","big - eval/loss__MIN","big - eval/loss__MAX"\n'
        '"1000","4.5","4.5","4.5","4.25","4.25","4.25"\n"2000","4","4","4","","",""\n',
        {"params": "19M", "tokens_per_step": "1M"},
        [("small", "all", 1e9, 4.5), ("small", "all", 2e9, 4.0), ("big", "all", 1e9, 4.25)],
        ("params", "pretrain_tokens"), early=1,
    ),
    "trainer_state": Case(
        "trainer_state", "small/checkpoint-1000/trainer_state.json", dump(TRAINER),
        {"params": "85M", "tokens_per_step": "1M"},
        [("small", "all", 5e8, 4.25), ("small", "all", 1e9, 3.5)], ("params", "pretrain_tokens"),
        early=1,
    ),
    "lm_eval": Case(
        "lm_eval", "org__small/results_2025-01-02T03-04-05.123456.json", dump(LM_EVAL),
        {"params": "85M", "pretrain_tokens": "10B"},
        [("org/small", "wikitext", 1e10, LN2), ("org/small", "pile_github", 1e10, LN2 / 2)],
        ("params", "pretrain_tokens"), unit="nats/byte",
    ),
    "levanter": Case(
        "levanter", "train.log",
        "2025-01-02 03:04:05 INFO Starting\n"
        + "".join(
            f"2025-01-02 03:04:05,123 - 0 - levanter.json_logger - INFO :: {line}\n"
            for line in lines(
                HPARAMS,
                {"tracker": "json_logger", "event": "summary",
                 "metrics": {"parameter_count": 5.1e7, "num_devices": 8}},
                levanter(1000, {"train/loss": 3.9, "throughput/total_tokens": 1.1e9}),
                levanter(1000, {"eval/loss": 3.5, "eval/paloma/c4_en/loss": 3.75,
                                  "eval/code/loss": 3.25, "eval/paloma/macro_loss": 3.75}),
                levanter(2000, {"train/loss": 3.6, "throughput/total_tokens": 2.2e9}),
                levanter(2000, {"eval/loss": 3.25, "eval/paloma/c4_en/loss": 3.5,
                                  "eval/code/loss": 3.0}),
            ).splitlines()
        ),
        {"params": "25M"},
        [("small-a1", "paloma/c4_en", 1.1e9, 3.75), ("small-a1", "paloma/c4_en", 2.2e9, 3.5),
         ("small-a1", "code", 1.1e9, 3.25), ("small-a1", "code", 2.2e9, 3.0)],
        ("params",), early=2,
    ),
    "levanter tracker_metrics": Case(
        "levanter", "small-a1/tracker_metrics.jsonl",
        lines({"config": HPARAMS["hparams"],
               "summary": {"_step": 1999, "eval/paloma/c4_en/loss": 3.5, "parameter_count": 5.1e7,
                           "throughput/total_tokens": 2.2e9, "train/loss": 3.6}}),
        {"params": "25M"}, [("small-a1", "paloma/c4_en", 2.2e9, 3.5)], ("params",),
    ),
    "json_lines": Case(
        "json_lines", "small.jsonl",
        lines({"step": 100, "loss": 6.5, "lr": 1e-3},
              {"step": 1000, "tokens": 5e8, "val": {"loss": 4.5}},
              {"step": 2000, "tokens": 1e9, "val": {"loss": 4.0}}),
        {"params": "19M"}, [("small", "all", 5e8, 4.5), ("small", "all", 1e9, 4.0)], ("params",),
        early=1,
    ),
    "mlflow_table": Case(
        "mlflow_table", "runs.csv",
        "Start Time,Duration,Run ID,Name,Source Type,Source Name,User,Status,batch_size,"
        "num_parameters,eval_loss,tokens\n"
        "2025-01-02 03:04:05,1.2h,0a1b,small,LOCAL,train.py,me,FINISHED,512,26000000,3.75,1e9\n"
        "2025-01-02 03:04:05,3.0min,0c1d,big,LOCAL,train.py,me,FAILED,512,99000000,5.5,1e8\n",
        {"params": "19M"}, [("0a1b", "all", 1e9, 3.75)], ("params",), failed=1,
    ),
    "mlflow_table search_runs": Case(
        "mlflow_table", "runs.csv",
        ",run_id,experiment_id,status,artifact_uri,start_time,end_time,metrics.eval_code_loss,"
        "metrics.train_loss,params.params,params.pretrain_tokens,tags.mlflow.runName\n"
        "0,0a1b,1,FINISHED,file:///x,2025-01-02,2025-01-03,3.75,3.6,19M,1B,small\n",
        {}, [("0a1b", "code", 1e9, 3.75)], (),
    ),
    "mlflow_metric": Case(
        "mlflow_metric", "mlruns/1/0a1b/metrics/eval/loss",
        "1735787045000 4.5 1000\n1735787046000 4.0 2000\n", {"tokens_per_step": "1M"},
        [("0a1b", "all", 1e9, 4.5), ("0a1b", "all", 2e9, 4.0)], ("pretrain_tokens",), early=1,
        beside={"mlruns/1/0a1b/meta.yaml": "run_id: 0a1b\nrun_name: small\nstatus: 3\ntags: []\n",
                "mlruns/1/0a1b/params/params": "19000000"},
    ),
    "tensorboard": Case(
        "tensorboard", "run-small-tag-eval_loss.csv",
        "Wall time,Step,Value\n1654943296.2150984,1000,4.5\n1654943313.7791796,2000,4.0\n",
        {"params": "19M", "tokens_per_step": "1M"},
        [("small", "all", 1e9, 4.5), ("small", "all", 2e9, 4.0)], ("params", "pretrain_tokens"),
        early=1,
    ),
    "tensorboard JSON": Case(
        "tensorboard", "run-small-tag-eval_code_loss.json",
        "[[1654943296.2150984, 1000, 4.5], [1654943313.7791796, 2000, 4.0]]",
        {"params": "19M", "tokens_per_step": "1M"},
        [("small", "code", 1e9, 4.5), ("small", "code", 2e9, 4.0)], ("params", "pretrain_tokens"),
        early=1,
    ),
}  # fmt: skip
