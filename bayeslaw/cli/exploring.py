"""The command that opens the explorer."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from bayeslaw.cli.app import Accept, Posterior, app, usable
from bayeslaw.errors import BayeslawError


@app.command()
def explore(
    posterior: Posterior,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Of the page.")] = 2718,
    browser: Annotated[bool, typer.Option(help="Open one, or say only where the page is.")] = True,
    accept: Accept = False,
) -> None:
    """Plan on a page: budget, weights, risk, data and serving as controls."""
    if find_spec("marimo") is None:
        raise BayeslawError("explore needs marimo: pip install 'bayeslaw[explore]'")
    from bayeslaw.infer.ensemble import read_posterior

    usable(read_posterior(posterior), accept)
    page = Path(__file__).parents[1] / "explore" / "app.py"
    command = [sys.executable, "-m", "marimo", "run", str(page), "--port", str(port)]
    command += [] if browser else ["--headless"]
    command += ["--", "--posterior", str(posterior.resolve()), *(["--accept"] if accept else [])]
    # In the place of this process: what ends it, ends the server.
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, command)
