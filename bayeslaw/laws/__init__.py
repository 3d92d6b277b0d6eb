"""The catalogue: one short file per law, one line per law in `LAWS`."""

from __future__ import annotations

import importlib.util
from importlib.metadata import entry_points
from pathlib import Path

from bayeslaw.errors import FitError
from bayeslaw.laws.additive import Additive
from bayeslaw.laws.base import Anchor, Law, Param, Run, SumLaw, exponent, power
from bayeslaw.laws.chinchilla import Chinchilla
from bayeslaw.laws.coupled import Coupled
from bayeslaw.laws.repeated import Repeated
from bayeslaw.laws.transfer import Transfer

__all__ = [
    "LAWS",
    "Anchor",
    "Law",
    "Param",
    "Run",
    "SumLaw",
    "default_laws",
    "exponent",
    "find_law",
    "power",
]

LAWS: dict[str, Law] = {
    "chinchilla": Chinchilla(),
    "coupled": Coupled(Chinchilla(), name="coupled"),
    "additive": Additive(),
    "transfer": Transfer(),
    "coupled(additive)": Coupled(Additive()),
    "coupled(transfer)": Coupled(Transfer()),
}
WRAPPERS = {"coupled": Coupled, "repeated": Repeated}


def default_laws(two_stage: bool) -> tuple[Law, ...]:
    """What `fit` takes when no law is named: all laws of the table's kind."""
    return tuple(law for law in LAWS.values() if law.two_stage == two_stage)


def find_law(name: str | Law) -> Law:
    """A law by its name (`additive`, `coupled(transfer)`, `repeated(chinchilla)`), by the name of
    an entry point in the group `bayeslaw.laws`, or from a file (`mylaw.py:MyLaw`).

    Raises `FitError` when there is none of that name.

    >>> find_law("repeated(coupled(chinchilla))").name
    'repeated(coupled(chinchilla))'
    """
    if isinstance(name, Law):
        return name
    if name in LAWS:
        return LAWS[name]
    if ".py:" in name:
        return _from_file(*name.rsplit(":", 1))
    outer, _, rest = name.partition("(")
    if outer in WRAPPERS and rest.endswith(")"):
        inner, _, option = rest[:-1].partition(", of=")
        try:
            law = find_law(inner)
            return WRAPPERS[outer](law, **({"of": option} if option else {}))
        except (TypeError, KeyError) as error:
            raise FitError(f"cannot make the law '{name}': {error}") from error
    for entry in entry_points(group="bayeslaw.laws", name=name):
        return _instance(entry.load(), name)
    raise FitError(
        f"there is no law '{name}'. Laws: {', '.join(LAWS)}; wrappers: "
        f"{', '.join(f'{w}(LAW)' for w in WRAPPERS)}; your own: FILE.py:CLASS"
    )


def _from_file(path: str, attribute: str) -> Law:
    file = Path(path)
    if not file.is_file():
        raise FitError(f"no law file '{path}'; give FILE.py:CLASS with a path from here")
    spec = importlib.util.spec_from_file_location(f"bayeslaw_law_{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise FitError(
            f"law file '{path}' does not load: {type(error).__name__}: {error}"
        ) from error
    if attribute not in vars(module):
        raise FitError(f"law file '{path}' has no '{attribute}'")
    return _instance(getattr(module, attribute), f"{path}:{attribute}")


def _instance(found: object, name: str) -> Law:
    law = found() if isinstance(found, type) else found
    if not isinstance(law, Law):
        raise FitError(f"'{name}' is not a Law: subclass bayeslaw.Law or bayeslaw.SumLaw")
    return law
