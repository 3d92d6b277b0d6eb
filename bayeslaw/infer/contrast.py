"""Contrasts: measured runs of other ways to train, kept with a fit whose laws were not fitted to
them, so that a plan can set them against what the laws say of the usual way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bayeslaw.runs import Runs

TWIN = ["sweep", "lineage", "params", "pretrain_tokens", "specialize_tokens", "domain"]
WAYS = ("joint", "scratch", "experts", "replay", "distill")


@dataclass(frozen=True)
class Contrast:
    """Runs of one way, a row for every domain that a model was measured on; columns of one length.

    way: `joint`, second stages on several domains at once; `scratch`, runs without a first stage;
    `experts`, branches of splits whose count K was noted; `replay`, branches with a share of
    general data; `distill`, with a weight on the predictions at the split. level: that count, share
    or weight; else not a number. domain: its number among the fit's.
    log_loss, and log_se: its relative standard error, 0 where none was measured. twin: the log loss
    of the run of the usual way from the same trunk with the same tokens (and on the same branch);
    not a number where there is none.
    """

    way: str
    params: np.ndarray
    pretrain_tokens: np.ndarray
    specialize_tokens: np.ndarray
    level: np.ndarray
    domain: np.ndarray
    lineage: np.ndarray
    log_loss: np.ndarray
    log_se: np.ndarray
    twin: np.ndarray

    def __len__(self) -> int:
        return len(self.params)

    def to_json(self) -> dict[str, Any]:
        columns = {n: v.tolist() for n, v in vars(self).items() if n != "way"}
        # JSON has no word for what is not a number.
        return {
            "way": self.way,
            **{n: [None if x != x else x for x in v] for n, v in columns.items()},
        }

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> Contrast:
        columns = {n: np.array(v, float) for n, v in said.items() if n != "way"}
        whole = {n: columns[n].astype(int) for n in ("domain", "lineage")}
        return cls(said["way"], **{**columns, **whole})


def contrasts_of(runs: Runs, domains: tuple[str, ...], own: bool = True) -> tuple[Contrast, ...]:
    """What a table says of other ways to train, on these domains; ways without a run are left out.
    own: of branches on their own domain; else of `distill` on the others, which no law knows.

    Joint runs with replay or distillation are another recipe, and are not among them.
    """
    t = runs.table[runs.table["domain"].isin(domains)]
    split, recipe = t["specialize_tokens"] > 0, t["recipe"].replace("", "plain")
    here = t["branch"] == t["domain"] if own else (t["branch"] != t["domain"]) & (t["branch"] != "")
    usual = split & (recipe == (runs.recipes or ("",))[0]) & here
    clean = ~(t["replay"] > 0) & ~(t["distill"] > 0)
    rows = {
        "joint": split & (recipe == "joint") & (t["pretrain_tokens"] > 0) & clean,
        "scratch": split & (recipe == "scratch") & here & clean,
        "experts": usual & (t["experts"] > 0),
    }
    for way, other in (("replay", "distill"), ("distill", "replay")):
        alone = (t[way] > 0) & ~(t[other] > 0) & (recipe == way)
        # What the laws' own rows are is no other way.
        rows[way] = split & here & alone & ~usual
    rows["experts"] &= t.loc[rows["experts"], "experts"].nunique() > 1  # or nothing to compare
    key, ways = (TWIN, WAYS) if own else ([*TWIN, "branch"], ("distill",))
    plain = t[usual].drop_duplicates(key).set_index(key)["loss"]
    return tuple(_contrast(way, t[rows[way]], plain, domains) for way in ways if rows[way].any())


def _contrast(way: str, t: pd.DataFrame, plain: pd.Series, domains: tuple[str, ...]) -> Contrast:
    loss = t["loss"].to_numpy(float)
    twin = np.full(len(t), np.nan)
    if way in ("joint", "replay", "distill"):
        key = list(plain.index.names)
        twin = np.log(plain.reindex(pd.MultiIndex.from_frame(t[key])).to_numpy(float))
    return Contrast(
        way,
        t["params"].to_numpy(float),
        t["pretrain_tokens"].to_numpy(float),
        t["specialize_tokens"].to_numpy(float),
        t[way].to_numpy(float) if way in t else np.full(len(t), np.nan),
        np.array([domains.index(d) for d in t["domain"]]),
        t.groupby(["sweep", "lineage"]).ngroup().to_numpy(),
        np.log(loss),
        np.nan_to_num(t["loss_se"].to_numpy(float)) / loss,
        twin,
    )
