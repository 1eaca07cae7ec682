"""Several of the engine's own trainings in one process, which take steps in turn, for `benchmarks.fused`.

On a GPU each has its own CUDA stream, so that kernels of several can run concurrently.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from benchmarks.gpu.cuda_graph import StepOf
from tune.training import batches, loop, mixing
from tune.training.config import TrainConfig
from tune.training.data import TrainingData
from tune.training.loop import fit
from tune.training.model import set_training_mode
from tune.training.state import Training


class Turns:
    """The members of a process."""

    def __init__(self, configs: Sequence[TrainConfig], data: TrainingData, step_of: StepOf) -> None:
        self._data = data.train
        device = self._data.pixels.device
        # One epoch of each, so that torch and the augmentation fill their caches on the default stream.
        self._trainings = [next(fit(config, data, device)).training for config in configs]
        self._steps = [step_of(training) for training in self._trainings]
        self._streams: list[Any] = [None] * len(configs)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
            self._streams = [torch.cuda.Stream(device) for _ in configs]  # type: ignore[no-untyped-call]

    def epoch(self) -> Tensor:
        """One pass over the images -> losses (steps, M)."""
        members = [self._member(index) for index in range(len(self._trainings))]
        losses: list[list[Tensor]] = [[] for _ in members]
        for _ in range(len(self._data) // self._trainings[0].config.batch_size):
            for stream, member, kept in zip(self._streams, members, losses, strict=True):
                with _on(stream):  # the batch is made on the stream that uses it
                    kept.append(next(member))
        if self._streams[0] is not None:
            torch.cuda.synchronize(self._data.pixels.device)
        return torch.stack([torch.stack(kept) for kept in losses], 1)

    def _member(self, index: int) -> Iterator[Tensor]:
        """The losses of one member's epoch, step by step, as in `loop._train_one_epoch`."""
        training: Training = self._trainings[index]
        config, device = training.config, self._data.pixels.device
        training.epoch += 1
        generator = loop._seed(config.seed, training.epoch, device)
        set_training_mode(training.model, config, training.epoch)
        drawn = batches.shuffled(self._data, config, training.preprocessing, config.batch_size, generator)
        for images, labels in drawn:
            images, partner, share = mixing.mix(images, labels, config, generator)
            loss, _ = self._steps[index](images, labels, partner, share)
            training.schedule.step()
            yield loss


def _on(stream: Any) -> AbstractContextManager[Any]:
    return nullcontext() if stream is None else torch.cuda.stream(stream)
