"""How wrong scaling laws have been beyond the runs that they were fitted to.

Learns the prior of the discrepancy's scale (`bayeslaw/infer/discrepancy.toml`) from public sweeps,
and measures the calibrated intervals on each file with the prior learnt on the others. A set is one
file and corpus with one recipe and one metric; at every cut the smaller runs by compute are fitted,
as `bayeslaw backtest` does it, and the larger predicted. Files weigh equally, sets within a file
equally, cuts within a set equally; cuts that leave fewer than 10 runs are not looked at. The
fine-tuning runs of rectified_finetune.csv make no set: their losses are comparable within a model
only, and a model has 15 rows.

    python bench/discrepancy.py FOLDER [CASES.pkl]
"""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

CUTS = (0.5, 0.6, 0.7, 0.8, 0.9)
LEAST = 10
DRAWS = 1000
CENTERS = (0.005, 0.008, 0.012, 0.016, 0.02, 0.025, 0.03, 0.04)
LOG_SDS = (0.3, 0.6, 0.9)
CLOSE = 0.02  # nats of mean log score that are no reason for wider intervals
COLUMNS = [
    "params", "pretrain_tokens", "specialize_tokens", "branch", "domain", "loss", "unique_tokens",
]  # fmt: skip
SCORED = ("cov50", "cov90", "width90", "interval_score", "crps", "log_score", "error")


def sets(folder: Path) -> Iterator[tuple[str, pd.DataFrame, list[str] | None]]:
    """Name (file/…), table and laws (None: all that the table allows) of every set."""
    t = pd.read_csv(folder / "chinchilla.csv")
    yield "chinchilla/240", t[t["epoch_kept"] == 1], None
    t = pd.read_csv(folder / "gadre_overtraining.csv")
    for key, g in t.groupby(["train_set", "domain"]):
        yield "gadre/" + "/".join(map(str, key)), g, None
    t = pd.read_csv(folder / "olmo_ladder.csv")
    for metric, g in t.groupby("domain"):
        yield f"olmo/{metric}", g, None
    t = pd.read_csv(folder / "datablations.csv")
    yield "datablations/repeated", t[t["in_paper_fit182"] == 1], None
    yield "datablations/unique", t[t["epochs"] <= 1.001], None
    t = pd.read_csv(folder / "delphi_midtrain.csv").assign(branch=lambda x: x["domain"])
    yield "delphi/main", t[t["in_authors_54"] == 1], None


def cases_of(task: tuple[str, pd.DataFrame, list[str] | None]) -> list[dict[str, Any]]:
    """One case for every cut of a set."""
    from bayeslaw import Runs, find_law
    from bayeslaw.backtest import cut_at, scores
    from bayeslaw.infer.allowed import allowed
    from bayeslaw.infer.fit import usable
    from bayeslaw.infer.precision import double
    from bayeslaw.infer.refit import Table
    from bayeslaw.runs import compute_of

    name, table, laws = task
    table = table[[c for c in COLUMNS if c in table]].reset_index(drop=True)
    runs = Runs.from_table(table.assign(run_id=[f"r{i}" for i in table.index], sweep="s"))
    chosen = [find_law(law) for law in laws] if laws else allowed(runs)
    (used, *_) = usable(runs, chosen)
    with double():
        tables = {law.name: Table.of(used, law) for law in chosen}
    size, loss = compute_of(used), used.table["loss"].to_numpy(float)
    found = []
    for cut in CUTS:
        train = size <= np.quantile(size, cut)
        if (~train).sum() < LEAST or train.sum() < 6:
            continue
        done = cut_at(tables, train, ~train, 0)
        kinds = done.kinds(used, ~train, 0)
        every = {kind: scores(kinds[kind], loss[~train]) for kind in ("run", "huber")}
        found.append(
            {
                "set": name, "cut": cut, "runs": used, "test": ~train, "loss": loss[~train],
                "log_loss": done.run[:: len(done.run) // DRAWS], "scores": every,
                "discrepancy": done.assessment.discrepancy, "misses": done.assessment.misses,
                "weights": done.weights,
            }
        )  # fmt: skip
    print(name, [c["cut"] for c in found], flush=True)
    return found


def calibrated(case: dict[str, Any], center: float, log_sd: float) -> dict[str, float]:
    """Scores of the calibrated interval under another prior of the scale."""
    from bayeslaw.backtest import discrepancies, scores

    prior = replace(case["discrepancy"], center=center, log_sd=log_sd)
    updated = prior.updated(case["misses"])
    log_loss = case["log_loss"]
    beyond = discrepancies(updated, case["runs"], case["test"], len(log_loss), 1)
    return scores(np.exp(log_loss + beyond), case["loss"])


def priors(case: dict[str, Any]) -> dict[tuple[float, float], dict[str, float]]:
    return {(c, s): calibrated(case, c, s) for c in CENTERS for s in LOG_SDS}


def weighted(cases: list[dict[str, Any]]) -> np.ndarray:
    """Files weigh equally, sets within a file equally, cuts within a set equally."""
    t = pd.DataFrame({"part": [c["set"] for c in cases], "cut": [c["cut"] for c in cases]})
    t["file"] = t["part"].str.split("/").str[0]
    sets_of = t.groupby("file")["part"].transform("nunique")
    cases_of_set = t.groupby("part")["cut"].transform("size")
    return (1 / t["file"].nunique() / sets_of / cases_of_set).to_numpy()


def learn(cases: list[dict[str, Any]], tried: list[dict]) -> tuple[float, float]:
    """The prior with the best log score: of those that are as good, the one of least spread."""
    w = weighted(cases)
    score = {p: float(w @ [t[p]["log_score"] for t in tried]) for p in tried[0]}
    good = [p for p in score if score[p] >= max(score.values()) - CLOSE]
    return min(good, key=lambda p: p[0] * np.exp(p[1]))


def main(folder: Path, store: Path | None) -> None:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        if store and store.is_file():
            cases = pickle.loads(store.read_bytes())
        else:
            cases = [c for found in pool.map(cases_of, list(sets(folder))) for c in found]
            if store:
                store.write_bytes(pickle.dumps(cases))
        tried = list(pool.map(priors, cases, chunksize=8))
    files = np.array([c["set"].split("/")[0] for c in cases])
    rows = []
    for file in sorted(set(files)):
        others = [i for i in range(len(cases)) if files[i] != file]
        prior = learn([cases[i] for i in others], [tried[i] for i in others])
        print(f"{file}: learnt on the others: center {prior[0]}, log_sd {prior[1]}")
        for i in np.flatnonzero(files == file):
            every = {**cases[i]["scores"], "calibrated": tried[i][prior]}
            rows += [
                {"file": file, "part": cases[i]["set"], "cut": cases[i]["cut"], "kind": k,
                 "n": len(cases[i]["loss"]), **{n: s[n] for n in SCORED}}
                for k, s in every.items()
            ]  # fmt: skip
    print("learnt on all:", learn(cases, tried))
    report(pd.DataFrame(rows))


def report(t: pd.DataFrame) -> None:
    """The table: by file and kind, and over files, with a bootstrap over files."""
    pairs = t.groupby(["file", "part", "cut", "kind"])[[*SCORED, "n"]].mean()
    by_set = pairs.groupby(["file", "part", "kind"]).mean()
    by_file = by_set.groupby(["file", "kind"]).mean()
    pd.set_option("display.width", 120)
    print(by_file.round(4).to_string())
    rng = np.random.default_rng(0)
    names = sorted(set(t["file"]))
    for kind in ("run", "huber", "calibrated"):
        one = by_file.xs(kind, level="kind").loc[names]
        boot = [one.iloc[rng.integers(len(one), size=len(one))].mean() for _ in range(2000)]
        low, high = pd.DataFrame(boot).quantile([0.05, 0.95]).to_numpy()
        said = ", ".join(
            f"{n} {one[n].mean():.4f} [{low[i]:.4f}, {high[i]:.4f}]" for i, n in enumerate(SCORED)
        )
        print(f"{kind}: {said}")
    wide = pairs.unstack("kind")
    for other in ("run", "huber"):
        for score, sign in (("crps", 1), ("log_score", -1)):
            better = sign * wide[score]["calibrated"] < sign * wide[score][other]
            share = better.groupby("file").mean()
            print(
                f"{score} better than {other} on {better.mean():.3f} of {len(better)} pairs, "
                f"{share.mean():.3f} with files weighing equally: {share.round(2).to_dict()}"
            )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
