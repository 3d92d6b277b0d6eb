"""Other people's logs as runs: one short file a reader, one line a reader in `table.READERS`."""

from bayeslaw.readers.imported import Imported, Source, import_runs
from bayeslaw.readers.peek import Peek
from bayeslaw.readers.reader import ROW, Log, Reader
from bayeslaw.readers.table import READERS, find_reader, guess_reader

__all__ = [
    "READERS",
    "ROW",
    "Imported",
    "Log",
    "Peek",
    "Reader",
    "Source",
    "find_reader",
    "guess_reader",
    "import_runs",
]
