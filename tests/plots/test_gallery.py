"""The gallery: every public plot stands in it, with a picture that is small."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bayeslaw import plots

DOCS = Path(__file__).resolve().parents[2] / "docs"
GALLERY = (DOCS / "gallery.md").read_text()


@pytest.mark.parametrize("name", plots.GALLERY)
def test_a_plot_stands_in_the_gallery_with_its_picture(name):
    assert f"`{name}(" in GALLERY
    assert f"(gallery/{name}.png)" in GALLERY
    assert f'"{name}": lambda: plots.{name}(' in (DOCS / "gallery.py").read_text()


def test_pictures_are_small_and_all_are_shown():
    shown = set(re.findall(r"\(gallery/([^)]+)\)", GALLERY))
    files = {f.name: f.stat().st_size for f in (DOCS / "gallery").iterdir()}
    assert set(files) == shown
    assert max(files.values()) < 60_000
