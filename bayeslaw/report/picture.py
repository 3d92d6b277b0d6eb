"""A picture: a figure as a part of a page, drawn in lines that need nothing from outside."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

from markupsafe import Markup

SVG = "http://www.w3.org/2000/svg"
LINK = "{http://www.w3.org/1999/xlink}href"
KEPT = {"svg", "g", "defs", "clipPath", "path", "use", "text", "tspan", "rect", "circle", "ellipse",
        "line", "polyline", "polygon", "image", "linearGradient", "radialGradient", "stop",
        "pattern", "title"}  # fmt: skip
FONT = "system-ui, sans-serif"
WIDE, NARROW = 660, 380  # pixels that a figure is laid out for
# What XML has no way to write; a name of a domain may hold it.
UNWRITABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
REFERENCE = re.compile(r"url\(#([^)]*)\)")
LONG = re.compile(r"(\d+\.\d{3})\d+")


@dataclass(frozen=True)
class Picture:
    """wide, narrow: ready to stand in a page, for a screen and for a phone. caption: what is seen,
    for those who see it and those who do not."""

    name: str
    wide: Markup
    narrow: Markup
    caption: str


def picture(name: str, caption: str, draw: Callable[[int], Any]) -> Picture:
    """draw: width in pixels -> a matplotlib figure. name: of no other picture of the page."""
    wide, narrow = (
        inline(_written(draw, width), f"{name}-{width}", caption) for width in (WIDE, NARROW)
    )
    return Picture(name, wide, narrow, caption)


def _written(draw: Callable[[int], Any], width: int) -> str:
    import matplotlib.pyplot as plt

    with _style(), warnings.catch_warnings():
        # Its words are drawn by the reader's own fonts.
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
        figure = draw(width)
        try:
            written = io.StringIO()
            figure.savefig(
                written, format="svg", transparent=True,
                metadata={"Date": None, "Creator": None, "Format": None, "Type": None},
            )  # fmt: skip
        finally:
            plt.close(figure)
    return written.getvalue()


@contextmanager
def _style() -> Iterator[None]:
    """Drawn the same each time, its words as words, its ground left to the page."""
    import matplotlib as mpl

    settings = {
        "svg.hashsalt": "bayeslaw",
        "svg.fonttype": "none",
        "figure.facecolor": "none",
        "axes.facecolor": "none",
        "savefig.facecolor": "none",
        "legend.facecolor": "none",
        "text.parse_math": False,  # a name may hold dollars
    }
    with mpl.rc_context(settings):
        yield


def inline(svg: str, name: str, caption: str) -> Markup:
    """A drawing as a part of a page: no header, no size of its own, ids that no other has, no
    styles for the whole page, nothing but shapes and words, and links to nothing but itself.

    Raises `ParseError` where it is no XML.
    """
    root = ElementTree.fromstring(UNWRITABLE.sub("\ufffd", svg))
    _cleaned(root, name)
    for size in ("width", "height"):
        root.attrib.pop(size, None)
    root.set("role", "img")
    root.set("aria-label", UNWRITABLE.sub("\ufffd", caption))
    ElementTree.register_namespace("", SVG)
    ElementTree.register_namespace("xlink", LINK[1:].partition("}")[0])
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def _cleaned(element: ElementTree.Element, name: str) -> None:
    for child in list(element):
        if child.tag.partition("}")[2] not in KEPT:
            element.remove(child)
        else:
            _cleaned(child, name)
    for key, value in list(element.attrib.items()):
        if key.lower().startswith("on"):
            del element.attrib[key]
        elif key == "id":
            element.set(key, f"{name}-{value}")
        elif key in ("href", LINK):
            if value.startswith("#"):
                element.set(key, f"#{name}-{value[1:]}")
            elif not value.startswith("data:image/png;base64,"):
                del element.attrib[key]
        else:
            value = REFERENCE.sub(rf"url(#{name}-\1)", value)
            value = re.sub(r"'DejaVu Sans'[^;]*", FONT, value) if key == "style" else value
            element.set(key, LONG.sub(r"\1", value) if key in ("d", "transform") else value)
