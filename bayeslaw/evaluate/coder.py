"""Text to tokens and back: bytes, or the BPE of a corpus."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bayeslaw.corpus import Corpus
from bayeslaw.errors import TaskError

BYTES = 256


@dataclass(frozen=True)
class Coder:
    """bpe: a `tokenizers.Tokenizer`; None for bytes."""

    bpe: Any = None

    @classmethod
    def of(cls, corpus: Corpus) -> Coder:
        return cls.read(corpus.manifest)

    @classmethod
    def read(cls, manifest: Mapping[str, Any]) -> Coder:
        """Of a corpus's manifest."""
        said = manifest.get("tokenizer")
        return cls(None if said is None else _tokenizers().from_str(str(said)))

    @classmethod
    def beside(cls, folder: Path, vocabulary: int) -> Coder:
        """Of an exported model: `tokenizer.json`, or bytes. Raises `TaskError`."""
        file = folder / "tokenizer.json"
        if file.is_file():
            bpe = _tokenizers().from_file(str(file))
            bpe.no_truncation()
            bpe.no_padding()
            return cls(bpe)
        if vocabulary != BYTES:
            raise TaskError(f"{folder}: {vocabulary} tokens and no tokenizer.json; only a "
                            "vocabulary of the 256 bytes needs none")  # fmt: skip
        return cls()

    def encode(self, text: str) -> list[int]:
        if self.bpe is None:
            return list(text.encode("utf-8", "ignore"))
        return self.bpe.encode(text, add_special_tokens=False).ids

    def decode(self, tokens: np.ndarray) -> str:
        """What is no text is left out."""
        if self.bpe is None:
            return np.asarray(tokens, np.uint8).tobytes().decode("utf-8", "ignore")
        return self.bpe.decode(np.asarray(tokens).tolist())


def _tokenizers() -> Any:
    try:
        from tokenizers import Tokenizer
    except ModuleNotFoundError:
        raise TaskError("a vocabulary beyond bytes needs: pip install 'bayeslaw[hf]'") from None
    return Tokenizer
