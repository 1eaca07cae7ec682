"""A group's step as one CUDA graph, for `benchmarks.fused`."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmarks.fused.group import Take


class Captured:
    """Takes a step from a graph. Its first steps run eagerly, and are steps of the training like all others.

    The rate and all else that changes is read on the device (`Group._update`), so nothing else has to be copied but
    the batch. When a member goes, the group makes a new one: shapes are others then.
    """

    WARM_UP = 3

    def __init__(self, take: Take) -> None:
        self._eager = take
        # Warm-up and capture share a stream, to which autograd and cuBLAS tie what they keep from step to step.
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
        return loss.clone(), guess.clone()  # the next replay writes over them

    def _aside(self, given: tuple[Tensor, Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        current = torch.cuda.current_stream()
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            done = self._eager(*given)
        current.wait_stream(self._stream)
        return done
