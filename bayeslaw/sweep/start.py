"""A model that came from elsewhere, for a sweep to start from."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

from bayeslaw.errors import SweepError
from bayeslaw.sweep.llama import TOKENS, read_config, shape_of
from bayeslaw.sweep.shape import Shape

BYTES = 256  # the vocabulary of a model without a tokenizer
WEIGHTS, TOKENIZER = "*.safetensors", "tokenizer.json"


class Start(NamedTuple):
    """shape: on windows of the sweep's recipe. tokens: that it was trained on, as its folder says;
    0 where that says nothing. tokenizer: of `tokenizers`; without one its tokens are bytes."""

    folder: Path
    shape: Shape
    tokens: int
    tokenizer: Path | None

    def digest(self) -> str:
        """Of all that decides what it says: its shape, its weights, its tokens."""
        found = hashlib.sha256()
        names = [self.folder / "config.json", *sorted(self.folder.glob(WEIGHTS))]
        for file in [*names, *([self.tokenizer] if self.tokenizer else [])]:
            found.update(file.name.encode())
            with file.open("rb") as content:
                found.update(hashlib.file_digest(content, "sha256").digest())
        return found.hexdigest()


def read_start(folder: str | Path, context: int) -> Start:
    """What is said of a model in the layout of Hugging Face; its weights are not read. context: of
    the windows it is to be trained on. Raises `SweepError` with every fault."""
    folder = Path(folder)
    config = read_config(folder)
    faults = []
    if not any(folder.glob(WEIGHTS)):
        faults.append("it has no .safetensors; save it with safe_serialization=True")
    if context > (most := config["max_position_embeddings"]):
        faults.append(f"its windows are of {most} tokens at most, those of the recipe of {context}")
    tokenizer = folder / TOKENIZER
    if not tokenizer.is_file() and config["vocab_size"] != BYTES:
        faults.append(f"its vocabulary has {config['vocab_size']} tokens, bytes are {BYTES}: put "
                      f"its {TOKENIZER} into the folder")  # fmt: skip
    if not isinstance(tokens := config.get(TOKENS, 0), int) or tokens < 0:
        faults.append(f"{TOKENS} of its config.json is {tokens!r}, not a number of tokens")
    if faults:
        raise SweepError(f"{folder}: {'; '.join(faults)}")
    return Start(folder, shape_of(config, context), tokens,
                 tokenizer if tokenizer.is_file() else None)  # fmt: skip
