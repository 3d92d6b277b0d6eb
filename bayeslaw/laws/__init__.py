"""The catalogue: one short file per law, one line per law in `LAWS`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

from bayeslaw.errors import FitError
from bayeslaw.laws.base import Anchor, Law, Param, Run, SumLaw, exponent, power
from bayeslaw.plugin import from_file, names_of, registered

__all__ = [
    "LAWS",
    "Anchor",
    "Law",
    "Param",
    "Run",
    "SumLaw",
    "catalogue",
    "exponent",
    "find_law",
    "power",
]

# Name -> class, in the file of that name.
_CLASSES = {
    "chinchilla": "Chinchilla",
    "farseer": "Farseer",
    "bounded": "Bounded",
    "additive": "Additive",
    "transfer": "Transfer",
    "gap": "Gap",
    "interaction": "Interaction",
    "multiplicative": "Multiplicative",
    "discount": "Discount",
    "mixture": "Mixture",
    "forgetting": "Forgetting",
    "replay": "Replay",
}
GROUP = "bayeslaw.laws"  # of entry points
WRAPPERS = {"coupled": "Coupled", "repeated": "Repeated"}


class Catalogue(Mapping[str, Law]):
    """Name -> law. A law is made, and its file loaded, when it is first asked for."""

    def __init__(self, names: Mapping[str, str]):
        self._names = names
        self._made: dict[str, Law] = {}

    def __getitem__(self, name: str) -> Law:
        if name not in self._made:
            self._made[name] = _made(self._names[name], name)
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


# What it is called -> how it is put together.
LAWS = Catalogue(
    {
        "chinchilla": "chinchilla",
        "coupled": "coupled(chinchilla)",
        "farseer": "farseer",
        "bounded": "bounded",
        "repeated": "repeated(chinchilla, of=pretrain_tokens+params)",
        "additive": "additive",
        "transfer": "transfer",
        "gap": "gap",
        "interaction": "interaction",
        "multiplicative": "multiplicative",
        "discount": "discount",
        "mixture": "mixture",
        "coupled(additive)": "coupled(additive)",
        "coupled(transfer)": "coupled(transfer)",
        "coupled(gap)": "coupled(gap)",
        "coupled(interaction)": "coupled(interaction)",
        "coupled(discount)": "coupled(discount)",
        "coupled(mixture)": "coupled(mixture)",
        "forgetting": "forgetting",
        "replay": "replay",
    }
)


def _made(expression: str, name: str = "") -> Law:
    """The law that `expression` puts together from `_CLASSES` and `WRAPPERS`."""
    outer, _, rest = expression.partition("(")
    if not rest:
        return _class(outer, _CLASSES[outer])()
    inner, _, option = rest[:-1].partition(", of=")
    named = {"name": name} if name else {}
    of = {"of": option} if option else {}
    return _class(outer, WRAPPERS[outer])(find_law(inner), **named, **of)


def _class(file: str, name: str) -> Any:
    return getattr(import_module(f"bayeslaw.laws.{file}"), name)


def catalogue() -> list[dict[str, Any]]:
    """Every law and map: name, formula, inputs, source; `kind` law or map."""
    from bayeslaw.laws.accuracy import Accuracy

    def said(law: Any, kind: str) -> dict[str, Any]:
        about = {"law": law.name, "kind": kind, "formula": law.formula}
        return {**about, "inputs": list(law.inputs), "source": law.source}

    maps = [Accuracy()]
    return [said(law, "law") for law in LAWS.values()] + [said(m, "map") for m in maps]


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
        return _instance(from_file(name, "CLASS", FitError), name)
    if name.partition("(")[0] in WRAPPERS and name.endswith(")"):
        try:
            return _made(name)
        except (TypeError, KeyError) as error:
            raise FitError(f"cannot make the law '{name}': {error}") from error
    for found in registered(GROUP, FitError, name):
        return _instance(found, name)
    raise FitError(
        f"there is no law '{name}'. Laws: {', '.join([*LAWS, *names_of(GROUP)])}; wrappers: "
        f"{', '.join(f'{w}(LAW)' for w in WRAPPERS)}; your own: FILE.py:CLASS"
    )


def _instance(found: object, name: str) -> Law:
    law = found() if isinstance(found, type) else found
    if not isinstance(law, Law):
        raise FitError(f"'{name}' is not a Law: subclass bayeslaw.Law or bayeslaw.SumLaw")
    return law
