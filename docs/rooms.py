"""Write layout.md from the tree: `python docs/rooms.py` after a file came, went or changed its
first sentence."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "bayeslaw"
HEAD = """# Layout

Imports go downwards only: command line and pictures, then verifying and planning, forecasts,
inference, laws and runs. The torch wing (`train`, `corpus`) and the jax wing meet only in files.
`tests/test_layers.py` says who may import whom; `tests/` mirrors the package. Written by
`docs/rooms.py` from the first sentence of every file; a test holds it against the tree.
"""


def sentence(path: Path) -> str:
    """The first of a file's docstring, without what Markdown would take for markup."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    first = " ".join(text.split("\n\n")[0].split())
    first = re.split(r"(?<=[^.]\.) ", first)[0]
    return first.replace("|", "\\|").replace("<", "\\<")


def table(files: list[Path], under: Path) -> list[str]:
    rows = [f"| `{p.relative_to(under)}` | {sentence(p)} |" for p in files]
    return ["| file | what it is |", "|---|---|", *rows, ""]


def layout() -> str:
    here = sorted(p for p in PACKAGE.glob("*.py") if p.name != "__init__.py")
    lines = [HEAD, "## bayeslaw", "", *table([PACKAGE / "__init__.py", *here], PACKAGE)]
    for room in sorted(p for p in PACKAGE.iterdir() if (p / "__init__.py").is_file()):
        files = sorted(p for p in room.rglob("*.py") if p.name != "__init__.py")
        about = sentence(room / "__init__.py")
        lines += [f"## bayeslaw/{room.name}", "", *([about, ""] if about else [])]
        lines += table(files, room)
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    (ROOT / "docs" / "layout.md").write_text(layout(), encoding="utf-8")
