"""A log in our columns: what is taken from where, what is missing, and how to give it."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from bayeslaw.quantity import format_quantity
from bayeslaw.readers.cells import number, written
from bayeslaw.readers.given import PER_STEP, Given
from bayeslaw.readers.reader import ROW, Log
from bayeslaw.readers.words import OURS, PARAMS, STEP, TOKENS, TOTALS, domain_of
from bayeslaw.runs import NAMES, STATUSES, Fault

SHOWN = 12  # of a file's names in a message


@dataclass
class Translation:
    """The rows of one log in our columns, one a domain, and `_row`; or the faults instead.

    taken: our column -> where it came from, in words.
    early: rows of evaluations before the last one of their run.
    """

    file: str
    table: pd.DataFrame = field(default_factory=pd.DataFrame)
    taken: dict[str, str] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    early: int = 0
    unfinished: list[str] = field(default_factory=list)

    def names(self, faults: Sequence[Fault]) -> list[Fault]:
        """The same faults, with their names for the columns."""
        return [
            replace(f, column=f"{f.column} (from {self.taken[f.column]})")
            if f.column in self.taken and self.taken[f.column] != f.column
            else f
            for f in faults
        ]


def translate(log: Log, file: str, given: Given, last: bool) -> Translation:
    """The log in our columns. Losses of several domains become rows; evaluations before training
    and repeated ones are left out; with `last`, all but the last of each run are."""
    done = Translation(file, notes=list(log.notes))
    table = log.table.reset_index(drop=True)
    _mapped_are_there(table, given, done)
    losses = _losses(log, table, given, done)
    measured = [c for c in losses.values() if c in table]
    if measured:  # the records of training have no held-out loss
        there = np.any([written(table[c]) for c in measured], axis=0)
        table = table[there].reset_index(drop=True)
    if not len(table):
        why = f"empty in every record of '{measured[0]}'" if measured else "no records"
        done.faults.append(Fault(file, 0, "loss", None, f"{why}; was the run ever evaluated?"))
        return done
    runs = _source("run_id", log, table, given, done)
    ours = {"run_id": pd.Series([""] * len(table)) if runs is None else runs.astype(str)}
    ours["run_id"] = ours["run_id"].str.strip()
    _about_knows(ours["run_id"], given, done)
    for name in NAMES:
        if name not in ours and name not in ("loss", "loss_se", "pretrain_tokens"):
            found = _source(name, log, table, given, done, ours["run_id"])
            if found is not None:
                ours[name] = found
    _params(ours, table, done)
    order = _tokens(ours, log, table, given, done)
    if "unit" in log.known:
        ours["unit"] = table["unit"]
        if given.unit and set(table["unit"]) != {given.unit}:
            said = ", ".join(sorted(set(table["unit"])))
            remedy = f"the file's losses are in {said}; leave --unit {given.unit} out"
            done.faults.append(Fault(file, 0, "unit", None, remedy))
    if done.faults:
        return done
    long = _long(pd.DataFrame(ours), losses, log, table, given)
    long["_order"] = order[long["_index"]].to_numpy()
    _chosen(long, log, given, last, done)
    return done


def _mapped_are_there(table: pd.DataFrame, given: Given, done: Translation) -> None:
    names = [str(c) for c in table if c != ROW]
    for ours, theirs in given.map.items():
        if theirs not in table:
            close = difflib.get_close_matches(theirs, names, 1, 0.5)
            hint = f"is it '{close[0]}'?" if close else f"it has {_some(names)}"
            remedy = f"not in the file, so it cannot be '{ours}'; {hint}"
            done.faults.append(Fault(done.file, 0, theirs, None, remedy))


def _losses(log: Log, table: pd.DataFrame, given: Given, done: Translation) -> dict[str, str]:
    """Domain -> the column of its losses; "" where the domain is said elsewhere."""
    mapped = {
        ours.partition("/")[2]: theirs
        for ours, theirs in given.map.items()
        if ours == "loss" or ours.startswith("loss/")
    }
    if mapped or "loss" in log.known:
        found = mapped or {"": "loss"}
    else:
        by_domain: dict[str, list[str]] = {}
        for name in (str(c) for c in table):
            domain = domain_of(name)
            if domain is not None and written(table[name]).any():
                by_domain.setdefault(domain, []).append(name)
        for domain, several in by_domain.items():
            if len(several) > 1:
                remedy = (
                    f"{' and '.join(several)} could each be the loss of '{domain}'; choose with "
                    f"--map loss/{domain}={several[0]}"
                )
                done.faults.append(Fault(done.file, 0, "loss", None, remedy))
        found = {domain: several[0] for domain, several in by_domain.items()}
        if len(found) > 1 and "all" in found:  # the mean of the others
            done.notes.append(f"left out: {found.pop('all')}, the loss of all domains together")
        found = {"" if set(found) == {"all"} else d: c for d, c in found.items()}
    if not found:
        like = [str(c) for c in table if "loss" in str(c).lower() or "perplex" in str(c).lower()]
        names = like or [str(c) for c in table if c != ROW]
        remedy = (
            "no held-out loss; name it with --map loss=THEIRS, or --map loss/DOMAIN=THEIRS again "
            f"and again; the file has {_some(names)}"
        )
        done.faults.append(Fault(done.file, 0, "loss", None, remedy))
    for domain, theirs in found.items():
        done.taken["loss/" + domain if domain else "loss"] = theirs
    return found


def _source(
    name: str, log: Log, table: pd.DataFrame, given: Given, done: Translation,
    runs: pd.Series | None = None,
) -> pd.Series | None:  # fmt: skip
    """One of our columns: as mapped, as given, as the reader knows it, as the file calls it."""
    theirs = given.map.get(name)
    if theirs is not None:
        if theirs not in table:
            return None
    else:
        said = given.column(name, table[ROW] if runs is None else runs)
        if said is not None:
            done.taken[name] = "--set" if name in given.values else "--about"
            return said
        words = (name, *PARAMS) if name == "params" else (name,)
        free = name in log.known or name in OURS
        theirs = next((w for w in words if free and w in table and written(table[w]).any()), None)
        if theirs is None:
            return None
    done.taken[name] = theirs
    return table[theirs]


def _about_knows(runs: pd.Series, given: Given, done: Translation) -> None:
    if given.about is not None:
        for run in sorted(set(runs) - set(given.about.index)):
            done.faults.append(Fault(done.file, 0, "run_id", run, "has no row in --about; add one"))


def _params(ours: dict[str, pd.Series], table: pd.DataFrame, done: Translation) -> None:
    if "params" in ours:
        return
    total = next((t for t in TOTALS if t in table and written(table[t]).any()), None)
    remedy = (
        "not in the log; give non-embedding weights: --set params=124M (--about TABLE where runs "
        "differ), or --map params=THEIRS"
    )
    if total is not None:
        value = number(table[total]).max()
        shown = f" ({format_quantity(value)})" if value == value else ""
        remedy += f". '{total}'{shown} may count embeddings: take them off, or --map params={total}"
    done.faults.append(Fault(done.file, 0, "params", None, remedy))


def _tokens(
    ours: dict[str, pd.Series], log: Log, table: pd.DataFrame, given: Given, done: Translation
) -> pd.Series:
    """Fill in the tokens of the stage that the log is of; how far each record is in its run.

    The tokens of the log, or its steps times `tokens_per_step`, are D; they are D′ where D was
    given and the rows are of a branch.
    """
    place = pd.Series(np.arange(len(table), dtype=float))
    steps = _steps(log, table, given)
    per_step = _source(PER_STEP, log, table, given, done, ours["run_id"])
    theirs = next((w for w in TOKENS if w in table and written(table[w]).any()), None)
    progress, said = None, ""
    if per_step is not None and steps is not None:
        progress, said = number(steps) * number(per_step), f"step x {PER_STEP}"
        progress = progress.astype(object).where(progress.notna(), steps)  # text stays a fault
    elif theirs is not None and per_step is None:
        progress, said = table[theirs], theirs
    pretrain = _source("pretrain_tokens", log, table, given, done, ours["run_id"])
    into = "pretrain_tokens" if pretrain is None else "specialize_tokens"
    if pretrain is not None:
        ours["pretrain_tokens"] = pretrain
    said_d = given.constant("pretrain_tokens") or "pretrain_tokens" in given.map
    if into not in ours and (pretrain is None or ("branch" in ours and said_d)):
        if progress is None:
            how = f"--set {PER_STEP}=512k" if steps is not None else f"--set {into}=20B"
            has = "it counts steps: " if steps is not None else ""
            asked = f", which needs steps: --map step=THEIRS, and {PER_STEP}"
            asked = asked if per_step is not None and steps is None else ""
            remedy = f"not in the log{asked}; {has}{how}, or --map {into}=THEIRS"
            done.faults.append(Fault(done.file, 0, into, None, remedy))
        else:
            ours[into], done.taken[into] = progress, said
            if pretrain is not None:
                ours[into] = ours[into].where(written(ours["branch"]), 0.0)
    measure = next((m for m in (progress, steps) if m is not None), None)
    if measure is None:
        trained = number(ours.get("pretrain_tokens", place))
        return trained if not given.constant("pretrain_tokens") else place
    return number(measure).fillna(place)


def _steps(log: Log, table: pd.DataFrame, given: Given) -> pd.Series | None:
    if (theirs := given.map.get("step")) is not None:
        return table.get(theirs)
    name = "step" if "step" in log.known else next((s for s in STEP if s in table), None)
    return None if name is None else table[name]


def _long(
    ours: pd.DataFrame, losses: dict[str, str], log: Log, table: pd.DataFrame, given: Given
) -> pd.DataFrame:
    """A row a domain; a loss that is no finite number marks the row diverged."""
    parts = []
    for domain, theirs in losses.items():
        se = given.map.get(f"loss_se/{domain}" if domain else "loss_se")
        if se is None and "loss_se" in log.known:
            se = "loss_se"
        part = ours.assign(loss=table[theirs], _index=table.index, **{ROW: table[ROW]})
        if domain:
            part["domain"] = domain
        if se in table:
            part["loss_se"] = table[se]
        parts.append(part[written(part["loss"])])
    long = pd.concat(parts, ignore_index=True)
    lost = long["loss"].astype(str).str.strip().str.lower().str.lstrip("+-")
    if (gone := lost.isin(("nan", "inf", "infinity"))).any():
        status = long["status"] if "status" in long else pd.Series(["ok"] * len(long))
        long["status"] = status.where(~gone, "diverged")
    return long


def _chosen(long: pd.DataFrame, log: Log, given: Given, last: bool, done: Translation) -> None:
    """Which rows are kept, and which of them are of runs that went on."""
    by = ["run_id", *(["domain"] if "domain" in long else [])]
    if "status" in long:  # what crashed early has little to say
        blank = [number(long[c]).isna() for c in ("params", "pretrain_tokens")]
        mute = long["status"].isin(STATUSES[1:]) & (blank[0] | blank[1])
        if mute.any():
            done.notes.append(f"left out: {int(mute.sum())} failed, without params or tokens")
            long = long[~mute]
    if not len(long):
        done.faults.append(Fault(done.file, 0, "status", None, "every run in it failed"))
        return
    tokens = sum((number(long[c]) for c in ("pretrain_tokens", "specialize_tokens") if c in long),
                 start=pd.Series(0.0, index=long.index))  # fmt: skip
    if (start := int((tokens == 0).sum())) and start < len(long):
        done.notes.append(f"left out: {start} losses from before training")
        long = long[tokens != 0]
    known = "step" in log.known
    if known and (again := int(long.duplicated([*by, "_order"], keep="last").sum())):
        done.notes.append(f"left out: {again} losses that were measured again at the same step")
        long = long[~long.duplicated([*by, "_order"], keep="last")]
    final = long.groupby(by)["_order"].transform("max") == long["_order"]
    counted = "specialize_tokens" in done.taken and not given.constant("specialize_tokens")
    fixed = given.constant("pretrain_tokens") and not counted
    if (last or fixed) and not final.all():
        why = "" if last else ": pretrain_tokens was given, for the last"
        done.notes.append(f"left out: {int((~final).sum())} losses before the last of a run{why}")
        long, final = long[final], final[final]
    done.early = int((~final).sum())
    if log.ends is not None and known:
        steps = _steps(log, log.table, given)
        reached = np.nan if steps is None else number(steps).max()
        if reached < log.ends:
            run = str(long["run_id"].iloc[0])
            done.unfinished.append(f"{run} (step {reached:g} of {log.ends:g})")
    done.table = long.drop(columns=["_order", "_index"]).reset_index(drop=True)


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
