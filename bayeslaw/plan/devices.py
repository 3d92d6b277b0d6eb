"""Devices: what an hour of one computes and costs, and budgets in hours, money and days."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from bayeslaw.errors import PlanError
from bayeslaw.toml import read_toml

LARGEST = sys.float_info.max  # TOML's integers may be longer
HOUR, DAY = 3600.0, 24.0  # seconds, hours
MFU = 0.4  # of the peak: what large runs report (Chowdhery et al. 2022, arXiv:2204.02311: 46 %)


@dataclass(frozen=True)
class Device:
    """One device. peak: precision -> FLOP/s; price: of an hour; memory: bytes; source: of the
    peaks; priced: the day of a price that is an example."""

    name: str
    peak: Mapping[str, float]
    price: float | None = None
    memory: float | None = None
    source: str = ""
    priced: str = ""


@dataclass(frozen=True)
class Hardware:
    """What a plan is trained on: some devices at a share of their peak.

    mfu: model FLOPs utilisation, in (0, 1]. count: how many at once; needed for days.
    Raises `PlanError` where these cannot be.
    """

    device: Device
    precision: str = "bf16"
    mfu: float = MFU
    count: int = 1

    def __post_init__(self) -> None:
        faults = []
        if self.precision not in self.device.peak:
            known = ", ".join(self.device.peak)
            faults.append(f"{self.device.name} has no peak in {self.precision}; it has {known}")
        if not 0 < self.mfu <= 1:
            faults.append(f"mfu is a share of the peak, above 0 and at most 1; got {self.mfu:g}")
        if not self.count >= 1:
            faults.append(f"there is at least 1 device, got {self.count}")
        if faults:
            raise PlanError("; ".join(faults))

    @property
    def flops_an_hour(self) -> float:
        """Of one device."""
        return self.device.peak[self.precision] * self.mfu * HOUR

    def flops(
        self,
        gpu_hours: float | None = None,
        money: float | None = None,
        days: float | None = None,
    ) -> float:
        """The compute of device-hours, of money, or of days on all devices: the least of those
        given."""
        given = {"gpu_hours": gpu_hours, "money": money, "days": days}
        for name, value in given.items():
            if value is not None and not 0 < value < float("inf"):
                raise PlanError(f"{name} must be positive and finite, got {value:g}")
        hours = []
        if gpu_hours is not None:
            hours.append(gpu_hours)
        if money is not None:
            hours.append(money / self._price())
        if days is not None:
            hours.append(days * DAY * self.count)
        if not hours:
            raise PlanError("give gpu_hours, money or days")
        return min(hours) * self.flops_an_hour

    def of(self, flops: float) -> dict[str, Any]:
        """What so much compute takes: device-hours, money (where there is a price), days."""
        hours = flops / self.flops_an_hour
        return {
            "device": self.device.name,
            "precision": self.precision,
            "mfu": self.mfu,
            "count": self.count,
            "gpu_hours": hours,
            "money": None if self.device.price is None else hours * self.device.price,
            "days": hours / self.count / DAY,
            "memory": self.device.memory,
            "priced": self.device.priced or None,
        }

    def _price(self) -> float:
        if self.device.price is None:
            raise PlanError(
                f"{self.device.name} has no price; give one in a file of devices, as price = 2.5"
            )
        return self.device.price


def measured_mfu(path: str | Path, device: Device, precision: str = "bf16") -> float:
    """The share of a device's peak that runs have reached: their FLOPs over their seconds.

    A CSV with `flops` and `seconds` (or `wall_seconds`), as a sweep's timings.csv; `devices`, at
    work on a row together (1). Where there are `params`, of the largest size: small models keep no
    device busy. Raises `PlanError` with every fault of the file.
    """
    try:
        table = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise PlanError(f"{path}: not readable as a table of timings: {error}") from None
    clock = "wall_seconds" if "wall_seconds" in table else "seconds"
    needed = ("flops", clock)
    faults = [f"no column '{c}'" for c in needed if c not in table]
    if precision not in device.peak:
        faults.append(f"{device.name} has no peak in {precision}; it has {', '.join(device.peak)}")
    if not faults and "params" in table:
        table = table[table["params"] == table["params"].max()]
    numbers = [c for c in (*needed, "devices") if c in table]
    values = {c: pd.to_numeric(table[c], errors="coerce").to_numpy(float) for c in numbers}
    faults += [f"{c} must be positive numbers" for c, v in values.items() if not (v > 0).all()]
    if not faults and not len(table):
        faults.append("there are no rows")
    if not faults:
        seconds = (values[clock] * values.get("devices", 1.0)).sum()
        mfu = float(values["flops"].sum() / seconds / device.peak[precision])
        if mfu <= 1:
            return mfu
        faults.append(
            f"{mfu:.3g} times the {precision} peak of {device.name}: they are of another device, "
            "or of several at once (say so in a column `devices`)"
        )
    raise PlanError(f"{path}: the timings cannot be used: " + "; ".join(faults))


def read_devices(path: str | Path | None = None) -> dict[str, Device]:
    """The shipped devices, and those of a TOML of the user's, which come before them.

        [mine]
        peak = { bf16 = 500e12 }   # FLOP/s by precision
        price = 2.5                # an hour, optional
        memory = 80e9              # bytes, optional
        source = "its data sheet"  # of the peaks, optional
        priced = "2026-11-26"      # where the price is an example of a day, optional

    Raises `PlanError` with every fault of the file.
    """
    shipped = Path(__file__).parent / "devices.toml"
    found = _devices(read_toml(shipped, PlanError), shipped)
    if path is None:
        return found
    return {**found, **_devices(read_toml(path, PlanError), path)}


def find_device(name: str, path: str | Path | None = None) -> Device:
    """A device by its name. Raises `PlanError` when there is none."""
    devices = read_devices(path)
    if name not in devices:
        raise PlanError(
            f"device '{name}' is not one of {', '.join(devices)}; add it in a file of devices"
        )
    return devices[name]


def _devices(said: Mapping[str, Any], path: Any) -> dict[str, Device]:
    found, faults = {}, []
    for name, about in said.items():
        if not isinstance(about, dict):
            faults.append(f"'{name}' is no table; write [{name}] and its peak below")
            continue
        unknown = set(about) - {"peak", "price", "memory", "source", "priced"}
        faults += [f"[{name}] has an unknown key '{key}'" for key in sorted(unknown)]
        peak = about.get("peak")
        if not isinstance(peak, dict) or not peak:
            faults.append(f"[{name}] needs peak = {{ bf16 = 500e12 }}, FLOP/s by precision")
            peak = {}
        numbers = {f"peak.{p}": v for p, v in peak.items()}
        numbers.update({k: about[k] for k in ("price", "memory") if k in about})
        faults += [
            f"[{name}] {key} is {v!r}; it must be a positive number"
            for key, v in numbers.items()
            if isinstance(v, bool) or not isinstance(v, (int, float)) or not 0 < v <= LARGEST
        ]
        words = {k: str(about.get(k, "")) for k in ("source", "priced")}
        found[name] = Device(name, peak, about.get("price"), about.get("memory"), **words)
    if faults:
        raise PlanError(f"{path}: the devices cannot be used:\n  " + "\n  ".join(faults))
    return found
