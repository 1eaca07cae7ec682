"""A training step as one CUDA graph, beside the engine's own, so that `benchmarks.gpu` can time and compare both.

At small batches a step's two hundred kernels take less time than Python takes to launch them. A graph launches all of
them at once. What can not change in it: shapes, which parameters learn, and every number that Python hands to a kernel.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Protocol

import torch
from torch import Tensor
from torch.optim import Optimizer

from tune.training.loop import step as engine_step  # by name: `EachTraining` may stand in its place
from tune.training.state import Training


class Step(Protocol):
    """What takes a training a step further."""

    def __call__(self, images: Tensor, labels: Tensor, partner: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
        """What `mixing.mix` made of a batch -> the loss, (), and the guessed classes, (B,). Neither has a gradient."""


StepOf = Callable[[Training], Step]


def eager_step(training: Training) -> Step:
    """The engine's own."""
    return partial(engine_step, training)


class CapturedStep:
    """The same step from a CUDA graph. Its first steps run eagerly, and are steps of the training like all others.

    Every batch has the first one's shape. When the model's mode changes, or which of its parameters learn, or when a
    state is loaded into the optimiser, make a new one.
    """

    WARM_UP = 3
    """Eager steps before the capture: they choose algorithms, and allocate workspaces and the optimiser's state, which
    would otherwise happen inside it."""

    def __init__(self, training: Training) -> None:
        self._training = training
        (self._group,) = training.optimizer.param_groups
        device = next(training.model.parameters()).device
        # Warm-up and capture share a stream, to which autograd and cuBLAS tie what they keep from step to step.
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._rate = torch.zeros((), device=device)
        self._warm = 0
        self._graph: torch.cuda.CUDAGraph | None = None
        # Without mixing the loss does not look at partner and share.
        self._changing = 4 if training.config.mixup or training.config.cutmix else 2
        self._inputs: tuple[Tensor, ...] = ()
        self._outputs: tuple[Tensor, Tensor]

    def __call__(self, images: Tensor, labels: Tensor, partner: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
        given = (images, labels, partner, share)
        if self._graph is None and self._warm < self.WARM_UP:
            self._warm += 1
            return self._aside(given)
        if self._graph is None:
            self._graph = self._capture(given)
        for fixed, new in zip(self._inputs[: self._changing], given, strict=False):
            fixed.copy_(new)
        self._rate.fill_(self._group["lr"])
        self._graph.replay()
        loss, guess = self._outputs
        return loss.clone(), guess.clone()  # the next replay writes over them

    def _aside(self, given: tuple[Tensor, Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        current = torch.cuda.current_stream(self._rate.device)
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            done = engine_step(self._training, *given)
        current.wait_stream(self._stream)
        return done

    def _capture(self, given: tuple[Tensor, Tensor, Tensor, Tensor]) -> torch.cuda.CUDAGraph:
        """Records a step without running it."""
        images, labels, partner, share = self._inputs = tuple(each.clone() for each in given)
        # Gradients are made anew in the graph's own memory, where nothing else is ever put.
        self._training.optimizer.zero_grad(set_to_none=True)
        graph = torch.cuda.CUDAGraph()
        with _capturable(self._training.optimizer, self._rate), torch.cuda.graph(graph, stream=self._stream):
            # Autocast begins and ends inside, so the weights are cast again in each replay.
            self._outputs = engine_step(self._training, images, labels, partner, share)
        return graph


@contextmanager
def _capturable(optimizer: Optimizer, rate: Tensor) -> Iterator[None]:
    """Has the optimiser read its rate from the device, which torch's fused kernels can.

    A float would be frozen into the graph. The schedule and the checkpoints keep theirs: all is put back afterwards.
    """
    (group,) = optimizer.param_groups
    # AdamW refuses a capture without `capturable`; SGD has no such key.
    changes = {"lr": rate} | ({"capturable": True} if "capturable" in group else {})
    before = {key: group[key] for key in changes}
    group.update(changes)
    try:
        yield
    finally:
        group.update(before)


class EachTraining:
    """Takes the place of `loop.step`: makes a step for a training, and keeps it until the layers that learn change."""

    def __init__(self, step_of: StepOf) -> None:
        self._step_of = step_of
        self._made_for: tuple[Training, bool] | None = None
        self._step: Step

    def __call__(
        self, training: Training, images: Tensor, labels: Tensor, partner: Tensor, share: Tensor
    ) -> tuple[Tensor, Tensor]:
        now = (training, training.epoch <= training.config.freeze_epochs)
        if now != self._made_for:
            self._step, self._made_for = self._step_of(training), now
        return self._step(images, labels, partner, share)
