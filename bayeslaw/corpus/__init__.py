"""Where text comes from: one file per source, one line per source in `SOURCES`."""

from bayeslaw.corpus.domain import Corpus, Domain, build
from bayeslaw.corpus.python_installation import python_installation
from bayeslaw.corpus.synthetic import synthetic

__all__ = ["SOURCES", "Corpus", "Domain", "build", "python_installation", "synthetic"]

SOURCES = {"python": python_installation, "synthetic": synthetic}
