"""One model trained by several processes: data parallel, whole (DDP) or sharded (FSDP2).

    torchrun --nproc-per-node 2 -m bayeslaw.train.team SWEEP.toml --out FOLDER [--shard]

Each process takes its part of every batch and gradients are averaged, so that the losses are
those of one process to rounding. The first process runs the sweep and writes; the others follow.
"""

from __future__ import annotations

import argparse
import copy
import gc
import os
import sys
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from bayeslaw.train.device import compiled, compiled_within

SHARD = "BAYESLAW_SHARD"  # set for all processes of a run whose models are sharded


def there() -> bool:
    """Whether torchrun started this process: a team, be it of one."""
    return dist.is_available() and dist.is_initialized()


def size() -> int:
    """Processes that train one model together; 1 outside a team."""
    return dist.get_world_size() if there() else 1


def follower() -> bool:
    """Whether another process writes what this one would."""
    return size() > 1 and dist.get_rank() > 0


def name() -> str:
    """In a cell's hash: a team adds in another order, hence other last digits."""
    kind = "fsdp" if os.environ.get(SHARD) else "ddp"
    return f"{kind}{size()}" if there() else ""


def mine(batch: int) -> slice:
    """The windows of a batch that this process trains on. The team must divide the batch."""
    if batch % size():
        raise ValueError(f"{size()} processes cannot share a batch of {batch} equally")
    each = batch // size()
    rank = dist.get_rank() if size() > 1 else 0
    return slice(rank * each, (rank + 1) * each)


def agreed(value: Tensor) -> Tensor:
    """The mean over the team, the same in every process."""
    if size() > 1:
        dist.all_reduce(value)
        value /= size()
    return value


def decided(here: bool) -> bool:
    """The first process's answer, in all."""
    if size() == 1:
        return here
    said = torch.tensor(int(here), device="cuda" if dist.get_backend() == "nccl" else "cpu")
    dist.broadcast(said, 0)
    return bool(said)


def told(here: Any) -> Any:
    """As `decided`, for any value that can be pickled."""
    if size() == 1:
        return here
    said = [here]
    dist.broadcast_object_list(said, 0)
    return said[0]


class Together:
    """A model and its optimiser as a team trains them. `forward` is called, compiled where it pays;
    `optimiser` steps.

    `gather` brings the full weights and moments back into the model and optimiser they came from.
    """

    def __init__(self, model: nn.Module, optimiser: torch.optim.AdamW):
        self.full, self.full_optimiser = model, optimiser
        self.sharded = bool(os.environ.get(SHARD)) and there()
        self.model, self.optimiser = model, optimiser
        device = next(model.parameters()).device.type
        self.forward: Callable[..., Tensor]
        if self.sharded:
            self._shard()
        else:
            whole = nn.parallel.DistributedDataParallel(model) if there() else model
            self.forward = compiled(whole, device)

    def _shard(self) -> None:
        from torch.distributed.fsdp import fully_shard
        from torch.distributed.tensor import distribute_tensor

        self.model = copy.deepcopy(self.full)
        for block in self.model.blocks:
            compiled_within(block)  # the hooks that gather its weights stay outside
            fully_shard(block)
        fully_shard(self.model)
        pairs = dict(zip(self.full.parameters(), self.model.parameters(), strict=True))
        groups = [
            {**g, "params": [pairs[p] for p in g["params"]]}
            for g in self.full_optimiser.param_groups
        ]
        self.optimiser = torch.optim.AdamW(groups)
        for p, shard in pairs.items():
            if moments := self.full_optimiser.state.get(p):
                self.optimiser.state[shard] = {
                    n: v.clone() if n == "step"
                    else distribute_tensor(v, shard.device_mesh, shard.placements)
                    for n, v in moments.items()
                }  # fmt: skip
        self.forward = self.model

    def gather(self) -> None:
        if not self.sharded:
            return
        with torch.no_grad():
            for p, shard in zip(self.full.parameters(), self.model.parameters(), strict=True):
                p.copy_(shard.full_tensor())
                moments = self.optimiser.state.get(shard, {})
                if moments:
                    self.full_optimiser.state[p] = {
                        n: v.clone() if n == "step" else v.full_tensor() for n, v in moments.items()
                    }


class Lead:
    """The first process as an executor: what is submitted, all do."""

    def submit(self, fn: Callable[..., Any], /, *args: Any) -> Lead:
        dist.broadcast_object_list([fn, args], 0)
        self.value = fn(*args)
        return self

    def result(self) -> Any:
        return self.value


def follow() -> None:
    """Do what the first process does, until it sends nothing more."""
    while True:
        sent: list[Any] = [None, None]
        dist.broadcast_object_list(sent, 0)
        fn, args = sent
        if fn is None:
            return
        fn(*args)


def main() -> None:
    parser = argparse.ArgumentParser(prog="bayeslaw.train.team", description=__doc__)
    parser.add_argument("settings")
    parser.add_argument("--out")
    parser.add_argument("--shard", action="store_true", help="FSDP2: weights and moments sharded")
    given = parser.parse_args()
    if given.shard:
        os.environ[SHARD] = "1"
    dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    code = 0
    try:
        if follower():
            follow()
        else:
            code = _lead(given.settings, given.out)
    finally:
        gc.collect()  # models in cycles hold the group's threads: a process that exits so aborts
        dist.destroy_process_group()
    sys.exit(code)


def _lead(settings: str, out: str | None) -> int:
    from bayeslaw.errors import BayeslawError
    from bayeslaw.train.study import run_sweep

    try:
        done = run_sweep(settings, out, executor=Lead())
        print(f"{done.trained} cells trained, {done.kept} there already; wrote {done.csv}")
        return 0
    except BayeslawError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    finally:
        dist.broadcast_object_list([None, None], 0)


if __name__ == "__main__":
    main()
