"""Text sent to branches: by a label, by n-grams of the domains, by its loss on a prefix; what that
costs, and what a mixture of all branches would have done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bayeslaw.corpus import Corpus
from bayeslaw.errors import TaskError
from bayeslaw.evaluate.coder import Coder
from bayeslaw.evaluate.scorer import continuations, token_losses
from bayeslaw.evaluate.sender import Sender, grams
from bayeslaw.evaluate.suite import PIECE
from bayeslaw.evaluate.system import System

SCHEMA = 1
PIECES = 200  # of held-out text, of each domain
PREFIX = 64  # tokens that a router sees
ROUTERS = ("label", "text", "loss")


@dataclass(frozen=True)
class Routed:
    """What one way of sending text came to. accuracy: share of pieces that went to their domain's
    branch, each domain counting by its weight. loss: Σ wₖ Lₖ, nats/token, and its standard error
    over pieces; each: (domain,). confusion: ρ, (domain, branch), rows sum to 1; None where nothing
    is sent: one model, or a mixture."""

    name: str
    loss: float
    se: float
    each: np.ndarray
    accuracy: float | None = None
    confusion: np.ndarray | None = None


@dataclass(frozen=True)
class Routing:
    """The routers on one system. losses: L, (domain, branch), of text after the prefix. by: the
    router whose confusion a plan would be priced with."""

    system: System
    prefix: int
    pieces: int
    weights: np.ndarray
    losses: np.ndarray
    ways: tuple[Routed, ...]
    by: str = "text"

    def way(self, name: str) -> Routed:
        return next(w for w in self.ways if w.name == name)

    def to_json(self) -> dict[str, Any]:
        s, names = self.system, self.system.domains
        label = self.way("label").loss

        def matrix(values: np.ndarray) -> dict[str, dict[str, float]]:
            return {d: dict(zip(names, map(float, row), strict=True))
                    for d, row in zip(names, values, strict=True)}  # fmt: skip

        def said(w: Routed) -> dict[str, Any]:
            return {
                "router": w.name, "accuracy": w.accuracy, "loss": w.loss, "se": w.se,
                "costs": w.loss - label,
                "domains": dict(zip(names, map(float, w.each), strict=True)),
                "confusion": None if w.confusion is None else matrix(w.confusion),
            }  # fmt: skip

        b = s.branches[0]
        by = self.way(self.by).confusion
        return {
            "schema": SCHEMA,
            "system": s.name,
            "generalist": s.generalist and s.generalist.run_id,
            "params": b.params,
            "pretrain_tokens": b.pretrain_tokens,
            "specialize_tokens": b.specialize_tokens,
            "flops": {"system": s.flops, "generalist": s.generalist and s.generalist.flops},
            "prefix": self.prefix,
            "pieces": self.pieces,
            "weights": dict(zip(names, map(float, self.weights), strict=True)),
            "losses": matrix(self.losses),
            "by": self.by,
            "confusion": None if by is None else matrix(by),
            "routers": [said(w) for w in self.ways],
        }


def pieces_of(tokens: np.ndarray, most: int) -> np.ndarray:
    """Pieces of a text, evenly spaced: (piece, `PIECE`). Raises `TaskError` where it has none."""
    count = len(tokens) // PIECE
    if not count:
        raise TaskError(f"{len(tokens)} tokens of text: fewer than one piece of {PIECE}")
    chosen = np.linspace(0, count - 1, min(count, most)).astype(int)
    return np.asarray(tokens[: count * PIECE]).reshape(-1, PIECE)[chosen]


def measure(
    system: System,
    corpus: Corpus,
    prefix: int = PREFIX,
    pieces: int = PIECES,
    weights: Mapping[str, float] | None = None,
    by: str = "text",
    sender: Sender | None = None,
) -> Routing:
    """Send held-out pieces of every domain by their first `prefix` tokens, and judge the models on
    the rest: by the label; by the domains' n-grams, or a `sender` (`text`); to the branch of least
    loss (`loss`); a mixture of all branches, weighed by Bayes' rule token by token; the generalist.

    Raises `TaskError` for a prefix that leaves nothing, and for a domain without held-out text.
    """
    if not 1 <= prefix < PIECE:
        raise TaskError(f"a prefix is 1 to {PIECE - 1} tokens, got {prefix}")
    if by not in ROUTERS:
        raise TaskError(f"router '{by}' is not one of {', '.join(ROUTERS)}")
    names = system.domains
    share = np.array([(weights or {}).get(d, 1.0) for d in names], float)
    if unknown := set(weights or {}) - set(names):
        raise TaskError(f"weight of unknown domain {', '.join(sorted(unknown))}; "
                        f"there is {', '.join(names)}")  # fmt: skip
    if not (share >= 0).all() or not share.sum() > 0:
        raise TaskError("weights must be 0 or more, and one of them more")
    share = share / share.sum()
    held = {d.name: pieces_of(d.heldout, pieces) for d in corpus.domains if d.name in names}
    owner = np.repeat(np.arange(len(names)), [len(held[d]) for d in names])
    rows = np.concatenate([held[d] for d in names])
    losses = np.stack([token_losses(m.load()[0], rows) for m in system.branches], 1)
    sender = sender or grams(corpus, names)
    sent = {
        "label": owner,
        "text": sender([r[:prefix] for r in rows]),
        "loss": by_loss(losses[..., : prefix - 1]),
    }
    after = losses[..., prefix - 1 :].mean(-1)  # (piece, branch)
    here = np.arange(len(rows))
    ways = [_routed(n, after[here, to], owner, share, to) for n, to in sent.items()]
    mixed = mixture(losses)[:, prefix - 1 :].mean(-1)
    ways.append(_routed("mixture", mixed, owner, share))
    if system.generalist is not None:
        alone = token_losses(system.generalist.load()[0], rows)[:, prefix - 1 :].mean(-1)
        ways.append(_routed("generalist", alone, owner, share))
    table = np.stack([after[owner == k].mean(0) for k in range(len(names))])
    return Routing(system, prefix, pieces, share, table, tuple(ways), by)


def sent(
    system: System,
    texts: Sequence[str],
    coder: Coder,
    sender: Sender,
    by: str = "text",
    prefix: int = PREFIX,
) -> dict[str, Any]:
    """Where each text goes, by its first `prefix` tokens: `text`, or `loss`."""
    if not texts:
        raise TaskError("no documents to send")
    starts = [coder.encode(t)[:prefix] for t in texts]
    if by == "text":
        to = sender(starts)
    else:
        pairs: list[Any] = [([], start) for start in starts]
        each = [continuations(m.load()[0], pairs) for m in system.branches]
        to = np.array([[s.log_likelihood for s in branch] for branch in each]).argmax(0)
    routes = [
        {"branch": system.domains[j], "run_id": system.branches[j].run_id} for j in map(int, to)
    ]
    return {"schema": SCHEMA, "system": system.name, "by": by, "prefix": prefix, "routes": routes}


def by_loss(losses: np.ndarray) -> np.ndarray:
    """The branch of least loss on a prefix, (piece,), from losses (piece, branch, token); of a
    prefix without a loss the first."""
    return losses.sum(-1).argmin(-1)


def mixture(losses: np.ndarray) -> np.ndarray:
    """-log Σⱼ wⱼ pⱼ(token), (piece, token), from the branches' (piece, branch, token).

    wⱼ ∝ exp(-loss of j on all tokens before): Bayes' rule from equal weights. Over a whole piece
    that is at most log K above the best branch, K their number.
    """
    before = np.cumsum(losses, -1) - losses
    weight = -before - np.max(-before, axis=1, keepdims=True)
    weight -= np.log(np.exp(weight).sum(1, keepdims=True))
    return -np.log(np.exp(weight - losses).sum(1))


def _routed(
    name: str, loss: np.ndarray, owner: np.ndarray, share: np.ndarray, to: np.ndarray | None = None
) -> Routed:
    """loss: (piece,) of what each piece was sent to."""
    k = len(share)
    mine = [loss[owner == j] for j in range(k)]
    each = np.array([m.mean() for m in mine])
    var = np.array([m.var(ddof=1) / len(m) if len(m) > 1 else np.nan for m in mine])
    found = Routed(name, float(share @ each), float(np.sqrt(share**2 @ var)), each)
    if to is None:
        return found
    rho = np.stack([np.bincount(to[owner == j], minlength=k) / len(mine[j]) for j in range(k)])
    return replace(found, accuracy=float(share @ np.diag(rho)), confusion=rho)
