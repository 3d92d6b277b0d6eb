"""The command line: import, schema, laws, fit, check, compare, backtest, forecast, plan, frontier,
suggest, report, verify, sweep, export, domains, tasks, evaluate, route, explore.

Commands read their arguments, call one function of the library and say what came of it. What is
heavy is imported by the command that needs it, so that `--help` answers at once.
"""

from __future__ import annotations

import os
import sys

import typer

from bayeslaw.cli import (  # noqa: F401 (their commands)
    data,
    evaluating,
    exploring,
    inference,
    planning,
    reporting,
    training,
    verifying,
)
from bayeslaw.cli.app import (
    DONE,
    FAILED_CHECKS,
    INTERRUPTED,
    USER_ERROR,
    Refused,
    Session,
    UsageError,
    app,
)
from bayeslaw.errors import BayeslawError


def main() -> None:
    """The entry point."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    code = run(sys.argv[1:])
    if code == INTERRUPTED:
        # Python ends itself by the signal where Ctrl-C came in code that was made from a string.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """One call of the command line: its exit code, with errors told and not raised."""
    session = Session(tuple(arguments))
    command = typer.main.get_command(app)
    color = False if os.environ.get("NO_COLOR") else None  # no-color.org; None: where a terminal is
    try:
        code = command.main(arguments, "bayeslaw", standalone_mode=False, obj=session, color=color)
    except typer.Exit as stop:
        code = stop.exit_code
    except UsageError as usage:
        usage.show()  # type: ignore[attr-defined]
        return USER_ERROR
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except (BayeslawError, OSError) as error:
        if session.debug:
            raise
        typer.echo(f"error: {error}", err=True)
        return FAILED_CHECKS if isinstance(error, Refused) else USER_ERROR
    # Some releases of typer turn Ctrl-C into this code themselves.
    if code == INTERRUPTED:
        typer.echo("interrupted", err=True)
    return code if isinstance(code, int) else DONE
