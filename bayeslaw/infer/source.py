"""The file that a posterior was read from, so that what was made with it can find it again."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from bayeslaw.errors import FitError


@dataclass(frozen=True)
class Source:
    """path: as it was given. sha256: of the file's bytes."""

    path: str
    sha256: str

    @classmethod
    def of(cls, path: str | Path) -> Source:
        """Raises `FitError` when the file cannot be read."""
        try:
            content = Path(path).read_bytes()
        except OSError as error:
            raise FitError(f"{path}: not readable as a posterior: {error.strerror}") from None
        return cls(str(path), hashlib.sha256(content).hexdigest())

    def to_json(self) -> Mapping[str, str]:
        return asdict(self)

    def found(self, beside: Path) -> Path:
        """Where the same file is now: at its path, or by its name in the folder `beside`.

        Raises `FitError` when it is in neither place, or when what is there is another one.
        """
        places = [Path(self.path), beside / Path(self.path).name]
        there = [p for p in places if p.is_file()]
        for place in there:
            if Source.of(place).sha256 == self.sha256:
                return place
        if there:
            raise FitError(
                f"{there[0]} is not the posterior that was used: it was written again since, and "
                "may have seen the new runs. Name the one to use with --posterior"
            )
        raise FitError(f"{self.path}: no such file; name the posterior with --posterior")
