"""Domains read from this Python installation: its library and the packages we need."""

from __future__ import annotations

import ast
import doctest
import hashlib
import os
import platform
import sys
import sysconfig
import unicodedata
import warnings
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from bayeslaw.corpus.domain import Corpus, build

# Read in this order after the standard library; all are the project's own requirements.
PACKAGES = ("numpy", "scipy", "pandas", "jax", "numpyro", "xarray", "matplotlib", "torch")
CAP = 8_000_000  # bytes read for a domain: enough for the sweeps, quick to gather
TESTS = {"test", "tests", "testing"}  # folders of the domain `tests`, and of no other
SKIPPED = {"site-packages", "__pycache__", "idlelib", "lib2to3"}


def python_installation(cap: int = CAP) -> Corpus:
    """`code`, `prose`, `doctests`, `names`, `headers`, `tests`; those under 2 MB are left out.

    code: modules without comments and docstrings. prose: docstrings without their examples, and
    `pydoc_data.topics`. doctests: interactive sessions. names: records of the Unicode character
    database. headers: C and C++ headers. tests: test modules as they stand.
    """
    code, prose, sessions = _from_modules(cap)
    texts = {
        "code": code,
        "prose": prose,
        "doctests": sessions,
        "names": _capped(_names(), cap),
        "headers": _capped((_read(p) for p in _files({".h", ".hpp", ".cuh"})), cap),
        "tests": _capped((_read(p) for p in _files({".py"}, tests=True)), cap),
    }
    about = {
        "source": "python",
        "python": platform.python_version(),
        "unicode": unicodedata.unidata_version,
        "packages": {n: v for n in PACKAGES if (v := _version(n))},
    }
    return build(texts, about)


def licences() -> Iterator[str]:
    """Licence texts of the installed packages, for tests."""
    for path in _files({".txt", ".md", ""}):
        if "licen" in path.name.lower():
            yield _read(path)


def _version(name: str) -> str:
    try:
        return distribution(name).version
    except PackageNotFoundError:
        return ""


def _roots() -> Iterator[Path]:
    yield Path(sysconfig.get_path("stdlib"))
    yield Path(sysconfig.get_path("include"))
    site = Path(sysconfig.get_path("purelib"))
    yield from (site / name for name in PACKAGES if (site / name).is_dir())


def _files(suffixes: set[str], tests: bool = False) -> Iterator[Path]:
    """Files of these kinds, in folders of tests or outside them, by the hash of their place: an
    order that any machine repeats."""
    for root in _roots():
        found = []
        for folder, inner, names in os.walk(root):
            inner[:] = [n for n in inner if n not in SKIPPED and (tests or n not in TESTS)]
            if not tests or TESTS & set(Path(folder).relative_to(root).parts):
                found += [Path(folder, n) for n in names if Path(n).suffix in suffixes]
        yield from sorted(found, key=lambda p: _order(p.relative_to(root)))


def _order(place: Path) -> bytes:
    return hashlib.sha256(place.as_posix().encode()).digest()


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="ignore")


def _capped(pieces: Iterable[str], cap: int) -> list[str]:
    kept, size = [], 0
    for piece in pieces:
        if size >= cap:
            break
        kept.append(piece)
        size += len(piece)
    return kept


def _from_modules(cap: int) -> tuple[list[str], list[str], list[str]]:
    """One pass over the modules: code, prose and sessions, until each has `cap` characters."""
    parser = doctest.DocTestParser()
    code: list[str] = []
    prose: list[str] = _topics()
    sessions: list[str] = []
    size = [0, sum(map(len, prose)), 0]
    for path in _files({".py"}):
        if min(size[:2]) >= cap and size[2] >= cap // 3:
            break  # sessions are rare: a third of the cap is enough
        source = _read(path)
        if min(size[:2]) >= cap and ">>>" not in source:
            continue  # parsing is what takes the time
        module = _parse(source)
        if module is None:
            continue
        for text in _take_docstrings(module):
            words, examples = _apart(parser, text)
            if size[1] < cap:
                prose.append(words)
                size[1] += len(words)
            if size[2] < cap:
                sessions.append(examples)
                size[2] += len(examples)
        if size[0] < cap:
            code.append(ast.unparse(module) + "\n\n")
            size[0] += len(code[-1])
    return code, prose, sessions


def _parse(source: str) -> ast.Module | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes in other people's modules
            return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return None


def _take_docstrings(module: ast.Module) -> list[str]:
    """The docstrings of a module, removed from its tree."""
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    found = []
    for node in _statements(module):
        if isinstance(node, kinds) and (text := ast.get_docstring(node)):
            found.append(text)
            node.body = node.body[1:] or [ast.Pass()]
    return found


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """A node and the statements below it; `ast.walk` would visit every expression too."""
    waiting = [node]
    while waiting:
        node = waiting.pop()
        yield node
        for field in ("cases", "finalbody", "orelse", "handlers", "body"):
            below = getattr(node, field, None)
            waiting += reversed(below) if isinstance(below, list) else ()


def _apart(parser: doctest.DocTestParser, text: str) -> tuple[str, str]:
    try:
        parts = parser.parse(text)
    except ValueError:
        return text + "\n\n", ""
    words = "".join(p for p in parts if isinstance(p, str)).strip()
    examples = "".join(
        ">>> " + e.source.replace("\n", "\n... ")[:-4] + e.want
        for e in parts
        if isinstance(e, doctest.Example)
    )
    return words + "\n\n" if words else "", examples + "\n" if examples else ""


def _topics() -> list[str]:
    from pydoc_data.topics import topics

    return [topics[name] for name in sorted(topics)]


def _names() -> Iterator[str]:
    """One record a character: code point, name, category, class, decomposition, UTF-8."""
    for point in range(sys.maxunicode + 1):
        c = chr(point)
        name = unicodedata.name(c, "")
        # Ideographs and syllables are named by rule: nothing to learn.
        if name and not name.startswith(("CJK ", "HANGUL SYLLABLE", "TANGUT", "NUSHU")):
            yield (
                f"U+{point:04X} {name.title()}; {unicodedata.category(c)} "
                f"{unicodedata.bidirectional(c)} {unicodedata.combining(c)} "
                f"{unicodedata.east_asian_width(c)} {unicodedata.mirrored(c)}; "
                f"{unicodedata.decomposition(c) or '-'}; {c.encode('utf-8', 'ignore').hex(' ')}\n"
            )
