"""A training step as one CUDA graph, beside the engine's own, so that `benchmarks.gpu` can compare the two.

At small batch sizes the two hundred kernels of a step take less time than Python takes to launch them. A graph launches
all of them at once. Fixed in a graph are shapes, which parameters are trained, and every number that Python passes to a
kernel.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Protocol

import torch
from torch import Tensor
from torch.optim import Optimizer

from tune.training.loop import step as engine_step  # imported by name, as `EachTraining` may replace it in `loop`
from tune.training.state import Training


class Step(Protocol):
    """Takes one step of a training."""

    def __call__(self, images: Tensor, labels: Tensor, partner: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
        """A batch from `mixing.mix` -> the loss, (), and the predicted classes, (B,), both detached."""


StepOf = Callable[[Training], Step]


def eager_step(training: Training) -> Step:
    """The engine's own step."""
    return partial(engine_step, training)


class CapturedStep:
    """The same step from a CUDA graph. The first steps run eagerly, and are steps of the training like all others.

    All batches must have the shape of the first. Make a new one whenever the mode of the model or the set of trained
    parameters changes, or a state is loaded into the optimizer.
    """

    WARM_UP = 3
    """Eager steps before the capture. They select algorithms, and allocate workspaces and the optimizer's state, which
    must not happen inside it."""

    def __init__(self, training: Training) -> None:
        self._training = training
        (self._group,) = training.optimizer.param_groups
        device = next(training.model.parameters()).device
        # Warm-up and capture share a stream, since autograd and cuBLAS tie state that outlives a step to it.
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._rate = torch.zeros((), device=device)
        self._warm = 0
        self._graph: torch.cuda.CUDAGraph | None = None
        # Without mixing, the loss ignores partner and share.
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
        return loss.clone(), guess.clone()  # the next replay overwrites them

    def _aside(self, given: tuple[Tensor, Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        current = torch.cuda.current_stream(self._rate.device)
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            done = engine_step(self._training, *given)
        current.wait_stream(self._stream)
        return done

    def _capture(self, given: tuple[Tensor, Tensor, Tensor, Tensor]) -> torch.cuda.CUDAGraph:
        """Captures a step without running it."""
        images, labels, partner, share = self._inputs = tuple(each.clone() for each in given)
        # New gradients are allocated in the graph's own memory pool, which nothing else uses.
        self._training.optimizer.zero_grad(set_to_none=True)
        graph = torch.cuda.CUDAGraph()
        with _capturable(self._training.optimizer, self._rate), torch.cuda.graph(graph, stream=self._stream):
            # Autocast is entered inside, so the weights are cast again in each replay.
            self._outputs = engine_step(self._training, images, labels, partner, share)
        return graph


@contextmanager
def _capturable(optimizer: Optimizer, rate: Tensor) -> Iterator[None]:
    """Lets the optimizer read its learning rate from the device, as torch's fused kernels can.

    A float would be frozen into the graph. It is restored afterwards, for the schedule and the checkpoints.
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
    """A replacement for `loop.step`: makes a step per training, and a new one when the trained layers change."""

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
