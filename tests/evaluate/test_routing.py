"""Routers on domains whose overlap is known; a mixture within its bound; systems found."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bayeslaw.corpus import Corpus, Domain, markov
from bayeslaw.corpus.markov import chain
from bayeslaw.errors import TaskError
from bayeslaw.evaluate.model_file import ModelFile
from bayeslaw.evaluate.routing import PIECE, _routed, by_loss, mixture, pieces_of
from bayeslaw.evaluate.sender import grams
from bayeslaw.evaluate.system import chosen, systems

NAMES = ("alpha", "beta", "gamma")


def texts(corpus: Corpus, count: int) -> tuple[np.ndarray, np.ndarray]:
    rows = [pieces_of(d.heldout, count) for d in corpus.domains]
    return np.concatenate(rows), np.repeat(np.arange(len(rows)), [len(r) for r in rows])


def true_losses(rows: np.ndarray, overlap: float) -> np.ndarray:
    """-log p of every letter under every domain's own chain: branches that know their domain."""
    chains = [np.log(chain(n, overlap, 16, 8.0)) for n in NAMES]
    now, after = rows[:, :-1].astype(int) - 97, rows[:, 1:].astype(int) - 97
    letter = (now >= 0) & (after >= 0)  # lines end between them
    return np.stack([np.where(letter, -c[now.clip(0), after.clip(0)], 0.0) for c in chains], axis=1)


@pytest.mark.parametrize(("overlap", "least", "most"), [(0.0, 1.0, 1.0), (1.0, 0.0, 0.5)])
def test_routers_are_perfect_on_domains_apart_and_blind_on_domains_that_are_one(
    overlap, least, most
):
    corpus = markov(NAMES, 120_000, overlap)
    rows, owner = texts(corpus, 25)
    told = grams(corpus, NAMES)([r[:64] for r in rows])
    assert least <= (told == owner).mean() <= most
    if overlap == 0:
        sent = by_loss(true_losses(rows, overlap)[..., :63])
        assert (sent == owner).all()


def test_a_longer_prefix_routes_better():
    corpus = markov(NAMES, 120_000, 0.9)
    rows, owner = texts(corpus, 25)
    losses = true_losses(rows, 0.9)
    right = [(by_loss(losses[..., :n]) == owner).mean() for n in (2, 30, 511)]
    assert right[0] < right[1] <= right[2]
    assert right[2] > 0.9


@pytest.mark.parametrize("overlap", [0.0, 0.5, 0.9])
def test_a_mixture_is_within_log_k_of_the_best_branch_of_a_piece(overlap):
    rows, _ = texts(markov(NAMES, 60_000, overlap), 10)
    losses = true_losses(rows, overlap)
    mixed, best = mixture(losses).sum(-1), losses.sum(-1).min(1)
    assert (mixed <= best + np.log(len(NAMES)) + 1e-9).all()
    # -log of the mean of the branches' probabilities of the whole piece, whatever the order
    whole = -np.logaddexp.reduce(-losses.sum(-1), axis=1) + np.log(len(NAMES))
    assert mixed == pytest.approx(whole, rel=1e-10)


def test_a_mixture_of_one_branch_three_times_is_that_branch():
    losses = np.random.default_rng(0).exponential(1.0, (4, 1, 20)).repeat(3, 1)
    assert mixture(losses) == pytest.approx(losses[:, 0], rel=1e-12)


def test_the_loss_of_a_system_is_that_of_where_its_text_went():
    owner, share = np.array([0, 0, 1, 1]), np.array([0.25, 0.75])
    loss = np.array([[1.0, 5.0], [1.0, 5.0], [4.0, 2.0], [4.0, 2.0]])
    here = np.arange(4)
    right = _routed("label", loss[here, owner], owner, share, owner)
    assert (right.loss, right.accuracy) == (0.25 * 1 + 0.75 * 2, 1.0)
    to = np.array([0, 1, 1, 1])
    half = _routed("loss", loss[here, to], owner, share, to)
    assert half.loss == pytest.approx(0.25 * (1 + 5) / 2 + 0.75 * 2)
    assert half.confusion == pytest.approx(np.array([[0.5, 0.5], [0.0, 1.0]]))
    assert half.accuracy == pytest.approx(0.25 * 0.5 + 0.75)


def test_texts_of_any_length_can_be_sent():
    corpus = markov(NAMES, 60_000, 0.0)
    rows, owner = texts(corpus, 3)
    mixed = [r[: 1 + 40 * (i % 3)] for i, r in enumerate(rows)]
    told = grams(corpus, NAMES)([*mixed, []])
    assert len(told) == len(rows) + 1
    long = np.array([len(m) > 1 for m in mixed])
    assert (told[:-1][long] == owner[long]).all()


def test_pieces_are_evenly_spaced_and_too_short_a_text_is_refused():
    text = np.arange(10 * PIECE + 7) // PIECE
    assert pieces_of(text, 4)[:, 0].tolist() == [0, 3, 6, 9]
    with pytest.raises(TaskError, match="fewer than one piece of 512"):
        pieces_of(text[:100], 4)


# --- systems


def model(branch: str, pretrain: float, split: float, params: float = 1e3, lineage: str = "t"):
    name = f"{lineage}-{pretrain:g}-{branch}-{split:g}"
    flops = 6 * params * (pretrain + split)
    return ModelFile(Path(name), name, "s", lineage, 0, params, pretrain, split, branch,
                     "plain" if branch else "", flops)  # fmt: skip


MODELS = [
    *(model(b, d, s) for b in NAMES for d in (1e4, 2e4) for s in (1e3, 4e3)),
    *(model("", d, 0) for d in (1e4, 2e4, 4e4)),
    *(model(b, 8e4, 4e3) for b in NAMES[:2]),  # one domain lacks its branch
]


def test_systems_are_trunks_with_a_branch_for_every_domain_dearest_first():
    found = systems(MODELS, NAMES)
    sizes = [(s.branches[0].pretrain_tokens, s.branches[0].specialize_tokens) for s in found]
    assert sizes == [(2e4, 4e3), (2e4, 1e3), (1e4, 4e3), (1e4, 1e3)]
    assert all(tuple(b.branch for b in s.branches) == NAMES for s in found)
    # 6 N (D + Σ D′): the trunk counts once
    assert [s.flops for s in found] == pytest.approx([6e3 * (d + 3 * s) for d, s in sizes])
    assert [s.generalist.pretrain_tokens for s in found] == [4e4, 2e4, 2e4, 1e4]


def test_a_system_is_chosen_by_name_and_none_is_told():
    name = "t-10000-split-1000"
    assert chosen(MODELS, NAMES, name).name == name
    assert chosen(MODELS, NAMES).name == "t-20000-split-4000"
    with pytest.raises(TaskError, match="no system 'x'; there is t-20000-split-4000, "):
        chosen(MODELS, NAMES, "x")
    with pytest.raises(TaskError, match="no trunk has a kept branch for each of alpha, delta"):
        chosen(MODELS, ("alpha", "delta"))


def test_domains_of_one_text_are_told_apart_by_nothing():
    text = np.frombuffer(b"the same words again and again. " * 64, np.uint8)
    corpus = Corpus(tuple(Domain(n, text, text, text) for n in "ab"), {})
    assert set(grams(corpus, ("a", "b"))([text[:40], text[:9]])) == {0}
