"""The recipes of the second stage against each other: python bench/recipes.py RUNS.csv [PLOT.png]

Per recipe, over domains and seeds: the loss on the target against plain, and forgetting, which is
the loss on the general mixture (the mean over the domains) less that of the generalist that was
cooled down at the same D. ± is the standard error over seeds. Importance is set against the
generalist with as many tokens in all.
"""

from __future__ import annotations

import re
import sys

import numpy as np
import pandas as pd


def main(file: str, plot: str | None) -> None:
    runs = pd.read_csv(file, keep_default_na=False)
    runs["loss"] = runs["loss"].astype(float)
    short, long = sorted(runs.loc[runs["specialize_tokens"] == 0, "pretrain_tokens"].unique())
    first = runs[runs["specialize_tokens"] == 0].set_index(["pretrain_tokens", "seed", "domain"])
    first = first.sort_index()
    second = runs[runs["specialize_tokens"] > 0].copy()
    label = second["run_id"].str.split("-", n=5).str[5].fillna("")
    second["label"] = label.where(label != "", "plain")
    domains = second["domain"].nunique()
    by: dict[str, dict[int, list[float]]] = {}
    for name, group in second.groupby("label"):
        for seed, mine in group.groupby("seed"):
            own = mine[mine["branch"] == mine["domain"]].set_index("domain")["loss"]
            general = mine.groupby("branch")["loss"].mean()
            base = first.loc[(short, seed)]["loss"]
            longer = first.loc[(long, seed)]["loss"]
            if len(own) < domains:
                continue  # not all of its branches are there
            by.setdefault(name, {})[seed] = [
                np.log(own).mean(), general.mean() - base.mean(), (own - longer[own.index]).mean(),
                *(own[d] / longer[d] - 1 for d in sorted(own.index)),
            ]  # fmt: skip
    seeds = sorted(set.intersection(*(set(found) for found in by.values())))
    rows = {name: np.array([found[s] for s in seeds]) for name, found in by.items()}
    plain = rows["plain"]
    print(f"domains {', '.join(sorted(second['domain'].unique()))}; {len(plain)} seeds")
    print("recipe | target against plain | forgetting, nats | of plain's | against generalist")
    shown = {}
    for name, r in rows.items():
        target = 100 * np.expm1(r[:, 0] - plain[:, 0])
        share = r[:, 1] / plain[:, 1]
        shown[name] = target.mean(), r[:, 1].mean()
        print(
            f"{name} | {target.mean():+.2f} ± {se(target):.2f} % | {r[:, 1].mean():+.4f} | "
            f"{share.mean():.2f} ± {se(share):.2f} | {r[:, 2].mean():+.4f} ± {se(r[:, 2]):.4f}"
        )
        print("   by domain against the generalist, %:", np.round(100 * r[:, 3:].mean(0), 2))
    if plot:
        draw(shown, plot)


def se(values: np.ndarray) -> float:
    return float(np.std(values, ddof=1) / len(values) ** 0.5)


WIDEST = 3.5  # % on the target; what costs more is named at the edge
SETTING = re.compile(r"(?<=^replay)[\d.]+|(?<=^distill)[\d.]+")


def draw(shown: dict[str, tuple[float, float]], path: str) -> None:
    """Forgetting against the loss on the target, a line for every way."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    from bayeslaw.plots.palette import color, marker

    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    for i, kind in enumerate(sorted({SETTING.sub("", n) for n in shown})):
        mine = {n: p for n, p in shown.items() if SETTING.sub("", n) == kind}
        for name, (target, forgetting) in mine.items():
            found = SETTING.search(name)
            setting = found[0] if found else ""
            if target < WIDEST:
                axes.annotate(
                    setting, (target, forgetting), xytext=(5, 4), textcoords="offset points"
                )
            else:
                axes.annotate(
                    f"{setting}: +{target:.1f} % →", (WIDEST, forgetting), ha="right", va="center",
                    color=color(i),
                )  # fmt: skip
        near = np.array(sorted(p for p in mine.values() if p[0] < WIDEST)).reshape(-1, 2)
        axes.plot(*near.T, marker=marker(i), color=color(i), label=kind)
    half = shown["plain"][1] / 2
    axes.axhline(half, color="grey", lw=0.5, ls=":")
    axes.axvline(1, color="grey", lw=0.5, ls=":")
    axes.annotate("half of plain's", (WIDEST, half), ha="right", va="bottom", color="grey")
    axes.set(
        xlabel="loss on the target against plain, %", ylabel="forgetting, nats/byte",
        ylim=(0, None), xlim=(-0.1, WIDEST),
    )  # fmt: skip
    axes.legend(frameon=False, fontsize="small")
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None)
