"""The explorer: a plan that answers while its question is being changed. `app.py` is the page,
which marimo serves; everything that it says is worked out here."""

from bayeslaw.explore.answer import Answer, Controls, Explorer

__all__ = ["Answer", "Controls", "Explorer"]
