"""The whole loop: pilot, fit, suggest, train, refit, ..., plan, verify.

    python examples/closed_loop.py --out loop                  # synthetic text, two minutes
    python examples/closed_loop.py --out loop --corpus python  # text of this Python installation

Models are trained by `bayeslaw sweep` in processes of its own; the rest is done here. A posterior
that fails its checks is used for nothing: a simpler law is tried, and where that fails too the next
round trains a larger trunk instead of what the fit would have suggested. docs/closed_loop.md.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import bayeslaw
from bayeslaw.sweep import read_sweep
from bayeslaw.verify import arms_of, read_plan
from bayeslaw.verify.append import append
from bayeslaw.verify.training import Training

COLUMNS = ("params", "pretrain_tokens", "specialize_tokens", "branch")


class Setting(NamedTuple):
    """What the loop is run on. laws: sets of them, the next where none of the first passes its
    checks. pilot: its widths, D and D′. budget: times the compute of the pilot's dearest run.
    spend: of a round, times the same. runs: of a round, at most."""

    sweep: str
    widths: tuple[int, ...]
    pretrain: tuple[int, ...]
    specialize: tuple[int, ...]
    laws: tuple[tuple[str, ...], ...]
    budget: float
    spend: float
    runs: int
    arms_left_out: tuple[str, ...]


SETTINGS = {
    "synthetic": Setting(
        'corpus = "synthetic"\ncorpus_options = { names = ["alpha", "beta"], size = 3000000 }\n'
        'recipe = "tiny"\nheldout_tokens = "64k"\n',
        (16, 24, 32), (125_000, 500_000), (16_000, 48_000, 144_000),
        (("additive",), ("mixture",)), 6.0, 3.0, 4,
        ("independent", "split at 10%", "split at 50%", "joint", "scratch"),
    ),
    "python": Setting(
        'corpus = "python"\ndomains = ["code", "prose", "tests", "headers"]\n'
        'recipe = "bytes-fine"\nheldout_tokens = "128k"\n',
        (16, 24, 32), (1_000_000, 2_000_000), (64_000, 203_000, 645_000),
        (("additive", "coupled(transfer)"), ("additive",)), 8.0, 4.0, 6,
        ("independent", "split at 10%", "joint", "scratch"),
    ),
}  # fmt: skip


@dataclass
class Round:
    """What was known after a round. laws: those that passed, none if none did. spent: FLOPs of all
    runs that stand in the table. The rest is of the plan at the loop's budget: its sizes, expected
    loss and the interval of it, expected regret."""

    number: int
    rows: int
    spent: float
    laws: tuple[str, ...] = ()
    params: float | None = None
    pretrain_tokens: float | None = None
    loss: float | None = None
    interval90: tuple[float, float] | None = None
    regret: float | None = None


class Loop:
    """A folder with the sweeps of a loop, their table, and what came of it."""

    def __init__(self, setting: Setting, folder: Path, seed: int = 0) -> None:
        self.setting, self.folder, self.seed = setting, folder, seed
        self.table = folder / "loop.csv"
        self.rounds: list[Round] = []
        self.largest = 0.0  # FLOPs of the pilot's dearest run

    # --- runs

    def train(self, number: int, body: str) -> None:
        """Train what some settings ask for and add its rows to the table. All rounds share a
        folder of cells, so that a branch of a trunk that is there costs its own tokens only."""
        settings = self.folder / f"round{number}.toml"
        settings.write_text(f'name = "loop"\n{self.setting.sweep}{body}')
        out = self.folder / "sweep"
        command = [sys.executable, "-m", "bayeslaw", "sweep", str(settings), "--out", str(out)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        if self.table.is_file():
            append(bayeslaw.read_runs(out / "runs.csv"), self.table)
        else:
            self.table.write_bytes((out / "runs.csv").read_bytes())

    def pilot(self) -> None:
        s = self.setting
        self.train(0, f"widths = {list(s.widths)}\npretrain_tokens = {list(s.pretrain)}\n"
                      f"specialize_tokens = {list(s.specialize)}\n")  # fmt: skip
        self.largest = float(bayeslaw.read_runs(self.table).table["flops"].max())

    def next_runs(self, number: int, runs: Sequence[dict[str, Any]]) -> None:
        with (self.folder / f"round{number}.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS, extrasaction="ignore")
            writer.writeheader()
            writer.writerows(runs)
        self.train(number, f'design = "runs"\nruns = "round{number}.csv"\n')

    def larger(self, number: int) -> list[dict[str, Any]]:
        """What is trained where no fit may be used: a trunk twice as large each time, and its
        branches. Not what is best to know, but nothing that a bad fit said."""
        s = self.setting
        largest = bayeslaw.read_runs(self.table).table["params"].max()
        d = s.pretrain[-1]
        return [
            dict(zip(COLUMNS, (2 * largest, d, split, ""), strict=True))
            for split in (0, s.specialize[0], s.specialize[-1])
        ]

    # --- what they say

    def fitted(self) -> bayeslaw.Ensemble | None:
        """The first set of laws of which one passes its checks; None where none does."""
        runs = bayeslaw.read_runs(self.table)
        for laws in self.setting.laws:
            found = bayeslaw.fit(runs, laws, seed=self.seed)
            if found.passed:
                return found
            for member in found.members:
                said = ", ".join(member.diagnostics.failures)
                print(f"  {member.law.name} failed its checks: {said}")
        return None

    @property
    def budget(self) -> float:
        return self.setting.budget * self.largest

    def note(self, number: int, fitted: bayeslaw.Ensemble | None) -> bayeslaw.Plan | None:
        """Plan with what is known, and keep what the plan is worth."""
        runs = bayeslaw.read_runs(self.table)
        models = runs.table.drop_duplicates(["run_id", "pretrain_tokens", "specialize_tokens"])
        seen = Round(number, len(runs), float(models["flops"].sum()))
        self.rounds.append(seen)
        if fitted is None:
            print(f"round {number}: {len(runs)} rows, no fit that may be used")
            return None
        plan = bayeslaw.plan(fitted, self.budget, cost="runs", draws=400, seed=self.seed)
        totals = np.asarray(plan.chosen.totals)
        low, high = np.quantile(totals, [0.05, 0.95])
        seen.laws = tuple(m.law.name for m in fitted.members if m.weight > 0)
        seen.params = float(np.mean(plan.chosen.run.params))
        seen.pretrain_tokens = float(np.mean(plan.chosen.run.pretrain_tokens))
        seen.loss, seen.interval90 = float(totals.mean()), (float(low), float(high))
        seen.regret = float(plan.regret(plan.chosen))
        print(
            f"round {number}: {len(runs)} rows; {plan.chosen.name} with N {seen.params:.3g}, "
            f"loss {seen.loss:.4f} [{low:.4f}, {high:.4f}], expected regret {seen.regret:.4f}"
        )
        return plan

    def run(self, rounds: int, seeds: int) -> int:
        """All of it; the exit code, 2 where nothing could be planned."""
        self.pilot()
        fitted = self.fitted()
        plan = self.note(0, fitted)
        for number in range(1, rounds + 1):
            if fitted is None:
                runs = self.larger(number)
            else:
                s = self.setting
                asked = bayeslaw.suggest(
                    fitted,
                    self.budget,
                    s.spend * self.largest,
                    s.runs,
                    draws=500,
                    seed=self.seed,
                    cost="runs",
                )
                runs = [asdict(r.run) for r in asked.runs]
                print(f"  {len(runs)} runs suggested" + (", enough is known" * asked.enough))
                if not runs:
                    break
            self.next_runs(number, runs)
            fitted = self.fitted()
            plan = self.note(number, fitted)
        if fitted is None or plan is None:
            self.write(None)
            print("no fit passed its checks: nothing is planned")
            return 2
        self.write(self.verify(fitted, plan, seeds))
        return 0

    def verify(
        self, fitted: bayeslaw.Ensemble, plan: bayeslaw.Plan, seeds: int
    ) -> bayeslaw.Verification:
        asked = read_plan(plan.write(self.folder / "plan.json"))
        wanted = arms_of(asked, [a.name for a in arms_of(asked)
                                 if a.name in self.setting.arms_left_out])  # fmt: skip
        settings = self.folder / "verify.toml"
        settings.write_text(
            f'name = "verify"\n{self.setting.sweep}epochs = 4\n'
            f"widths = {list(self.setting.widths)}\n"
            f"pretrain_tokens = {list(self.setting.pretrain)}\n"
        )
        training = Training.of(
            read_sweep(settings), wanted, asked.weights, seeds, self.folder / "verify"
        )
        training.train()
        runs = bayeslaw.read_runs(training.table)
        seen = bayeslaw.verify(fitted, asked, runs, training.arms)
        seen.write(self.folder / "verify.json")
        append(runs, self.table)  # the next fit learns from them
        return seen

    def write(self, seen: bayeslaw.Verification | None) -> None:
        said: dict[str, Any] = {"schema": 1, "budget": self.budget, "verified": None}
        said["rounds"] = [asdict(r) for r in self.rounds]
        if seen is not None:
            every = seen.everywhere
            found = [seen.measured.runs.table["loss"].iloc[r.row] * _weight(seen, r.domain)
                     for r in seen.measured.rows if r.arm == "plan"]  # fmt: skip
            count = len({r.seed for r in seen.measured.rows if r.arm == "plan"})
            said["verified"] = {
                "loss": float(np.sum(found)) / count,
                "gain": seen.gain and seen.gain.to_json(),
                "coverage90": every and every.coverage90, "rows": every and every.rows,
                "regret": seen.regret, "best": seen.best,
            }  # fmt: skip
            gain = seen.gain
            if gain is not None and every is not None:
                print(f"verified: the split gains {gain.mean:+.4f} nats over the generalist; "
                      f"{100 * every.coverage90:.0f} % of {every.rows} losses in their 90 % "
                      "intervals")  # fmt: skip
        (self.folder / "loop.json").write_text(json.dumps(said, indent=1) + "\n")


def _weight(seen: bayeslaw.Verification, domain: str) -> float:
    return float(seen.plan.weights[seen.plan.domains.index(domain)])


def draw(folder: Path) -> Path:
    """Expected regret and the interval of the plan's loss, round by round, as loop.png."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    said = json.loads((folder / "loop.json").read_text())
    rounds = [r for r in said["rounds"] if r["loss"] is not None]
    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3), layout="constrained")
    x = [r["number"] for r in rounds]
    left.plot(x, [r["regret"] for r in rounds], marker="o", color="#2f5d8a")
    left.set(xlabel="round", ylabel="expected regret, nats", xticks=x, ylim=(0, None))
    low, high = np.array([r["interval90"] for r in rounds]).T
    right.vlines(x, low, high, color="#2f5d8a", linewidth=3, alpha=0.5)
    right.plot(x, [r["loss"] for r in rounds], "o", color="#2f5d8a", label="forecast, 90 %")
    if said["verified"]:
        right.axhline(said["verified"]["loss"], color="#b5502f", label="measured")
    right.set(xlabel="round", ylabel="loss of that round's plan, nats", xticks=x)
    right.legend(frameon=False)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    path = folder / "loop.png"
    figure.savefig(path, dpi=120)
    return path


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--corpus", choices=SETTINGS, default="synthetic")
    parser.add_argument("--rounds", type=int, default=1, help="of suggested runs")
    parser.add_argument("--seeds", type=int, default=2, help="of every arm that is verified")
    parser.add_argument("--out", type=Path, default=Path("loop"))
    parser.add_argument("--plot", action="store_true", help="draw loop.png")
    args = parser.parse_args(argv)
    args.out.mkdir(parents=True, exist_ok=True)
    code = Loop(SETTINGS[args.corpus], args.out).run(args.rounds, args.seeds)
    if args.plot and code == 0:
        print(f"wrote {draw(args.out)}")
    return code


if __name__ == "__main__":
    sys.exit(main())
