"""A step of training as one CUDA graph: small models wait for their kernels to be launched."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

EAGER = 3  # steps before the capture: kernels are compiled and moments made in them


class Captured:
    """`gradients(ids, share) -> loss`, then `update()`: launched kernel by kernel in the first
    steps of a stage, then captured and replayed. Every step is one of training; the same kernels
    run on the same numbers either way.

    What the two read besides their arguments must stay where it is: weights, moments, the rate.
    The loss that is returned is overwritten by the next step.
    """

    def __init__(
        self, gradients: Callable[[Tensor, float | Tensor], Tensor], update: Callable[[], None]
    ):
        self.gradients, self.update = gradients, update
        self.done = 0
        self.aside = torch.cuda.Stream()

    def __call__(self, ids: Tensor, share: float) -> Tensor:
        if self.done < EAGER:
            return self._launched(ids, share)
        if self.done == EAGER:
            self._capture(ids)
        self.done += 1
        self.ids.copy_(ids, non_blocking=True)
        self.share.fill_(share)
        self.graph.replay()
        return self.loss

    def _launched(self, ids: Tensor, share: float) -> Tensor:
        """On a stream of its own, as a capture wants it of what came before."""
        if self.done == 0:
            self.share = torch.zeros((), device=ids.device)
        self.done += 1
        self.share.fill_(share)
        self.aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.aside):
            loss = self.gradients(ids, self.share)
            self.update()
        torch.cuda.current_stream().wait_stream(self.aside)
        return loss

    def _capture(self, ids: Tensor) -> None:
        self.ids = ids.clone()
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph, stream=self.aside):
            self.loss = self.gradients(self.ids, self.share)
            self.update()
