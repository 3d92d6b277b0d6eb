"""Domains from a data set of Hugging Face `datasets` that lies on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bayeslaw.corpus.domain import MIN_BYTES, Corpus, build
from bayeslaw.errors import SweepError


def hub(path: str, column: str = "text", by: str = "", min_bytes: int = MIN_BYTES) -> Corpus:
    """What `save_to_disk` wrote, or a folder that `load_dataset` reads; nothing is downloaded.

    A domain is a value of the column `by`; without it, a split. The rows stay on disk. Raises
    `SweepError` without `datasets`, and for a path or a column that is not there.
    """
    try:
        import datasets
    except ModuleNotFoundError:
        raise SweepError("corpus 'datasets' needs: pip install 'bayeslaw[hf]'") from None
    if not Path(path).is_dir():
        raise SweepError(f"{path}: no such folder; data sets are read from this machine only")
    if any(Path(path).glob("**/dataset_info.json")) or any(Path(path).glob("dataset_dict.json")):
        loaded = datasets.load_from_disk(path)
    else:
        loaded = datasets.load_dataset(path)
    splits = dict(loaded) if isinstance(loaded, dict) else {"all": loaded}
    for split in splits.values():
        for name in filter(None, (column, by)):
            if name not in split.column_names:
                raise SweepError(f"{path}: no column '{name}'; it has "
                                 f"{', '.join(split.column_names)}")  # fmt: skip
    return build(_texts(splits, column, by), {"source": "datasets"}, min_bytes)


def _texts(splits: dict[str, Any], column: str, by: str) -> dict[str, Iterator[str]]:
    if not by:
        return {name: _rows(split, column) for name, split in splits.items()}
    names = sorted({str(v) for split in splits.values() for v in split.unique(by)})
    return {name: _of(splits, column, by, name) for name in names}


def _rows(split: Any, column: str) -> Iterator[str]:
    return (str(row[column]) for row in split if row[column])


def _of(splits: dict[str, Any], column: str, by: str, name: str) -> Iterator[str]:
    for split in splits.values():
        yield from (str(r[column]) for r in split if str(r[by]) == name and r[column])
