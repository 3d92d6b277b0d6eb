"""The text of a sweep: built once, kept beside the cells, and enough for what is asked of it."""

from __future__ import annotations

import hashlib
import json
import platform
from pathlib import Path
from typing import Any

from bayeslaw.corpus import BUILD, SOURCES, Corpus, Domain, read_shards, write_shards
from bayeslaw.corpus.bpe import bpe, tokenized
from bayeslaw.errors import SweepError
from bayeslaw.sweep import SweepSpec
from bayeslaw.sweep.design import Model, models
from bayeslaw.train.data import cut, general, special

FEWEST = 28  # held-out windows: a quarter of them still has an error beside four coefficients


def gather(spec: SweepSpec, folder: Path, keep: bool = True) -> tuple[Corpus, tuple[Domain, ...]]:
    """The corpus, kept in `folder`/work if `keep`, and those of its domains that the sweep is on.

    Raises `SweepError` for a domain that is not there and for text that would repeat.
    """
    corpus = _corpus(spec, folder, keep)
    domains = _chosen(spec, corpus)
    _enough(spec, domains, corpus.vocabulary)
    return corpus, domains


def _chosen(spec: SweepSpec, corpus: Corpus) -> tuple[Domain, ...]:
    unknown = sorted(set(spec.domains) - set(corpus.names))
    if unknown:
        left = dict(corpus.manifest.get("left_out", {}))  # type: ignore[call-overload]
        why = "".join(f"; '{n}' has only {left[n]} bytes" for n in unknown if n in left)
        raise SweepError(f"the corpus has no domain {', '.join(unknown)}; "
                         f"it has {', '.join(corpus.names)}{why}")  # fmt: skip
    return tuple(d for d in corpus.domains if not spec.domains or d.name in spec.domains)


def _enough(spec: SweepSpec, domains: tuple[Domain, ...], vocabulary: int) -> None:
    """No token is read more often than `epochs`, and D′ stays within .8 of a domain's text."""
    rule, epochs = spec.rule, spec.epochs
    wanted = models(spec, tuple(d.name for d in domains), vocabulary)
    if spec.heldout_tokens < (fewest := FEWEST * rule.context):
        raise SweepError(f"heldout_tokens {spec.heldout_tokens} are too few windows for a standard "
                         f"error; ask for at least {fewest}")  # fmt: skip
    faults: dict[str, None] = {}
    have = int(epochs * general(domains, rule.context, rule.batch, 0).tokens())
    longest = 0 if spec.start else max(m.pretrain_tokens for m in wanted)
    if longest > have:
        faults[f"pretrain_tokens {longest} of {have} in the mixture"] = None
    asked: dict[tuple[str, str], Model] = {}  # the longest second stage of each kind
    for m in wanted:
        key = (m.branch, m.second.label if m.second else "")
        if key not in asked or m.specialize_tokens > asked[key].specialize_tokens:
            asked[key] = m
    for d in domains:
        for m in asked.values():
            second, tokens = m.second, m.specialize_tokens
            if second is None or second.recipe == "importance":
                continue
            if m.branch not in ("joint", d.name):
                continue
            text = special(d, rule.context, rule.batch, 0, second.target_bytes)
            most = int(epochs * (1.0 if second.target_bytes else 0.8) * text.tokens())
            share = 1 - second.replay
            if m.branch == "joint":
                weights = second.weights or dict.fromkeys((d.name for d in domains), 1.0)
                share *= weights.get(d.name, 0.0) / sum(weights.values())
            if share * tokens > most:
                faults[
                    f"specialize_tokens {tokens} of {int(most / share)} (.8 of what there "
                    f"is) in '{d.name}'"
                ] = None
            if second.replay and (both := int(longest + second.replay * tokens)) > have:
                faults[f"replay: {both} of {have} in the mixture"] = None
        have_held = len(cut(d.heldout, rule.context)) * rule.context
        if spec.heldout_tokens > have_held:
            faults[f"heldout_tokens {spec.heldout_tokens} of {have_held} in '{d.name}'"] = None
    if faults:
        raise SweepError("the corpus is too small: " + "; ".join(faults)
                         + ". Ask for fewer tokens, or allow more epochs")  # fmt: skip


def corpus_folder(spec: SweepSpec, folder: Path) -> Path:
    about: list[Any] = [BUILD, spec.corpus, spec.corpus_options, platform.python_version()]
    if spec.vocabulary > 256:
        about.append(spec.vocabulary)
    if (begun := spec.begun) and begun.tokenizer:
        said = hashlib.sha256(begun.tokenizer.read_bytes()).hexdigest()
        about.append([said, begun.shape.vocabulary])
    if "path" in spec.corpus_options:  # text that was changed is another corpus
        root = Path(str(spec.corpus_options["path"]))
        files = sorted(f for f in root.rglob("*") if f.is_file())
        about.append([(f.name, f.stat().st_size, f.stat().st_mtime_ns) for f in files])
    wanted = json.dumps(about, sort_keys=True)
    name = hashlib.sha256(wanted.encode()).hexdigest()[:12]
    return folder / "work" / f"corpus-{name}"


def _corpus(spec: SweepSpec, folder: Path, keep: bool) -> Corpus:
    """The corpus, built once and kept beside the cells."""
    place = corpus_folder(spec, folder)
    try:
        return read_shards(place)
    except (OSError, ValueError, KeyError):
        pass  # not there, or not whole
    if spec.corpus not in SOURCES:
        raise SweepError(f"corpus '{spec.corpus}' is not one of {', '.join(SOURCES)}")
    try:
        corpus = SOURCES[spec.corpus](**spec.corpus_options)
    except (TypeError, ValueError, AttributeError) as error:
        raise SweepError(f"corpus_options do not fit corpus '{spec.corpus}': {error}") from None
    if not corpus.domains:
        left = corpus.manifest.get("left_out", {})
        raise SweepError(f"no domain of corpus '{spec.corpus}' is large enough: {left} bytes; "
                         "add text, or lower min_bytes")  # fmt: skip
    if spec.vocabulary > 256:
        corpus = bpe(corpus, spec.vocabulary)
    if (begun := spec.begun) and begun.tokenizer:
        corpus = tokenized(corpus, begun.tokenizer, begun.shape.vocabulary)
    if not keep:
        return corpus
    write_shards(corpus, place)
    return read_shards(place)
