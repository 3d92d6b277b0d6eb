"""Domains from a folder: a sub-folder or a file for each, of .txt, .jsonl or .parquet."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

from bayeslaw.corpus.domain import MIN_BYTES, Corpus, build
from bayeslaw.errors import SweepError


def folder(path: str, column: str = "text", min_bytes: int = MIN_BYTES) -> Corpus:
    """One domain for every sub-folder of `path`, whatever lies below it, and for every file in it.

    column: the field of .jsonl lines and the column of .parquet files that holds the text. A .txt
    file is one document. Files are read one after another, in the order of their names, and never
    held whole where they have lines. Raises `SweepError` for a folder without text, and for the
    line of a file that has none.
    """
    texts = {
        name: (text for file in files for text in documents(file, column))
        for name, files in domains_in(path).items()
    }
    about = {"source": "folder", "files": {n: len(f) for n, f in domains_in(path).items()}}
    return build(texts, about, min_bytes)


def domains_in(path: str | Path) -> dict[str, list[Path]]:
    """Name of a domain -> its files. Raises `SweepError` when there are none."""
    root = Path(path)
    if not root.is_dir():
        raise SweepError(f"{root}: no such folder; name one with a sub-folder or file per domain")
    found: dict[str, list[Path]] = {}
    for entry in sorted(root.iterdir()):
        inside = sorted(entry.rglob("*")) if entry.is_dir() else [entry]
        files = [f for f in inside if f.is_file() and f.suffix in READERS]
        if files and not entry.name.startswith("."):
            found.setdefault(entry.name if entry.is_dir() else entry.stem, []).extend(files)
    if not found:
        raise SweepError(f"{root}: no {', '.join(READERS)} files in it or its sub-folders")
    return found


def documents(file: Path, column: str = "text") -> Iterator[str]:
    """The documents of one file. Raises `SweepError` with the file, the line and the remedy."""
    if file.suffix not in READERS:
        raise SweepError(f"{file}: text is read from {', '.join(READERS)} files")
    yield from READERS[file.suffix](file, column)


def _txt(file: Path, column: str) -> Iterator[str]:
    yield file.read_text(encoding="utf-8", errors="ignore")


def _jsonl(file: Path, column: str) -> Iterator[str]:
    with file.open(encoding="utf-8", errors="ignore") as lines:
        for n, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                text = json.loads(line)[column]
            except (ValueError, KeyError, TypeError, RecursionError):
                raise SweepError(
                    f"{file}: line {n} is no JSON object with '{column}'; mend it, or name the "
                    "field with column"
                ) from None
            if text is not None:  # JSON alone can hold half of a pair of surrogates
                yield str(text).encode("utf-8", "ignore").decode()


def _parquet(file: Path, column: str) -> Iterator[str]:
    try:
        import pyarrow.parquet as parquet
    except ModuleNotFoundError:
        raise SweepError(
            f"{file}: parquet needs pyarrow: pip install 'bayeslaw[parquet]'"
        ) from None
    try:
        with parquet.ParquetFile(file) as table:
            if column not in table.schema_arrow.names:
                raise SweepError(f"{file}: no column '{column}'; it has "
                                 f"{', '.join(table.schema_arrow.names)}")  # fmt: skip
            for batch in table.iter_batches(columns=[column]):
                yield from (str(v) for v in batch.column(0).to_pylist() if v)
    except (OSError, ValueError) as error:  # those of pyarrow are ValueErrors
        raise SweepError(f"{file}: not readable as parquet: {error}") from None


READERS: dict[str, Callable[[Path, str], Iterator[str]]] = {
    ".txt": _txt, ".jsonl": _jsonl, ".parquet": _parquet,
}  # fmt: skip
