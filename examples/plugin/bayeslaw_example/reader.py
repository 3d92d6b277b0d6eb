"""A reader: turns a file into records, in the words of who wrote it."""

from pathlib import Path

import pandas as pd

from bayeslaw.readers import ROW, Log, Peek, Reader
from bayeslaw.readers.document import read_text


class TabLog(Reader):
    """Lines of tokens seen and held-out loss, under a header `#tokens<TAB>loss`."""

    name = "tab_log"
    about = "tokens and loss, divided by tabs"
    counted = "line"

    def recognises(self, peek: Peek) -> bool:
        return peek.text.startswith("#tokens\tloss")

    def read(self, path: Path) -> Log:
        lines = read_text(path).splitlines()
        cells = [(i, line.partition("\t")) for i, line in enumerate(lines) if i and line]
        table = pd.DataFrame({
            "tokens": [tokens for _, (tokens, _, _) in cells],
            "loss": [loss for _, (_, _, loss) in cells],
            ROW: [i for i, _ in cells],
        })  # fmt: skip
        # `loss` has our name and meaning; `tokens` is found by its name.
        return Log(table.assign(run_id=path.stem), known=("run_id", "loss"))
