"""Sphinx: `make docs`."""

import sys
from importlib.metadata import version as installed
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from docstrings import as_rst

project = "bayeslaw"
author = copyright = "The bayeslaw developers"
version = release = installed("bayeslaw")
extensions = ["myst_parser", "sphinx.ext.autodoc", "numpydoc"]
html_theme = "furo"
html_title = "bayeslaw"
html_show_sourcelink = False
exclude_patterns = ["build", "conf.py"]
myst_heading_anchors = 3
highlight_language = "text"  # of blocks that do not say it: command lines and output
# Links to files outside of docs/ lead somewhere in the repository; tests/test_documents.py sees to
# it. On a page they have no target.
suppress_warnings = ["myst.xref_missing"]
autodoc_typehints = "none"  # the signature has them
autodoc_member_order = "bysource"
python_maximum_signature_line_length = 88
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False


def _written(app, what, name, obj, options, lines):
    lines[:] = as_rst(lines)


def setup(app):
    app.connect("autodoc-process-docstring", _written, priority=400)  # before numpydoc's
