"""Which laws a table allows, which of its rows each is fitted to, and why others are left out."""

from __future__ import annotations

import numpy as np

from bayeslaw.errors import FitError
from bayeslaw.infer.model import inputs_of
from bayeslaw.laws import LAWS, Law
from bayeslaw.runs import Runs


def spoken_of(runs: Runs, law: Law) -> Runs:
    """The rows that a law is fitted to; there may be none.

    Where second stages were done in several ways those of one are taken (`Runs.recipes`), and by a
    law of replay those with replay too.
    """
    runs = runs.of_recipes([*runs.recipes[:1], *(["replay"] if "replay" in law.inputs else [])])
    t = runs.table
    split, own = t["specialize_tokens"] > 0, t["branch"] == t["domain"]
    kept = ~split | own if law.rows == "own branch" else ~split | ~own
    if law.two_stage:
        # A domain without a branch says nothing about the second stage.
        kept &= t["domain"].isin(set(t.loc[split & kept, "domain"])) | (not (split & kept).any())
        if "specialize_tokens" not in law.may_be_zero:
            kept &= split
    return runs.select(kept.to_numpy())


def allowed(runs: Runs) -> list[Law]:
    """The laws that `fit` takes when none is named. Raises `FitError` when there are none."""
    reasons = left_out(runs)
    laws = [LAWS[name] for name in LAWS if name not in reasons]
    if not laws:
        said = "\n  ".join(f"{name}: {why}" for name, why in reasons.items())
        raise FitError(f"no law's inputs are in this table:\n  {said}")
    return laws


def left_out(runs: Runs) -> dict[str, str]:
    """Law -> why `fit` does not take it by itself. A law that is named is fitted all the same,
    where its rows are there."""
    reasons = {name: _why_not(runs, LAWS[name]) for name in LAWS}
    return {name: why for name, why in reasons.items() if why}


def _why_not(runs: Runs, law: Law) -> str:
    if law.rows != "own branch":
        if not len(runs.off_branch()):
            return "no row is of a branch on another domain"
        return "speaks of branches on other domains, the rest of branches on their own: name it"
    x = inputs_of(runs.on_branch().table)
    split = (x.specialize_tokens > 0).any()
    if law.two_stage and not split:
        return "specialize_tokens is never more than 0"
    if not law.two_stage and split:
        return "specialize_tokens is not among its inputs"
    if "unique_tokens" in law.inputs and not (x.unique_tokens < x.pretrain_tokens).any():
        return "no run repeats its tokens (unique_tokens < pretrain_tokens)"
    if "replay" in law.inputs and not (runs.table["replay"] > 0).any():
        return "replay is never more than 0"
    if "pretrain_tokens" not in law.inputs and _varies(x.params, x.pretrain_tokens):
        return "pretrain_tokens varies within a size, and is not among its inputs"
    return ""


def _varies(within: np.ndarray, values: np.ndarray) -> bool:
    return len(np.unique(np.stack([within, values]), axis=1).T) > len(np.unique(within))
