"""A group's step as one CUDA graph, for `benchmarks.fused`."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmarks.fused.group import Take


class Captured:
    """Replays a step from a graph. The first steps run eagerly, and are steps of the training like all others.

    The learning rate and whatever else changes is read on the device (`Group._update`), so only the batch has to be
    copied. When a member is dropped, shapes change, and the group captures a new graph.
    """

    WARM_UP = 3

    def __init__(self, take: Take) -> None:
        self._eager = take
        # Warm-up and capture share a stream, since autograd and cuBLAS tie state that outlives a step to it.
        self._stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        self._warm = 0
        self._graph: torch.cuda.CUDAGraph | None = None
        self._inputs: tuple[Tensor, ...] = ()
        self._outputs: tuple[Tensor, Tensor]

    def __call__(self, images: Tensor, labels: Tensor, partner: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
        given = (images, labels, partner, share)
        if self._graph is None and self._warm < self.WARM_UP:
            self._warm += 1
            return self._aside(given)
        if self._graph is None:
            self._inputs = tuple(each.clone() for each in given)
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph, stream=self._stream):
                images, labels, partner, share = self._inputs
                self._outputs = self._eager(images, labels, partner, share)
        for fixed, new in zip(self._inputs, given, strict=True):
            fixed.copy_(new)
        self._graph.replay()
        loss, guess = self._outputs
        return loss.clone(), guess.clone()  # the next replay overwrites them

    def _aside(self, given: tuple[Tensor, Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        current = torch.cuda.current_stream()
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            done = self._eager(*given)
        current.wait_stream(self._stream)
        return done
