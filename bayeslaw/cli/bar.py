"""A progress bar for what takes long, on stderr, and only where that is a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SLOW = 2.0  # seconds after which the bar appears

Step = Callable[..., None]  # what is being done now, and the share that is done where it is known


@contextmanager
def progress(what: str) -> Iterator[Step]:
    """Gives a function to call with what is done next and, where known, the share done so far."""
    if not sys.stderr.isatty():
        yield lambda *_: None
        return
    from threading import Timer

    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    bar = Progress(*columns, console=Console(stderr=True), transient=True)
    task = bar.add_task(what, total=None)
    timer = Timer(SLOW, bar.start)
    timer.daemon = True
    timer.start()

    def step(name: str, share: float | None = None) -> None:
        total = None if share is None else 1.0
        bar.update(task, description=f"{what} {name}", total=total, completed=share)

    try:
        yield step
    finally:
        timer.cancel()
        bar.stop()
