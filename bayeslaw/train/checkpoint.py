"""Checkpoints: a whole state of training in one file of plain tensors (safetensors), no pickle."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from bayeslaw.train import team
from bayeslaw.train.loop import State
from bayeslaw.whole import whole

SUFFIX = ".safetensors"


class Unreadable(Exception):
    """A checkpoint that is not there, was cut short, or whose bytes have changed."""


def pack(state: State) -> bytes:
    """The model, the moments of its optimiser and the steps behind it; the same for the same."""
    tensors = {f"model/{n}": p for n, p in state.model.state_dict().items()}
    for i, moments in state.optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser/{i}/{n}": v for n, v in moments.items()}
    tensors = {n: t.detach().cpu().contiguous() for n, t in tensors.items()}
    about = {
        "steps": state.steps, "tokens": state.tokens, "stage_steps": state.stage_steps,
        "seconds": state.seconds, "shape": asdict(state.model.s),
    }  # fmt: skip
    # One entry: several would stand in an order of chance.
    return save(tensors, {"about": json.dumps({**about, "sha256": _digest(tensors)})})


def write(state: State, path: Path) -> None:
    """Write a checkpoint whole or not at all; of a team the first process does."""
    if team.follower():
        return
    with whole(path) as beside:
        beside.write_bytes(pack(state))


def load(path: Path, state: State) -> State:
    """Fill a fresh state with what was kept. Raises `Unreadable`."""
    tensors, about = read(path)
    try:
        model = {n.removeprefix("model/"): t for n, t in tensors.items() if n.startswith("model/")}
        moments: dict[int, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            if name.startswith("optimiser/"):
                _, i, moment = name.split("/")
                moments.setdefault(int(i), {})[moment] = tensor
        state.model.load_state_dict(model)
    except (KeyError, ValueError, RuntimeError) as error:
        raise Unreadable(f"{path}: {error}") from None
    state.optimiser.load_state_dict({**state.optimiser.state_dict(), "state": moments})
    state.steps, state.stage_steps = about["steps"], about["stage_steps"]
    state.seconds = about["seconds"]
    state.tokens = about.get("tokens", 0)  # of an older one it is not known
    return state


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors of a checkpoint and what is said of them. Raises `Unreadable`."""
    try:
        with safe_open(path, "pt") as file:
            tensors = {n: file.get_tensor(n) for n in file.keys()}  # noqa: SIM118
            about = json.loads((file.metadata() or {})["about"])
        if about["sha256"] != _digest(tensors):
            raise Unreadable(f"{path}: its bytes have changed")
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise Unreadable(f"{path}: {error}") from None
    return tensors, about


class Keeper:
    """Writes a state every so many minutes, to go on from after a kill."""

    def __init__(self, path: Path, minutes: float):
        self.path, self.every = path, 60 * minutes
        self.began = self.last = time.monotonic()

    def due(self) -> bool:
        """Asked after each step. In a team all must say the same: the first decides."""
        return team.decided(time.monotonic() - self.last >= self.every)

    def __call__(self, state: State) -> None:
        self.last = time.monotonic()
        write(self.aged(state), self.path)

    def aged(self, state: State) -> State:
        """The state with the seconds of this process too, for one that goes on with it."""
        return replace(state, seconds=state.seconds + time.monotonic() - self.began)


def _digest(tensors: dict[str, Tensor]) -> str:
    found = hashlib.sha256()
    for name in sorted(tensors):
        found.update(name.encode())
        found.update(tensors[name].contiguous().reshape(-1).view(torch.uint8).numpy())
    return found.hexdigest()
