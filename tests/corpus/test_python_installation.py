"""The default source: what it takes from a module, and what it makes of a whole installation."""

from __future__ import annotations

import ast
import doctest
import json
from itertools import islice

import pytest

from bayeslaw.corpus import python_installation
from bayeslaw.corpus.domain import CHUNK, MIN_BYTES
from bayeslaw.corpus.python_installation import (
    TESTS,
    _apart,
    _files,
    _take_docstrings,
    licences,
)

MODULE = '''"""Top."""
# a remark
def f():
    """Inner.

    >>> f()
    1
    """
    return 1
if True:
    class A:
        """Deep."""
'''


def test_docstrings_are_taken_out_of_the_code():
    module = ast.parse(MODULE)
    assert [d.splitlines()[0] for d in _take_docstrings(module)] == ["Top.", "Inner.", "Deep."]
    code = ast.unparse(module)
    assert "Inner" not in code
    assert "remark" not in code
    assert ast.parse(code)


def test_examples_are_parted_from_prose():
    words, examples = _apart(doctest.DocTestParser(), "Adds.\n\n>>> 1 + 1\n2\n\nMore.\n")
    assert words.split() == ["Adds.", "More."]
    assert examples == ">>> 1 + 1\n2\n\n"


def test_what_is_too_small_is_said():
    corpus = python_installation(cap=50_000)
    assert corpus.names == ()
    names = {"code", "prose", "doctests", "names", "headers", "tests"}
    assert names == set(corpus.manifest["left_out"])


def test_tests_are_a_domain_of_their_own():
    apart, rest = set(_files({".py"}, tests=True)), set(_files({".py"}))
    assert apart
    assert not apart & rest
    assert all(TESTS & set(p.parts) for p in apart)


def test_licences_are_there_for_tests():
    assert any("licen" in text.lower() for text in islice(licences(), 20))


@pytest.mark.long
def test_the_installation_gives_four_domains_and_no_place_of_this_machine():
    corpus = python_installation()
    assert len(corpus.names) >= 4
    seen: set[bytes] = set()
    for d in corpus.domains:
        parts = [d.pretrain.tobytes(), d.specialize.tobytes(), d.heldout.tobytes()]
        assert sum(map(len, parts)) >= MIN_BYTES
        found = [p[i : i + CHUNK] for p in parts for i in range(0, len(p), CHUNK)]
        assert not seen & set(found)
        seen |= set(found)
    assert "/" not in json.dumps(corpus.manifest)
