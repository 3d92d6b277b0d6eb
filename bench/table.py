"""One table: bayeslaw beside what is installed of other tools, and how it grows.

Every contestant gets the same simulated or public sweeps and says the loss at far designs, with a
95 % interval. Times are of a warm process, the median of the replicates; errors are root mean
squares over them. Ratios are to bayeslaw's, and are what to compare between machines.

    python bench/table.py [--replicates 5] [--case NAME] [--tool NAME] [--write]

Peers are looked for in this interpreter, in `.venv312` and in those of BENCH_PYTHONS (a path list):
`pip install chinchilla` on 3.11; `pip install simple-scaling-laws mixle` on 3.12.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
import tempfile
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "bench"))
from peers import NEEDS  # noqa: E402

PUBLIC = ROOT.parent / "shared" / "data" / "chinchilla.csv"
FAR = (4.3e10, 5.76e23 / 6 / 4.3e10)  # N and D of the budget that Chinchilla was trained with
TRUTH = {"E": 1.8172, "A": 482.01, "B": 2085.43, "alpha": 0.3478, "beta": 0.3658}


def loss(n: Any, d: Any, scale: float = 1.0) -> Any:
    t = TRUTH
    return scale * (t["E"] + t["A"] * n ** -t["alpha"] + t["B"] * d ** -t["beta"])


def sweep(rows: int, seed: int, outliers: bool = False, domains: int = 1) -> dict[str, Any]:
    """A simulated sweep (noise 1 %) and its question: the mean loss at the far design."""
    rng = np.random.default_rng([rows, seed, outliers, domains])
    table: dict[str, list[Any]] = {c: [] for c in ("params", "pretrain_tokens", "loss", "domain")}
    scales = np.exp(0.15 * np.arange(domains))
    n = np.exp(rng.uniform(np.log(5e7), np.log(1.6e10), rows))
    d = np.exp(rng.uniform(np.log(5e9), np.log(5e11), rows))
    for k, scale in enumerate(scales):
        y = loss(n, d, scale) * np.exp(0.01 * rng.standard_normal(rows))
        if outliers:
            raised = rng.permutation(rows) < round(0.05 * rows)
            y = np.where(raised, y * (1 + rng.uniform(0.05, 0.15, rows)), y)
        for column, values in (("params", n), ("pretrain_tokens", d), ("loss", y)):
            table[column] += values.tolist()
        table["domain"] += [f"d{k}"] * rows
    far = {"params": [FAR[0]] * domains, "pretrain_tokens": [FAR[1]] * domains,
           "domain": [f"d{k}" for k in range(domains)]}  # fmt: skip
    truth = loss(*FAR, scales).tolist()
    return {"table": table, "far": far, "run": False, "seed": seed, "truth": truth}


def public(seed: int) -> dict[str, Any]:
    """The smaller half of the Chinchilla runs by compute; the larger half, as new runs."""
    import pandas as pd

    table = pd.read_csv(PUBLIC)
    table = table[table["epoch_kept"] == 1] if "epoch_kept" in table else table
    table = table.assign(flops=6 * table["params"] * table["pretrain_tokens"]).sort_values("flops")
    half = len(table) // 2
    names = ["params", "pretrain_tokens", "loss"]
    low, high = (t[names].assign(domain="all").to_dict("list") for t in
                 (table.iloc[:half], table.iloc[half:]))  # fmt: skip
    far = {c: high[c] for c in ("params", "pretrain_tokens", "domain")}
    return {"table": low, "far": far, "run": True, "seed": seed, "truth": high["loss"]}


CASES = {
    "clean, 245 rows": lambda seed: sweep(245, seed),
    "small, 24 rows": lambda seed: sweep(24, seed),
    "outliers, 60 rows": lambda seed: sweep(60, seed, outliers=True),
    "3 domains x 20 rows": lambda seed: sweep(20, seed, domains=3),
}
if PUBLIC.is_file():
    CASES["Chinchilla, larger half"] = public


@lru_cache
def interpreter(needed: str) -> str | None:
    """The first interpreter that has it."""
    others = os.environ.get("BENCH_PYTHONS", "").split(os.pathsep)
    for python in (sys.executable, str(ROOT / ".venv312" / "bin" / "python"), *others):
        if python and Path(python).is_file():
            code = f"import importlib.util, sys; sys.exit(not importlib.util.find_spec('{needed}'))"
            if subprocess.run([python, "-c", code], cwd=ROOT / "bench").returncode == 0:
                return python
    return None


def judged(questions: list[dict[str, Any]], answers: list[dict[str, Any]]) -> dict[str, Any]:
    """Time, error, coverage and width over the replicates; the first one compiles."""
    sound = [(q, a) for q, a in zip(questions, answers, strict=True) if "failed" not in a]
    if not sound:
        return {"failed": answers[0]["failed"]}
    seconds = [a["seconds"] for _, a in sound]
    truth = np.concatenate([q["truth"] for q, _ in sound])
    said = np.concatenate([a["prediction"] for _, a in sound])
    found: dict[str, Any] = {
        "seconds": float(np.median(seconds[1:] or seconds)),
        "first": seconds[0],
        "error": float(np.sqrt(np.mean((said / truth - 1) ** 2))),
        "failures": len(questions) - len(sound),
    }
    if sound[0][1]["low"] is not None:
        low, high = (np.concatenate([a[k] for _, a in sound]) for k in ("low", "high"))
        found["covered"] = float(np.mean((low < truth) & (truth < high)))
        found["width"] = float(np.mean((high - low) / truth))
    return found


def compared(cases: list[str], tools: list[str], replicates: int) -> list[dict[str, Any]]:
    rows = []
    for case in cases:
        count = 2 if case.startswith("Chinchilla") else replicates
        questions = [CASES[case](seed) for seed in range(count)]
        ours: dict[str, Any] = {}
        for tool in tools:
            python = interpreter(NEEDS[tool])
            if python is None:
                rows.append({"case": case, "tool": tool, "failed": "not installed"})
                continue
            done = subprocess.run(
                [python, str(ROOT / "bench" / "peers.py"), tool],
                input=json.dumps(questions), capture_output=True, text=True,
            )  # fmt: skip
            if done.returncode:
                rows.append({"case": case, "tool": tool, "failed": done.stderr[-200:]})
                continue
            row = judged(questions, json.loads(done.stdout.splitlines()[-1]))
            ours = ours or row
            ratios = {f"{k} ratio": row[k] / ours[k] for k in ("seconds", "error", "width")
                      if k in row and ours.get(k)}  # fmt: skip
            rows.append({"case": case, "tool": tool, "replicates": count, **row, **ratios})
            print(line(rows[-1]), flush=True)
    return rows


def grown() -> list[dict[str, Any]]:
    """Fit by rows, domains and laws; plan by domains and draws; suggest by candidates: seconds, and
    the ratio to the first of each."""
    from plan import timed
    from scale import one_stage, two_stage, warm

    from bayeslaw import Runs, fit, suggest

    found: list[dict[str, Any]] = []

    def add(what: str, size: str, seconds: float) -> None:
        first = next((r["seconds"] for r in found if r["case"] == what), seconds)
        found.append({"case": what, "tool": size, "seconds": seconds,
                      "seconds ratio": seconds / first})  # fmt: skip
        print(line(found[-1]), flush=True)

    for rows in (240, 2000):
        runs = Runs.from_table(one_stage(rows))
        add("fit by rows", str(rows), warm(lambda s, r=runs: fit(r, ["chinchilla"], seed=s))[0])
    for domains in (1, 4):
        runs = Runs.from_table(two_stage(domains, 4, 2))
        add("fit by domains", str(domains), warm(lambda s, r=runs: fit(r, ["additive"], seed=s))[0])
    runs = Runs.from_table(two_stage(1, 4, 2))
    names = ["additive", "transfer", "gap"]
    for laws in (1, 3):
        add("fit by laws", str(laws), warm(lambda s, k=laws: fit(runs, names[:k], seed=s))[0])
    for domains, draws in ((8, 1000), (8, 4000), (64, 1000)):
        add("plan by domains x draws", f"{domains} x {draws}", timed(domains, draws, "mean")[1])
    fitted = fit(runs, ["additive"], method="huber")
    for count in (500, 1500):
        add("suggest by draws", str(count),
            warm(lambda s, c=count: suggest(fitted, 1e17, 1e15, draws=c, seed=s))[0])  # fmt: skip
    return found


HEAD = ("case", "tool", "seconds", "ratio", "error", "ratio", "95 % covers", "width", "ratio")


def cells(row: dict[str, Any]) -> list[str]:
    def shown(key: str, form: str) -> str:
        return format(row[key], form) if key in row else "-"

    if "failed" in row:
        return [row["case"], row["tool"], row["failed"].splitlines()[-1][:40], *[""] * 6]
    return [
        row["case"], row["tool"], shown("seconds", ".3g"), shown("seconds ratio", ".2f"),
        shown("error", ".2%"), shown("error ratio", ".2f"), shown("covered", ".0%"),
        shown("width", ".2%"), shown("width ratio", ".2f"),
    ]  # fmt: skip


def line(row: dict[str, Any]) -> str:
    sizes = (25, 20, 8, 7, 8, 7, 12, 8, 7)
    return "".join(f"{c:<{w}}" if i < 2 else f"{c:>{w}}" for i, (c, w) in
                   enumerate(zip(cells(row), sizes, strict=True)))  # fmt: skip


def machine() -> dict[str, Any]:
    names = ("bayeslaw", "jax", "numpyro", "numpy", "scipy")
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {
        "day": datetime.date.today().isoformat(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "load": load,
        "versions": {n: version(n) for n in names},
    }


def written(about: dict[str, Any], rows: list[dict[str, Any]]) -> Path:
    place = ROOT / "bench" / "results"
    place.mkdir(exist_ok=True)
    path = place / f"{about['day']}.json"
    path.write_text(json.dumps({**about, "rows": rows}, indent=1) + "\n")
    versions = ", ".join(f"{n} {v}" for n, v in about["versions"].items())
    text = [
        f"# bench/table.py, {about['day']}", "",
        f"{about['system']}, {about['cores']} cores, load {about['load']:.0f} when it began; "
        f"Python {about['python']}; {versions}. Ratios are to bayeslaw's row of the case; below, "
        "to the first of each.", "",
        "| " + " | ".join(HEAD) + " |", "|" + "---|" * len(HEAD),
        *("| " + " | ".join(cells(r)) + " |" for r in rows),
    ]  # fmt: skip
    path.with_suffix(".md").write_text("\n".join(text) + "\n")
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replicates", type=int, default=5)
    parser.add_argument("--case", action="append", choices=CASES)
    parser.add_argument("--tool", action="append", choices=NEEDS)
    parser.add_argument("--no-scaling", action="store_true")
    parser.add_argument("--write", action="store_true", help="into bench/results/")
    asked = parser.parse_args()
    about = machine()
    print("  ".join(HEAD))
    with tempfile.TemporaryDirectory() as cache:
        os.environ.setdefault("BAYESLAW_CACHE", cache)
        rows = compared(asked.case or list(CASES), asked.tool or list(NEEDS), asked.replicates)
        rows += [] if asked.no_scaling else grown()
    if asked.write:
        print(f"wrote {written(about, rows).relative_to(ROOT)}")


if __name__ == "__main__":
    main()
