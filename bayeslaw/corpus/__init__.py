"""Where text comes from: one file per source, one line per source in `SOURCES`."""

from collections.abc import Callable

from bayeslaw.corpus.domain import BUILD, Corpus, Domain, build
from bayeslaw.corpus.folder import folder
from bayeslaw.corpus.hub import hub
from bayeslaw.corpus.markov import markov
from bayeslaw.corpus.python_installation import python_installation
from bayeslaw.corpus.shards import read_shards, write_shards
from bayeslaw.corpus.synthetic import synthetic

__all__ = [
    "BUILD", "SOURCES", "Corpus", "Domain", "build", "folder", "hub", "markov",
    "python_installation", "read_shards", "synthetic", "write_shards",
]  # fmt: skip

SOURCES: dict[str, Callable[..., Corpus]] = {
    "python": python_installation, "synthetic": synthetic, "markov": markov, "folder": folder,
    "datasets": hub,
}  # fmt: skip
