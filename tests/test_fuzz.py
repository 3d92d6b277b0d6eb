"""Whatever is in a file, it is read or refused in words: no traceback, no hang, no flood of memory.

`make test` tries some 2 000 files, always the same. `make fuzz` tries six times as many, other ones
each time: BAYESLAW_FUZZ is the factor.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import struct
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from bayeslaw import BayeslawError, import_runs, read_runs
from bayeslaw.evaluate.task import read_task
from bayeslaw.forecast import read_designs
from bayeslaw.infer.priors import read_priors
from bayeslaw.plan.architecture import read_architectures
from bayeslaw.plan.devices import measured_mfu, read_devices
from bayeslaw.plan.routing import read_confusion
from bayeslaw.readers import READERS
from bayeslaw.runs import NAMES
from bayeslaw.sweep import read_sweep
from bayeslaw.sweep.listed import listed
from bayeslaw.sweep.llama import config_of, read_config, shape_of
from bayeslaw.sweep.shape import Shape
from bayeslaw.verify.plan_file import read_plan
from tests.readers.logs import CASES

ROOT = Path(__file__).resolve().parents[1]
TIMES = int(os.environ.get("BAYESLAW_FUZZ", "1"))
SECONDS = 10  # of one processor, for one small file
FLOOD = 400_000  # kB that a thousand small files may add to the process


def fuzz(examples: int) -> Callable[[Callable], Callable]:
    return settings(
        max_examples=examples * TIMES, derandomize=TIMES == 1, database=None, deadline=None,
        phases=[Phase.generate, *([Phase.shrink] if TIMES > 1 else [])],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip


@contextmanager
def bounded():
    """An error after too long a time, or for too much memory."""

    def late(*_):
        raise TimeoutError(f"no answer in {SECONDS} s")

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    old = signal.signal(signal.SIGPROF, late)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)  # of the process's own time
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, old)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < FLOOD


def answered(call: Callable[[Path], object], path: Path) -> None:
    said = "read"
    with bounded():
        try:
            call(path)
        except BayeslawError as error:
            said = str(error)
    assert said  # in words


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz")


# --- bytes: a sound file, cut, joined and overwritten

JUNK = [
    b"null", b"[]", b"{}", b"-1", b"0", b"1e999", b"-inf", b"NaN", b'"x"', b",,", b"\n", b"\r",
    b"{" * 9, b"[" * 3000, b"true", b"9" * 400, b"9" * 5000, b"\xff", b"\xed\xa0\x80", b"\\ud800",
    b"\\u0000", b"\x1b[2J", b"=cmd()", b"'=1", b"''", b'"', b"a.b.c", b"#", b"'''", b'"""', b"= ",
    b"[[a]]", b"1e308", b"1979-05-27", b"\xe2\x80\xa8", b"7B", b"1e-400", b"\t", b"../../x",
]  # fmt: skip


@st.composite
def spoilt(draw, sound: bytes) -> bytes:
    text = bytearray(sound)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(text)))
        what = draw(st.integers(0, 4))
        if what == 0:
            text[at : at + draw(st.integers(0, 20))] = draw(st.binary(max_size=8))
        elif what == 1:
            text[at : at + draw(st.integers(0, 6))] = draw(st.sampled_from(JUNK))
        elif what == 2:
            del text[at : at + draw(st.integers(0, 200))]
        elif what == 3:
            piece = text[at : at + draw(st.integers(0, 200))]
            text[at:at] = piece * draw(st.integers(1, 3))
        else:  # whole lines, or what stands between commas
            by = draw(st.sampled_from([b"\n", b",", b"="]))
            parts = bytes(text).split(by)
            i, j = (draw(st.integers(0, len(parts) - 1)) for _ in "ij")
            parts[i], parts[j] = parts[j], draw(st.sampled_from([parts[i], *JUNK]))
            text = bytearray(by.join(parts))
    return bytes(text)


SWEEP = b"""name = "pilot"
corpus = "folder"
corpus_options = { path = "texts", min_bytes = 1000 }
domains = ["code", "prose"]
recipe = "bytes-wsd"
design = "grid"
widths = [16, 32]
pretrain_tokens = ["1.6M", 2400000]
specialize_tokens = ["32k"]
seeds = [0, 1]
repeat_widths = [16]
epochs = 2.0
[[second_stage]]
recipe = "replay"
replay = 0.1
[[second_stage]]
recipe = "joint"
weights = { code = 2.0, prose = 1 }
"""
DEVICES = b"""[mine]
peak = { bf16 = 500e12, "fp8" = 1e15 }
price = 2.5
memory = 80e9
source = "its data sheet"
priced = "2026-11-26"
"""
SIZES = b"[small]\nparams = '125M'\nlayers = 12\n[large]\nparams = 7e9\nlayers = 32\nwidth = 4096\n"
PRIORS = b"""a_size = { lognormal = [0.35, 0.2] }
b_data = { normal = [0.0, 1] }
shares = { dirichlet = [3, 1, 1] }
sigma = { halfnormal = 0.02 }
"""
PLAN = json.dumps(
    {
        "schema": 1,
        "arrangement": "trunk",
        "params": 1e6,
        "pretrain_tokens": {"code": 1e8, "prose": 1e8},
        "specialize_tokens": {"code": 1e7, "prose": 2e7},
        "weights": {"code": 0.5, "prose": 0.5},
        "budget": {"flops": 1e15},
        "baselines": [
            {"name": "generalist", "arrangement": "generalist", "params": 1e6,
             "pretrain_tokens": 1e8, "specialize_tokens": 0}
        ],
        "posterior": {"path": "posterior.nc", "sha256": "00"},
    }
).encode()  # fmt: skip
LIST = b"params,pretrain_tokens,specialize_tokens,branch,recipe\n6k,1.6M,32k,code,plain\n9k,2M,,,\n"
TIMES_CSV = b"cell,params,flops,seconds,devices\na,100,1e12,3.5,1\nb,200,2e12,4.5,2\n"
ROUTING = (
    b'{"by": "clusters", "confusion": {"code": {"code": 0.9, "prose": 0.1}, "prose": {"prose": 1}}}'
)
TASK = b'{"context": "a b", "choices": ["c", "d"], "answer": 1, "domain": "code"}\n' * 2
LLAMA = json.dumps(
    config_of(Shape(width=16, layers=2, head_width=8, context=64, vocabulary=256))
).encode()
RUNS = b"\n".join((ROOT / "runs" / "quickstart.csv").read_bytes().splitlines()[:4]) + b"\n"
WIDE = b"run_id,params,tokens,loss/code,loss_se/code,loss_prose,unit\na,7B,1e9,2.5,.01,,bits/byte\n"
ALL = (
    ",".join(NAMES) + ",unit\n"
    "s,r,l,0,1e6,1e8,1.1e6,1e7,code,code,2.5,.01,1e9,inf,1,1,plain,0,0,1e15,2,ok,nats/token\n"
).encode()


def of_domains(path: Path) -> object:
    return listed(path, ("code", "prose"))


def with_embeddings(path: Path) -> object:
    return read_runs(path, embeddings=True)


def mapped(path: Path) -> object:
    return read_runs(path, map={"pretrain_tokens": "tokens"}, unit="bits/token")


def routed(path: Path) -> object:
    return read_confusion(path, ("code", "prose"))


def llama(path: Path) -> object:
    return shape_of(read_config(path.parent))


def timed(path: Path) -> object:
    return measured_mfu(path, read_devices()["h100"])


# what is called, on a file of which name, that was sound once; how many cases
FILES: dict[str, tuple[Callable[[Path], object], str, bytes, int]] = {
    "sweep.toml": (read_sweep, "sweep.toml", SWEEP, 200),
    "devices": (read_devices, "devices.toml", DEVICES, 150),
    "architectures": (read_architectures, "sizes.toml", SIZES, 100),
    "priors": (read_priors, "priors.toml", PRIORS, 100),
    "plan.json": (read_plan, "plan.json", PLAN, 150),
    "routing": (routed, "routing.json", ROUTING, 100),
    "task": (read_task, "task.jsonl", TASK, 100),
    "Llama": (llama, "config.json", LLAMA, 150),
    "listed runs": (of_domains, "list.csv", LIST, 100),
    "listed runs, JSON": (of_domains, "list.json", b'{"runs": [{"params": 6e3}]}', 50),
    "architectures, CSV": (read_architectures, "sizes.csv", b"params,name\n7B,a\n1e6,b\n", 50),
    "designs": (read_designs, "designs.csv", LIST, 50),
    "timings": (timed, "timings.csv", TIMES_CSV, 50),
    "runs": (read_runs, "runs.csv", RUNS, 150),
    "runs, all columns": (with_embeddings, "runs.csv", ALL, 100),
    "runs, wide": (mapped, "runs.csv", WIDE, 100),
}


@pytest.mark.parametrize("name", FILES)
def test_no_bytes_make_a_traceback(name, folder):
    call, file, sound, examples = FILES[name]
    path = folder / file

    @fuzz(examples)
    @given(text=spoilt(sound))
    def tried(text):
        path.write_bytes(text)
        answered(call, path)

    tried()


@pytest.mark.parametrize("reader", READERS)
def test_no_log_makes_a_traceback(reader, folder):
    cases = [c for c in CASES.values() if c.reader == reader]
    sound = [(c, p, p.read_bytes()) for i, c in enumerate(cases)
             for p in [c.write(folder / f"{reader}{i}")]]  # fmt: skip

    @fuzz(50)
    @given(data=st.data())
    def tried(data):
        case, path, text = data.draw(st.sampled_from(sound))
        path.write_bytes(data.draw(spoilt(text)))
        named = data.draw(st.sampled_from([reader, None]))
        answered(lambda p: import_runs(p, reader=named, set=case.set, map=case.map), path)

    tried()


# --- tables: sound as CSV, with anything in their cells

CELL = st.one_of(
    st.sampled_from(["", "1", "7B", "1e9", "-1", "nan", "inf", "1e308", "1e-308", "ok", "diverged",
                     "bits/byte", "code", "=1+1", "'=1", "@x", " ", "0", "٣", "1_0", "0x1p3"]),
    st.text(max_size=6),
    st.floats().map(repr),
)  # fmt: skip
COLUMN = st.one_of(
    st.sampled_from([*NAMES, "unit", "loss/code", "loss_x", "loss_se/code", "loss_se_x", "_row"]),
    st.text(max_size=6),
)


def quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"'


@fuzz(200)
@given(
    header=st.lists(COLUMN, max_size=8).map(lambda c: ["params", "pretrain_tokens", "loss", *c]),
    rows=st.lists(st.lists(CELL, min_size=11, max_size=11), min_size=1, max_size=3),
)
def test_no_table_makes_a_traceback_and_what_is_read_is_written_and_read_again(
    folder, header, rows
):
    lines = [header, *(row[: len(header)] for row in rows)]
    text = "\n".join(",".join(map(quoted, line)) for line in lines)
    path = folder / "table.csv"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))

    def there_and_back(path: Path) -> None:
        runs = read_runs(path)
        assert read_runs(runs.write(folder / "again.csv")).digest == runs.digest

    answered(there_and_back, path)


# --- what is small as a file and large in memory


def test_a_few_bytes_of_parquet_are_not_laid_out_as_billions_of_cells(folder):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    rows = 30_000_000
    table = pa.table({"loss": pa.nulls(rows, pa.float64())})
    pq.write_table(table, folder / "many.parquet")
    assert (folder / "many.parquet").stat().st_size < 1e6
    with pytest.raises(BayeslawError, match="30000000 rows"), bounded():
        read_runs(folder / "many.parquet")
    long = pa.array(["x" * 100_000] * 10_000).dictionary_encode()
    pq.write_table(pa.table({"run_id": long}), folder / "long.parquet")
    with pytest.raises(BayeslawError, match="a text of 100000 bytes"), bounded():
        read_runs(folder / "long.parquet")


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.csv", ",".join(f"c{i}" for i in range(100_000)) + "\n1\n", "100000 columns"),
        ("a.csv", "x" * 2000 + ",b\n1,2\n", "a name of 2000 characters"),
        ("a.csv", "params,pretrain_tokens," + ",".join(f"loss_{i}" for i in range(4000)) + "\n"
         + ("1,1" + "," * 4000 + "\n") * 240, "4000 losses in each of 240 rows"),
        ("a.csv", "," * 999_000 + "\n", "columns named twice"),
        ("a.csv", ("," * 999_000 + "\n") * 30, "tables of up to"),
        ("a.jsonl", "".join(f'{{"step": {i}, "m{i}": 1}}\n' for i in range(6000)), "6002 names"),
        ("a.jsonl", '{"step": 1, "' + "eval/" * 100_000 + '": 2}\n', "no held-out loss"),
        ("a.jsonl", '{"a":' * 100_000, "no JSON object"),
        ("a.json", "[" * 100_000, "no reader knows this shape"),
    ],
    ids=["columns", "name", "domains", "empty", "cells", "names", "slashes", "deep", "nested"],
)  # fmt: skip
def test_what_would_take_the_square_of_a_files_size_is_refused(folder, name, text, said):
    path = folder / name
    path.write_text(text)
    readers = {".csv": read_runs, ".jsonl": lambda p: import_runs(p, reader="json_lines")}
    call = readers.get(path.suffix, import_runs)
    with bounded(), pytest.raises(BayeslawError, match=said):
        call(path)


@pytest.mark.parametrize("name", ["sweep.toml", "devices", "architectures", "priors"])
@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"a = " + b"[" * 100_000, "nested too deeply"),
        (b"a = " + b"{a=" * 50_000, "nested too deeply"),
        (b"a = 1" + b"0" * 100_000, "not readable as TOML"),
        (b"# " + b"x" * (1 << 20), "TOML of up to"),
        (b"a" + b".a" * 100_000 + b" = 1", "nested too deeply"),
    ],
    ids=["lists", "tables", "digits", "long", "dots"],
)
def test_toml_that_is_nested_or_long_beyond_reason_is_refused(folder, name, text, said):
    call, file, *_ = FILES[name]
    (folder / file).write_bytes(text)
    with bounded(), pytest.raises(BayeslawError, match=said):
        call(folder / file)


def test_a_posterior_that_is_none_is_refused(folder):
    from bayeslaw import read_posterior

    for text in (b"", b"CDF\x01" + struct.pack(">q", -1), b"\x89HDF\r\n\x1a\n" + b"\xff" * 200):
        (folder / "posterior.nc").write_bytes(text)
        answered(read_posterior, folder / "posterior.nc")
