"""Measured runs: the points beside what was predicted."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from bayeslaw.infer.ensemble import Ensemble
from bayeslaw.infer.posterior import Posterior
from bayeslaw.runs import Runs

INPUTS = ("params", "pretrain_tokens", "specialize_tokens")


@dataclass(frozen=True)
class Measured:
    """Arrays over runs. on: the number of the domain that a loss was measured on; -1 where a file
    does not say."""

    params: np.ndarray
    pretrain_tokens: np.ndarray
    specialize_tokens: np.ndarray
    loss: np.ndarray
    on: np.ndarray

    @property
    def flops(self) -> np.ndarray:
        """6 N (D + D′)"""
        return 6 * self.params * (self.pretrain_tokens + self.specialize_tokens)

    def of(self, domain: int) -> Measured:
        """Those on one domain."""
        return self.where(self.on == domain)

    def where(self, mask: np.ndarray) -> Measured:
        return replace(self, **{name: v[mask] for name, v in vars(self).items()})


_NO = np.empty(0)
NONE = Measured(_NO, _NO, _NO, _NO, np.empty(0, int))


def measured(fitted: Ensemble | Posterior, runs: Runs | None = None) -> Measured:
    """The runs that a fit was made of; of `runs`, where they are given, those on its domains.

    None where a fit has none. Where a file does not say on which domain its runs were measured,
    give the runs to a plot of domains.
    """
    member = fitted if isinstance(fitted, Posterior) else fitted.members[0]
    if runs is not None:
        seen = runs.on_branch() if member.law.rows == "own branch" else runs.off_branch()
        t = seen.table[seen.table["domain"].isin(member.domains)]
        on = np.array([member.domains.index(d) for d in t["domain"]], int)
        n, d, split, loss = (t[name].to_numpy(float) for name in (*INPUTS, "loss"))
        return Measured(n, d, split, loss, on)
    data = member.tree.get("constant_data")
    if data is None:
        return NONE
    loss = np.exp(np.asarray(member.tree["observed_data"]["log_loss"], float))
    unknown = 0 if len(member.domains) == 1 else -1
    on = np.full(len(loss), unknown)
    if "measured_on" in data:
        on = np.asarray(data["measured_on"])
    n, d, split = (np.asarray(data[name], float) for name in INPUTS)
    return Measured(n, d, split, loss, on)
