"""Models where they lie: those that a sweep has kept, a checkpoint, an exported folder."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayeslaw.cell import unguarded
from bayeslaw.corpus import Corpus, read_shards
from bayeslaw.corpus.shards import ABOUT
from bayeslaw.errors import SweepError, TaskError
from bayeslaw.evaluate.coder import Coder

if TYPE_CHECKING:
    from bayeslaw.train.model import Decoder

INDEX, MANIFEST, EXPORTED = "models.csv", "manifest.json", "bayeslaw.json"


@dataclass(frozen=True)
class ModelFile:
    """A model and what is known of it; fields as the columns of runs. place: its file or folder.
    sweep_folder: of the sweep that trained it, None where that is not there."""

    place: Path
    run_id: str
    sweep: str = ""
    lineage: str = ""
    seed: int = 0
    params: float = float("nan")
    pretrain_tokens: float = float("nan")
    specialize_tokens: float = 0.0
    branch: str = ""
    recipe: str = ""
    flops: float = float("nan")
    sweep_folder: Path | None = None

    def load(self) -> tuple[Decoder, Coder]:
        """The model, ready to be asked, and what makes its tokens. Raises `TaskError`."""
        from bayeslaw.train.export import read_checkpoint, read_llama

        try:
            if self.place.is_dir():
                model = read_llama(self.place)
                return model.eval(), Coder.beside(self.place, model.s.vocabulary)
            model = read_checkpoint(self.place)
        except SweepError as error:
            raise TaskError(str(error)) from None
        if self.sweep_folder is not None:
            return model.eval(), Coder.read(_manifest(self.sweep_folder)["corpus"])
        return model.eval(), Coder.beside(self.place.parent, model.s.vocabulary)


def find_models(paths: Sequence[str | Path]) -> list[ModelFile]:
    """Every model of these places: a sweep's folder or settings (all that it kept), checkpoints
    (.safetensors) and exported folders. Raises `TaskError` with every place that has none."""
    found, faults = [], []
    for path in map(Path, paths):
        try:
            found += _models(path)
        except TaskError as error:
            faults.append(str(error))
    names = [m.run_id for m in found]
    faults += [
        f"two models are named '{n}'; give one of them" for n in sorted(set(names))
        if names.count(n) > 1
    ]  # fmt: skip
    if faults:
        raise TaskError("; ".join(faults))
    return found


def _models(path: Path) -> list[ModelFile]:
    folder = folder_of(path)
    if (folder / INDEX).is_file():
        return index(folder)
    if (path / "config.json").is_file():
        return [_exported(path)]
    if path.suffix == ".safetensors" and path.is_file():
        return [_checkpoint(path)]
    if not path.exists():
        raise TaskError(f"{path}: no such file or folder")
    raise TaskError(
        f"{path}: no model: no {INDEX} of a sweep (`keep_models = true`, then `bayeslaw sweep` "
        "again, writes it), no config.json of an exported one, no .safetensors"
    )


def index(folder: Path) -> list[ModelFile]:
    """The models of a sweep's folder that are there."""
    with (folder / INDEX).open(newline="", encoding="utf-8") as file:
        rows = [{n: unguarded(v or "") for n, v in r.items() if n} for r in csv.DictReader(file)]
    try:
        found = [_of_row(row, folder / row["checkpoint"], folder) for row in rows]
    except (KeyError, ValueError) as error:
        raise TaskError(f"{folder / INDEX}: not what `bayeslaw sweep` wrote: {error}") from None
    return [m for m in found if m.place.is_file()]


def _of_row(row: dict[str, Any], place: Path, folder: Path | None) -> ModelFile:
    numbers = ("params", "pretrain_tokens", "specialize_tokens", "flops")
    about = {f.name: row[f.name] for f in fields(ModelFile) if f.name in row}
    about |= {n: float(row[n]) for n in numbers} | {"seed": int(row["seed"])}
    return ModelFile(**{**about, "place": place, "sweep_folder": folder})


def _checkpoint(path: Path) -> ModelFile:
    """By the sweep's own list where it is of one, else by its place."""
    return _listed(path) or ModelFile(path, _named(path), params=_size(path))


def _listed(path: Path) -> ModelFile | None:
    """What the list of its sweep says of a checkpoint; None where it is in none."""
    for folder in path.absolute().parents[1:3]:
        if (folder / INDEX).is_file():
            for m in index(folder):
                if m.place.absolute() == path.absolute():
                    return m
    return None


def _exported(folder: Path) -> ModelFile:
    try:
        said = json.loads((folder / EXPORTED).read_text(encoding="utf-8"))
        return _of_row(said, folder, None)
    except (OSError, ValueError, KeyError, TypeError):
        return ModelFile(folder, folder.absolute().name, params=_size(folder))


def described(checkpoint: str | Path) -> dict[str, str]:
    """What goes beside an exported model, name -> text: what its sweep says of it."""
    found = _listed(Path(checkpoint))
    if found is None:
        return {}
    names = [f.name for f in fields(ModelFile) if f.name not in ("place", "sweep_folder")]
    return {EXPORTED: json.dumps({n: getattr(found, n) for n in names}, indent=1) + "\n"}


def _named(path: Path) -> str:
    return f"{path.absolute().parent.name}-{path.stem}"


def _size(path: Path) -> float:
    """Non-embedding parameters, from the file itself."""
    model, _ = ModelFile(path, "").load()
    return float(model.s.params)


def _manifest(folder: Path) -> dict[str, Any]:
    try:
        return json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TaskError(f"{folder / MANIFEST}: not readable: {error}") from None


def corpus_of(folder: Path) -> tuple[Corpus, tuple[str, ...]]:
    """The text of a sweep's folder, and the domains that it was on. Raises `TaskError`."""
    said = _manifest(folder)
    for place in sorted((folder / "work").glob(f"corpus-*/{ABOUT}")):
        try:
            corpus = read_shards(place.parent)
        except (OSError, ValueError, KeyError):
            continue
        if json.loads(json.dumps(dict(corpus.manifest))) == said["corpus"]:
            names = tuple(said["sweep"].get("domains") or corpus.names)
            return corpus, names
    raise TaskError(f"{folder}: the text of its sweep is not in work/; run `bayeslaw sweep` again")


def folder_of(place: str | Path) -> Path:
    """The folder of a sweep, or of its settings."""
    place = Path(place)
    return place.parent if place.suffix == ".toml" else place


def one_folder(models: Sequence[ModelFile]) -> Path:
    """The folder of the one sweep that models are of: for its text. Raises `TaskError`."""
    folders = {m.sweep_folder for m in models if m.sweep_folder is not None}
    if len(folders) != 1:
        raise TaskError(
            "held-out text is that of a sweep: give models of one sweep, or make the tasks with "
            "`bayeslaw tasks`"
        )
    return folders.pop()
