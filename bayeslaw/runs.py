"""Runs: the validated table of measured losses."""

from __future__ import annotations

import csv
import difflib
import glob
import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from bayeslaw.card import card
from bayeslaw.cell import guarded, printable, unguarded
from bayeslaw.errors import RunsError
from bayeslaw.quantity import parse_quantity
from bayeslaw.whole import whole

MAX_LINE = 1_000_000  # bytes; a longer one is not a table
MOST = 1 << 28  # bytes; a larger file is a dump, not a table of losses
CELLS = 20_000_000  # of a file; more do not fit in a small machine's memory
COLUMNS_MOST, NAME_MOST = 5_000, 1_000  # of a file's columns, and characters of one's name
ALIKE = 0.02  # of the FLOPs of a token, between runs of one size
SHOWN = 100  # faults printed per file; all are counted
NATS = {"nats": 1.0, "bits": float(np.log(2.0))}
UNITS = tuple(f"{scale}/{per}" for scale in NATS for per in ("token", "byte"))
STATUSES = ("ok", "diverged", "failed")


@dataclass(frozen=True)
class Column:
    """A column of the table: its kind, unit, least value and meaning."""

    name: str
    kind: Literal["number", "text"]
    unit: str
    meaning: str
    required: bool = False
    least: float | None = None
    above: bool = False  # strictly more than `least`
    most: float | None = None
    default: Any = None
    finite: bool = True


COLUMNS = (
    Column("sweep", "text", "name", "the sweep", default=""),
    Column("run_id", "text", "name", "one evaluated model", default=""),
    Column("lineage", "text", "name", "the trunk it came from", default=""),
    Column("seed", "number", "-", "of the run", default=0.0),
    Column("params", "number", "weights", "non-embedding parameters N", True, 0.0, True),
    Column("pretrain_tokens", "number", "tokens", "general tokens D", True, 0.0),
    Column("total_params", "number", "weights", "N and its embeddings",
           least=0.0, above=True, default=np.nan),
    Column("specialize_tokens", "number", "tokens", "stage-two tokens D′", least=0.0, default=0.0),
    Column("branch", "text", "name", "the domain of the second stage", default=""),
    Column("domain", "text", "name", "what the loss was measured on", default="all"),
    Column("loss", "number", "nats", "held-out cross-entropy", True, 0.0, True),
    Column("loss_se", "number", "nats", "its standard error", least=0.0, default=np.nan),
    Column("unique_tokens", "number", "tokens", "distinct tokens of stage one",
           least=0.0, above=True, default=np.inf, finite=False),
    Column("unique_specialize_tokens", "number", "tokens", "distinct tokens of stage two",
           least=0.0, above=True, default=np.inf, finite=False),
    Column("epochs", "number", "-", "readings of unique_tokens",
           least=0.0, default=np.nan),
    Column("specialize_epochs", "number", "-", "readings of its distinct tokens",
           least=0.0, default=np.nan),
    Column("recipe", "text", "name", "how the second stage was done", default=""),
    Column("replay", "number", "0..1", "share of general data in it",
           least=0.0, most=1.0, default=np.nan),
    Column("distill", "number", "-", "weight of the KL term", least=0.0, default=np.nan),
    Column("flops", "number", "FLOPs", "compute of the model's history",
           least=0.0, above=True, default=np.nan),
    Column("experts", "number", "count", "branches of its split", least=0.0, default=np.nan),
    Column("status", "text", "name", "ok, diverged or failed", default="ok"),
)  # fmt: skip
NAMES = tuple(c.name for c in COLUMNS)
TEXTS = [c.name for c in COLUMNS if c.kind == "text"]
KEY = ["sweep", "run_id", "pretrain_tokens", "specialize_tokens", "domain"]


@dataclass(frozen=True)
class Fault:
    """One thing wrong with a file. `row` counts data rows from 1; 0 is the file as a whole.

    counted: what `row` counts where the file is no table: `line`, `entry`.
    """

    file: str
    row: int
    column: str
    value: Any
    remedy: str
    counted: str = ""

    def __str__(self) -> str:
        where = f"row {self.row} (line {self.row + 1}), " if self.row else ""
        if self.row and self.counted:
            where = f"{self.counted} {self.row}, "
        value = "" if self.value is None else f" is {self.value!r}"
        column = f"column '{self.column}'{value}: " if self.column else ""
        return f"{where}{column}{self.remedy}"


@dataclass(frozen=True, eq=False)
class Runs:
    """A validated table: a row is one model measured on one domain.

    table: the kept rows (status ok), the columns of `COLUMNS` in order; losses in nats.
    counts: rows `read`, `kept`, `diverged`, `failed`.  units: domain -> unit of its losses.
    ignored: columns of the files that have no meaning here. embeddings: whether `params` was taken
    from `total_params`.
    """

    table: pd.DataFrame
    counts: Mapping[str, int]
    units: Mapping[str, str]
    sources: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    places: pd.DataFrame | None = None  # `file` and `row` that each row of the table came from
    embeddings: bool = False

    @classmethod
    def from_table(
        cls, table: pd.DataFrame, unit: str | None = None, map: Mapping[str, str] | None = None,
        name: str = "table",
    ) -> Runs:  # fmt: skip
        """The same checks as `read_runs`, on a table in memory."""
        faults: list[Fault] = []
        table = table.drop(columns="_row", errors="ignore")
        ours, ignored = checked(table.copy(), name, name, map or {}, unit, faults)
        return assembled([ours], (name,), ignored, faults)

    def __len__(self) -> int:
        return len(self.table)

    def __repr__(self) -> str:
        return f"Runs({len(self)} rows, domains: {', '.join(self.domains)})"

    def to_dataframe(self) -> pd.DataFrame:
        """A copy of the table."""
        return self.table.copy()

    def _repr_html_(self) -> str:
        rows = []
        for domain, part in self.table.groupby("domain", sort=True):
            ranges: dict[str, Any] = {"domain": str(domain), "rows": len(part)}
            for name in ("params", "pretrain_tokens", "specialize_tokens", "loss"):
                ranges[name] = [float(part[name].min()), float(part[name].max())]
            rows.append(ranges)
        return card(f"Runs: {len(self)} rows", self.summary(), rows)

    @cached_property
    def domains(self) -> tuple[str, ...]:
        return tuple(sorted(set(self.table["domain"])))

    @cached_property
    def two_stage(self) -> bool:
        return bool((self.table["specialize_tokens"] > 0).any())

    @cached_property
    def ranges(self) -> dict[str, tuple[float, float]]:
        """Smallest and largest value of each numeric column that has any."""
        numbers = [c.name for c in COLUMNS if c.kind == "number"]
        low, high = self.table[numbers].min(), self.table[numbers].max()
        return {n: (float(low[n]), float(high[n])) for n in numbers if low[n] == low[n]}

    @cached_property
    def digest(self) -> str:
        """sha256 of the rows, whatever their order."""
        return digest_of(self.table)

    def select(self, mask: Any) -> Runs:
        """The rows where `mask` is true."""
        return self.take(np.flatnonzero(np.asarray(mask)))

    def take(self, rows: Any) -> Runs:
        """These rows, by position and in this order."""
        table = self.table.iloc[rows].reset_index(drop=True)
        places = self.places
        if places is not None:
            places = places.iloc[rows].reset_index(drop=True)
        return replace(self, table=table, places=places)

    def fault(self, i: int, column: str, remedy: str) -> Fault:
        """What is wrong with the i-th row, said of the file that it came from."""
        file, row = ("runs", i) if self.places is None else self.places.iloc[i]
        value = self.table[column].iloc[i]
        value = value.item() if isinstance(value, np.generic) else value
        return Fault(str(file), int(row) + 1, column, value, remedy)

    @property
    def sweeps(self) -> tuple[str, ...]:
        """Names of the sweeps, sorted."""
        return tuple(sorted(map(str, set(self.table["sweep"]))))

    def of_sweep(self, name: str) -> Runs:
        """The rows of one sweep. Raises `RunsError` where there is none of that name."""
        if name not in self.sweeps:
            there = f"there is {', '.join(self.sweeps)}"
            refuse([Fault(", ".join(self.sources), 0, "sweep", name, there)])
        return self.select(self.table["sweep"].astype(str) == name)

    def up_to(self, flops: float) -> Runs:
        """The rows of models whose whole training took at most so much: the column `flops`, or
        6 N (D + D′) where it is empty. Raises `RunsError` where that is none."""
        spent = self.table["flops"].to_numpy(float)
        spent = np.where(np.isnan(spent), compute_of(self), spent)
        kept = spent <= flops
        if not kept.any():
            least = f"no run is as small; the smallest took {spent.min():.4g}"
            refuse([Fault(", ".join(self.sources) or "runs", 0, "flops", flops, least)])
        return self.select(kept)

    @property
    def recipes(self) -> tuple[str, ...]:
        """How second stages were done, `plain` where nothing was said. The first is the one that
        laws are fitted to: `plain` where it is among several."""
        t = self.table
        found = sorted(set(t.loc[t["specialize_tokens"] > 0, "recipe"].replace("", "plain")))
        return tuple(sorted(found, key=lambda name: name != "plain"))

    def of_recipes(self, names: Iterable[str]) -> Runs:
        """Rows before a split, and those whose second stage was one of these."""
        t = self.table
        one = t["recipe"].replace("", "plain").isin(set(names))
        return self.select((t["specialize_tokens"] == 0) | one)

    def on_branch(self) -> Runs:
        """Rows before a split, and rows of a branch on its own domain: what two-stage laws see."""
        one = self.of_recipes(self.recipes[:1])
        t = one.table
        return one.select((t["specialize_tokens"] == 0) | (t["branch"] == t["domain"]))

    def off_branch(self) -> Runs:
        """Rows of a branch on other domains: what `forgetting` sees."""
        one = self.of_recipes(self.recipes[:1])
        t = one.table
        return one.select((t["specialize_tokens"] > 0) & (t["branch"] != t["domain"]))

    @cached_property
    def counted(self) -> tuple[str, ...]:
        """Where rows seem not to count N, or FLOPs, alike."""
        t, found = self.table, []
        total = t["total_params"] > 0
        same = np.isclose(t["total_params"], t["params"], rtol=1e-6)
        if (total & same).any() and (total & ~same).any() and not self.embeddings:
            found.append(
                f"params counts the embeddings in {int((total & same).sum())} rows (it is "
                f"total_params) and not in {int((total & ~same).sum())}: take total_params for all "
                "with --embeddings, or count alike"
            )
        usual = t[(t["specialize_tokens"] == 0) | t["recipe"].isin(["", "plain"])]
        tokens = usual["pretrain_tokens"] + usual["specialize_tokens"]
        per_token = usual["flops"] / (usual["params"] * tokens)
        by_size = per_token.groupby(usual["params"])
        low, high = by_size.min(), by_size.max()
        if len(usual) and (high / low).max() > 1 + ALIKE:
            i = int(np.argmax(high / low))
            found.append(
                f"runs of N = {low.index[i]:g} have from {low.iloc[i]:.3g} N to {high.iloc[i]:.3g} "
                "N FLOPs a token: N or FLOPs are counted in two ways"
            )
        return tuple(found)

    def summary(self) -> list[str]:
        """Which rows went where, in sentences."""
        c = self.counts
        kept_out = ", ".join(f"{c[s]} {s}" for s in STATUSES[1:] if c.get(s))
        lines = [
            f"{c['read']} rows read, {c['kept']} kept"
            + (f"; kept out by their status: {kept_out}" if kept_out else "")
        ]
        if self.two_stage:
            lines.append(
                f"{len(self.on_branch())} rows before the split or on their own branch (fitted), "
                f"{len(self.off_branch())} off their branch (not fitted)"
            )
            if others := self.recipes[1:]:
                count = len(self) - len(self.of_recipes(self.recipes[:1]))
                lines.append(f"{count} rows of other recipes (not fitted): {', '.join(others)}")
        units = sorted(set(self.units.values()))
        lines.append(f"domains: {', '.join(self.domains)} ({', '.join(units)})")
        lines += ["N counts the embeddings"] if self.embeddings else []
        lines += self.counted
        if self.ignored:
            lines.append(f"columns without a meaning here: {', '.join(self.ignored)}")
        return lines

    def write(self, path: str | Path) -> Path:
        """Write the kept rows as CSV, atomically. `read_runs` gives them back."""
        path = Path(path)
        table = self.table.assign(unit=self.table["domain"].map(dict(self.units)))
        table[TEXTS] = table[TEXTS].map(guarded)
        with whole(path) as beside:
            table.to_csv(beside, index=False)
        return path


def compute_of(runs: Runs) -> np.ndarray:
    """6 N (D + D′) of every run."""
    x = runs.table
    return (6 * x["params"] * (x["pretrain_tokens"] + x["specialize_tokens"])).to_numpy(float)


def lineages_of(runs: Runs) -> np.ndarray:
    """The number of every run's trunk; trunks are numbered by their largest compute."""
    x = runs.table.assign(compute=compute_of(runs))
    largest = x.groupby(["sweep", "lineage"])["compute"].max().sort_values(kind="stable")
    number = {key: i for i, key in enumerate(largest.index)}
    return np.array([number[key] for key in zip(x["sweep"], x["lineage"], strict=True)])


def read_runs(
    *paths: str | Path,
    map: Mapping[str, str] | None = None,
    unit: str | None = None,
    embeddings: bool = False,
) -> Runs:
    """Read and check tables of runs: CSV or parquet, several files, globs.

    map: our column -> theirs, as {"loss": "val_loss"}. Where there is no `loss`, columns
        `loss/<domain>` or `loss_<domain>` are taken as one loss per domain.
    unit: of the losses: nats/token (default), bits/token, nats/byte, bits/byte; a `unit` column
        says it row by row.
    embeddings: whether N counts them; then `total_params` stands for `params` in every row.

    Missing columns: `domain` all, `branch` the domain where D′ > 0, `status` ok, `sweep` the
    file's name, `run_id` one per row, `lineage` the run_id, `flops` 6 N (D + D′). Rows whose
    status is diverged or failed are kept out and counted.

    Raises `RunsError` once, with every fault of every file: file, row, column, value, remedy.
    """
    faults: list[Fault] = []
    tables, ignored, sources = [], set(), []
    if unit is not None and unit not in UNITS:
        raise RunsError(f"unit '{unit}' is not one of {', '.join(UNITS)}")
    for file in expand(paths, faults):
        try:
            raw = read_cells(file)
        except Unreadable as why:
            faults.append(Fault(str(file), 0, "", None, str(why)))
            continue
        ours, without = checked(raw, str(file), file.stem, map or {}, unit, faults)
        tables.append(ours)
        ignored |= set(without)
        sources.append(str(file))
    if embeddings:
        tables = [_with_embeddings(table, faults) for table in tables]
    found = assembled(tables, tuple(sources), tuple(sorted(ignored)), faults)
    return replace(found, embeddings=embeddings)


def _with_embeddings(table: pd.DataFrame, faults: list[Fault]) -> pd.DataFrame:
    """The rows with all weights for N; FLOPs that were 6 N a token stay so."""
    if not len(table):
        return table
    total, remedy = table["total_params"], "missing, and --embeddings takes it for N; fill it in"
    missing = table[total.isna()]
    if len(missing) == len(table):
        faults.append(Fault(table["_file"].iloc[0], 0, "total_params", None, remedy))
    else:
        faults += [
            Fault(file, int(row) + 1, "total_params", None, remedy)
            for file, row in zip(missing["_file"], missing["_row"], strict=True)
        ]
    tokens = table["pretrain_tokens"] + table["specialize_tokens"]
    declared = np.isclose(table["flops"], 6 * table["params"] * tokens, rtol=1e-9)
    flops = table["flops"].where(~declared, 6 * total * tokens)
    return table.assign(params=total, flops=flops)


def expand(paths: Sequence[str | Path], faults: list[Fault]) -> list[Path]:
    files: list[Path] = []
    if not paths:
        faults.append(Fault("", 0, "", None, "no files given; try runs/*.csv"))
    for path in (str(p) for p in paths):
        # Path.glob takes no pattern that is absolute.
        found = sorted(glob.glob(path)) if glob.has_magic(path) else [path]  # noqa: PTH207
        if not found:
            faults.append(
                Fault(path, 0, "", None, "no file matches; check the folder and the name")
            )
        for file in found:
            if Path(file).is_dir():
                faults.append(
                    Fault(file, 0, "", None, f"is a folder; give its files: {file}/*.csv")
                )
            elif not Path(file).is_file():
                faults.append(Fault(file, 0, "", None, "no such file; check the path"))
            elif Path(file) not in files:
                files.append(Path(file))
    return files


class Unreadable(Exception):
    """Why a file is no table of runs, and what to do about it."""


def read_cells(file: Path) -> pd.DataFrame:
    """The file's cells as text. Raises `Unreadable`."""
    if file.suffix in (".parquet", ".pq"):
        try:
            return _parquet(file)
        except Unreadable:
            raise
        except ImportError:
            raise Unreadable("parquet needs pyarrow: pip install 'bayeslaw[parquet]'") from None
        except Exception as error:
            raise Unreadable(
                f"not readable as parquet ({type(error).__name__}); write it anew, or as CSV"
            ) from None
    problem = _sniff(file) or _misnamed(_header(file))
    if problem:
        raise Unreadable(problem)
    try:
        raw = pd.read_csv(file, dtype=str, keep_default_na=False, encoding="utf-8-sig",
                          index_col=False, on_bad_lines="error", header=None)  # fmt: skip
    except pd.errors.EmptyDataError:
        raise Unreadable("the file is empty; it needs a header and rows") from None
    except (pd.errors.ParserError, UnicodeDecodeError, ValueError) as error:
        raise Unreadable(
            f"not readable as CSV: {str(error).strip()}; every line needs as many cells as the "
            "header"
        ) from None
    header = raw.iloc[0].str.strip().tolist()
    if problem := _misnamed(header):
        raise Unreadable(problem)
    table = raw.iloc[1:].reset_index(drop=True)
    table.columns = pd.Index(header)
    if not len(table):
        raise Unreadable("a header but no rows")
    return table


def _header(file: Path) -> list[str]:
    """The names of a CSV's columns: pandas would lay out any number of them first."""
    with file.open(encoding="utf-8-sig", newline="") as stream:
        try:
            return [name.strip() for name in next((row for row in csv.reader(stream) if row), [])]
        except csv.Error as error:
            raise Unreadable(f"not readable as CSV: {error}; is this a table?") from None


def _parquet(file: Path) -> pd.DataFrame:
    """A few bytes of parquet may stand for billions of cells, or one long text repeated: they are
    counted before they are laid out."""
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow.parquet import ParquetFile

    with ParquetFile(file) as opened:
        about, schema = opened.metadata, opened.schema_arrow
        groups = [about.row_group(i) for i in range(about.num_row_groups)]
        values = sum(g.column(j).num_values for g in groups for j in range(g.num_columns))
        held = sum(g.total_byte_size for g in groups)
        if max(values, about.num_rows * len(schema.names)) > CELLS or held > MOST:
            raise Unreadable(_too_many(about.num_rows, len(schema.names)))
    if problem := _misnamed(schema.names):
        raise Unreadable(problem)
    types = {
        f.name: f.type.value_type if pa.types.is_dictionary(f.type) else f.type for f in schema
    }
    texts = [n for n, t in types.items() if pa.types.is_string(t) or pa.types.is_large_string(t)]
    with ParquetFile(file, read_dictionary=texts) as opened:
        table = opened.read()
    for name in texts:
        chunks = table[name].chunks
        longest = [pc.max(pc.binary_length(c.dictionary)).as_py() or 0 for c in chunks]
        if max(longest, default=0) * len(table) > MOST:
            raise Unreadable(f"column '{name}' has a text of {max(longest)} bytes; leave it out")
        i = table.schema.get_field_index(name)
        table = table.set_column(i, name, table[name].cast(types[name]))
    return table.replace_schema_metadata(schema.metadata).to_pandas()


def _too_many(rows: int, columns: int) -> str:
    return (
        f"{rows} rows or more, of {columns} columns; tables of up to {CELLS} cells and {MOST} "
        "bytes are read: keep its evaluations only"
    )


def _misnamed(header: Sequence[str]) -> str:
    """What is wrong with the names of the columns."""
    twice = sorted(name for name, count in Counter(header).items() if count > 1)
    if twice:
        return f"columns named twice: {', '.join(twice[:SHOWN])}; rename one of each"
    if len(header) > COLUMNS_MOST:
        return f"{len(header)} columns; tables of up to {COLUMNS_MOST} are read: leave some out"
    for i, name in enumerate(header):
        if len(name) > NAME_MOST:
            return f"column {i + 1} has a name of {len(name)} characters; is this a table?"
        if name == "_row":
            return "a column '_row', which is a name of ours; rename it"
        if not printable(name):
            return f"column {i + 1}, {name!r}: a control character in its name; rename it"
    return ""


def _sniff(file: Path) -> str:
    """What makes the file no text table, found in pieces so that nothing huge is loaded."""
    run, size, ends, commas = 0, 0, 0, 0
    with file.open("rb") as stream:
        while piece := stream.read(1 << 16):
            if b"\0" in piece:
                return "a binary file; give CSV or parquet"
            lines = piece.split(b"\n")
            size, ends = size + len(piece), ends + len(lines) - 1
            commas += piece.count(b",")
            if len(lines) == 1:
                run += len(piece)
            else:
                run = max(run + len(lines[0]), *map(len, lines[1:]))
            if run > MAX_LINE:
                return f"a line is longer than {MAX_LINE} bytes; this is not a table of runs"
            run = len(lines[-1]) if len(lines) > 1 else run
            if size > MOST or commas + ends > CELLS:
                return _too_many(ends, 1 + commas // max(ends, 1))
    try:
        with file.open(encoding="utf-8") as text:
            while text.read(1 << 20):
                pass
    except UnicodeDecodeError as error:
        return f"not UTF-8 (byte {error.start}); save it as UTF-8"
    return ""


def checked(
    table: pd.DataFrame,
    file: str,
    sweep: str,
    mapping: Mapping[str, str],
    unit: str | None,
    faults: list[Fault],
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Our columns, filled and converted; faults are added to the list."""
    table = renamed(table, file, mapping, faults)
    losses, errors = ({}, {}) if "loss" in table else _wide(table)
    known = {*NAMES, "unit", "_row", *losses, *errors.values()}
    ignored = tuple(c for c in table.columns if c not in known)
    here: list[Fault] = []
    table = table.drop(columns=list(ignored))
    if len(table) * len(losses) > CELLS / len(NAMES):
        remedy = f"{len(losses)} losses in each of {len(table)} rows: give the file in parts"
        faults.append(Fault(file, 0, "loss", None, remedy))
        return pd.DataFrame(), ignored
    if losses:
        table = _long(table, losses, errors)
    table = table.reset_index(drop=True)
    for column in COLUMNS:
        if column.required and column.name not in table:
            close = difflib.get_close_matches(column.name, [str(c) for c in ignored], 1, 0.5)
            hint = (
                f"; is it '{close[0]}'? then --map {column.name}={close[0]}"
                if close
                else (f"; name it with --map {column.name}=THEIRS")
            )
            here.append(Fault(file, 0, column.name, None, f"missing{hint}"))
    row = table["_row"] if "_row" in table else pd.Series(np.arange(len(table)))
    status = _text(table, "status", "ok").replace("", "ok")
    bad = ~status.isin(STATUSES)
    here += [
        Fault(file, int(row[i]) + 1, "status", status[i], f"use one of {', '.join(STATUSES)}")
        for i in np.flatnonzero(bad)
    ]
    done = {"status": status}
    for column in COLUMNS:
        if column.name == "status" or (column.required and column.name not in table):
            continue
        if column.kind == "text":
            done[column.name] = _text(table, column.name, column.default)
            here += _unprintable(done[column.name], column.name, file, row)
        else:
            done[column.name] = _number(table, column, status, file, row, here)
    if any(f.row == 0 for f in here):
        faults += here
        return pd.DataFrame(), ignored
    _fill(done, table, sweep, unit, file, row, here)
    faults += sorted(here, key=lambda fault: fault.row)
    frame = pd.DataFrame(done)[[*NAMES, "unit"]].assign(_file=file, _row=row)
    # What is wrong already is not compared with other rows.
    return frame[~row.isin([fault.row - 1 for fault in here])], ignored


def digest_of(table: pd.DataFrame) -> str:
    """sha256 of the rows, whatever their order."""
    rows = np.sort(pd.util.hash_pandas_object(table, index=False).to_numpy())
    return hashlib.sha256(rows.tobytes()).hexdigest()


def renamed(
    table: pd.DataFrame, file: str, mapping: Mapping[str, str], faults: list[Fault]
) -> pd.DataFrame:
    """The columns that `mapping`, ours -> theirs, names by our names; faults get what is not
    there."""
    for ours, theirs in mapping.items():
        if theirs not in table:
            faults.append(
                Fault(file, 0, theirs, None, f"not in the file, so it cannot be '{ours}'")
            )
    taken = {ours for ours, theirs in mapping.items() if theirs in table and theirs != ours}
    table = table.drop(columns=[c for c in table if c in taken])
    return table.rename(columns={theirs: ours for ours, theirs in mapping.items()})


def _wide(table: pd.DataFrame) -> tuple[dict[str, str], dict[str, str]]:
    """Column `loss/<domain>` or `loss_<domain>` -> domain; domain -> that of its standard error."""
    found = {
        c: c[5:]
        for c in (str(column) for column in table.columns)
        if c[:5] in ("loss/", "loss_") and c[5:] and not c.startswith("loss_se")
    }
    errors = {d: e for d in found.values() for e in (f"loss_se/{d}", f"loss_se_{d}") if e in table}
    return found, errors


def _long(table: pd.DataFrame, found: Mapping[str, str], errors: Mapping[str, str]) -> pd.DataFrame:
    """One row per loss column."""
    kept = table.drop(columns=[*found, *errors.values()])
    parts = []
    for column, domain in found.items():
        part = kept.assign(loss=table[column], domain=domain, _row=np.arange(len(table)))
        if domain in errors:
            part["loss_se"] = table[errors[domain]]
        parts.append(part[part["loss"].astype(str).str.strip() != ""])
    return pd.concat(parts)


def _text(table: pd.DataFrame, name: str, default: str) -> pd.Series:
    if name not in table:
        return pd.Series([default] * len(table), dtype=object)
    values = table[name]
    names = values.where(values.notna(), "").astype(str).str.strip().replace("", default)
    if names.str.startswith("'").any():
        names = names.map(unguarded)
    return names.astype(object)


def _unprintable(names: pd.Series, column: str, file: str, row: pd.Series) -> list[Fault]:
    if printable("".join(names)):
        return []
    return [
        Fault(file, int(row[i]) + 1, column, name, "a control character in a name; rename it")
        for i, name in enumerate(names)
        if not printable(name)
    ]


def _number(
    table: pd.DataFrame,
    column: Column,
    status: pd.Series,
    file: str,
    row: pd.Series,
    faults: list[Fault],
) -> pd.Series:
    """The column as floats; human numbers are read, all else that is no number is a fault."""
    if column.name not in table:
        return pd.Series(np.full(len(table), column.default, dtype=float))
    raw = table[column.name]
    text = raw.where(raw.notna(), "").astype(str).str.strip()
    empty = (text == "").to_numpy()
    values = pd.to_numeric(text.where(~empty, None), errors="coerce").to_numpy(float).copy()
    excused = (status != "ok").to_numpy() & (column.name in ("loss", "loss_se"))
    for i in np.flatnonzero(np.isnan(values) & ~empty):
        try:
            if column.name in ("loss", "loss_se") and "," in text[i]:
                raise ValueError("a comma groups the digits of large numbers")
            values[i] = float("nan") if text[i].lower() == "nan" else parse_quantity(text[i])
        except ValueError:
            if not excused[i]:
                remedy = "text where a number belongs; write 7e9, 7B or 350M"
                faults.append(Fault(file, int(row[i]) + 1, column.name, text[i], remedy))
                values[i] = column.least if column.least and not column.above else 1.0
    if not column.required:
        values = np.where(empty, column.default, values)
    missing = np.isnan(values) & ~(empty if not column.required else False) & ~excused
    remedies = [(missing, "no number; fill it in, or mark the run's status diverged")]
    if column.finite:
        remedies.append((np.isinf(values) & ~excused, "infinite; mark the run's status diverged"))
    if column.least is not None:
        low = values <= column.least if column.above else values < column.least
        than = "more than" if column.above else "at least"
        remedies.append((low & ~excused & ~np.isinf(values), f"must be {than} {column.least:g}"))
    if column.most is not None:
        remedies.append((values > column.most, f"must be at most {column.most:g}"))
    for wrong, remedy in remedies:
        faults += [
            Fault(file, int(row[i]) + 1, column.name, text[i], remedy)
            for i in np.flatnonzero(wrong)
        ]
    return pd.Series(values)


def _fill(
    done: dict[str, pd.Series],
    table: pd.DataFrame,
    sweep: str,
    unit: str | None,
    file: str,
    row: pd.Series,
    faults: list[Fault],
) -> None:
    """What absent columns mean, the unit of the losses, and what rows must agree on."""
    split = done["specialize_tokens"] > 0
    given = done["branch"] != ""
    faults += [
        Fault(file, int(row[i]) + 1, "branch", done["branch"][i],
              "a branch with specialize_tokens 0; leave it empty, or give the tokens")
        for i in np.flatnonzero(given & ~split)
    ]  # fmt: skip
    untrained = (done["pretrain_tokens"] == 0) & ~split
    faults += [
        Fault(file, int(row[i]) + 1, "pretrain_tokens", 0.0,
              "no tokens in either stage: no law speaks of it; leave the row out")
        for i in np.flatnonzero(untrained)
    ]  # fmt: skip
    fewer = done["total_params"] < done["params"] * (1 - 1e-6)
    faults += [
        Fault(file, int(row[i]) + 1, "total_params", float(done["total_params"][i]),
              f"fewer weights than params, {done['params'][i]:g}: it counts the embeddings too")
        for i in np.flatnonzero(fewer)
    ]  # fmt: skip
    done["branch"] = done["branch"].where(given, done["domain"].where(split, ""))
    done["sweep"] = done["sweep"].replace("", sweep)
    one_each = pd.Series([f"row{int(r) + 1}" for r in row], dtype=object)
    done["run_id"] = done["run_id"].where(done["run_id"] != "", one_each)
    done["lineage"] = done["lineage"].where(done["lineage"] != "", done["run_id"])
    tokens = done["pretrain_tokens"] + done["specialize_tokens"]
    done["flops"] = done["flops"].fillna(6 * done["params"] * tokens)
    said = _text(table, "unit", unit or "nats/token")
    faults += [
        Fault(file, int(row[i]) + 1, "unit", said[i], f"use one of {', '.join(UNITS)}")
        for i in np.flatnonzero(~said.isin(UNITS))
    ]
    scale = said.str.split("/").str[0].map(NATS).fillna(1.0)
    done["loss"], done["loss_se"] = done["loss"] * scale, done["loss_se"] * scale
    done["unit"] = "nats/" + said.str.split("/").str[-1]


def assembled(
    tables: list[pd.DataFrame],
    sources: tuple[str, ...],
    ignored: tuple[str, ...],
    faults: list[Fault],
    counted: Mapping[str, str] | None = None,
) -> Runs:
    """One table of all files: keys unique, one unit per domain, kept rows only.

    counted: file -> what its rows are called in faults, where it is no table.
    Raises `RunsError` with these faults and those that only show when files are put together.
    """
    sound = [t for t in tables if len(t)]
    if not sound:
        refuse(faults or [Fault(", ".join(sources), 0, "loss", None, "no row has one")])
    table = pd.concat(sound, ignore_index=True)
    for i in np.flatnonzero(table.duplicated(KEY, keep="first")):
        r = table.iloc[i]
        key = ", ".join(f"{k} {r[k]:g}" if isinstance(r[k], float) else f"{k} {r[k]}" for k in KEY)
        remedy = f"measured twice ({key}); drop one, or give repeats their own run_id"
        called = (counted or {}).get(r["_file"], "")
        faults.append(Fault(r["_file"], int(r["_row"]) + 1, "run_id", r["run_id"], remedy, called))
    units = table.groupby("domain")["unit"].unique()
    for domain, found in units.items():
        if len(found) > 1:
            remedy = f"two units within domain '{domain}'; convert one, or rename it"
            faults.append(Fault(sources[0], 0, "unit", ", ".join(found), remedy))
    refuse(faults)
    ok = table["status"] == "ok"
    counts = {"read": len(table), "kept": int(ok.sum())} | {
        s: int((table["status"] == s).sum()) for s in STATUSES[1:]
    }
    kept = table.loc[ok, list(NAMES)].reset_index(drop=True)
    places = table.loc[ok, ["_file", "_row"]].reset_index(drop=True)
    if not len(kept):
        raise RunsError(
            f"{', '.join(sources)}: no rows left, all {len(table)} are diverged or failed"
        )
    said = {str(d): u[0] for d, u in units.items()}
    return Runs(kept, counts, said, sources, ignored, places)


def schema() -> Any:
    """The promise that every `Runs.table` keeps, as a pandera schema derived from `COLUMNS`.

    The reader names every fault in the words of the file, so a table that it made needs no second
    look: the schema is for tests, and for tables that were made elsewhere. Pandera loads with it.
    """
    import pandera.pandas as pa

    def column(c: Column) -> Any:
        if c.kind == "text":
            return pa.Column(object, coerce=True)
        checks = (
            [pa.Check.gt(c.least) if c.above else pa.Check.ge(c.least)]
            if c.least is not None
            else []
        )
        return pa.Column(float, checks, nullable=not c.required)

    return pa.DataFrameSchema({c.name: column(c) for c in COLUMNS}, strict=True, unique=KEY)


def refuse(faults: Sequence[Fault]) -> None:
    """Raise one `RunsError` with all of them, file by file. Nothing happens when there are none."""
    if not faults:
        return
    files: dict[str, list[Fault]] = {}
    for fault in faults:
        files.setdefault(fault.file, []).append(fault)
    lines = []
    for file, found in files.items():
        lines.append(f"{file or 'runs'}: {len(found)} fault{'s' * (len(found) > 1)}")
        lines += [f"  {fault}" for fault in found[:SHOWN]]
        if len(found) > SHOWN:
            lines.append(f"  ... and {len(found) - SHOWN} more")
    raise RunsError("\n".join(lines))
