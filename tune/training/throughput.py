"""Measures how fast a trial trains beside others: a process that warms up, waits, and then trains for some seconds.

    python -m tune.training.throughput '{"config": {...}, "device": "cpu"}'

It reads one JSON object per line and answers each with another: {"threads": 2} warms up on that many cores,
{"seconds": 3.0} trains. It exits at the end of its input, and keeps its memory until then.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from tune.training import host
from tune.training.config import TrainConfig
from tune.training.data import TrainingData
from tune.training.images import SIDE, ImageSet
from tune.training.loop import EpochResult, fit
from tune.training.sources import CLASSES

EPOCH_S = 0.5
"""Seconds per epoch: long enough to make per-epoch costs negligible, short enough to end in time."""

MAX_IMAGES = 50_000


def noise(count: int, device: torch.device) -> TrainingData:
    """`count` images of noise, as the content does not affect the time."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (count, SIDE, SIDE, 3), dtype=torch.uint8, generator=generator)
    labels = torch.arange(count) % CLASSES
    images = ImageSet(pixels, labels, torch.arange(count), ("noise",) * CLASSES, "")
    return TrainingData(images, None).to(device)


class NoiseTraining:
    """A training on noise that can be continued epoch by epoch."""

    def __init__(self, config: TrainConfig, device: torch.device) -> None:
        self._config = config
        self._device = device
        self._epochs: Iterator[EpochResult] = iter(())
        self._images = 0

    def get_ready(self) -> None:
        """Finds how many images an epoch of EPOCH_S takes, and trains the first such epoch."""
        self._begin(self._config.batch_size)
        took = min(next(self._epochs).wall_s for _ in range(2))  # the first selects kernels and allocates memory
        batches = round(EPOCH_S / took)
        if batches > 1:
            self._begin(min(batches, MAX_IMAGES // self._config.batch_size) * self._config.batch_size)
            next(self._epochs)

    def _begin(self, images: int) -> None:
        self._images = images
        self._epochs = fit(self._config, noise(images, self._device), self._device)

    def run(self, seconds: float) -> dict[str, Any]:
        """Trains for at least `seconds`; returns images/s, memory, and whether batches had to be split.

        `waiting` is the share of the time that its threads waited for a core, because other processes had them.
        """
        began, waited, done, split = time.monotonic(), waited_s(), 0, False
        while (took := time.monotonic() - began) < seconds or not done:
            split |= next(self._epochs).micro_batches > 1
            done += self._images
        waiting = (waited_s() - waited) / (took * torch.get_num_threads())
        return {"images_per_s": done / took, "split": split, "waiting": waiting, **memory(self._device)}


def memory(device: torch.device) -> dict[str, float]:
    """In MB of 2**20 bytes. GPU: what all processes on it use, and its total memory. CPU: the peak of this process."""
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        return {"memory_mb": (total - free) / 2**20, "total_mb": total / 2**20}
    return {"memory_mb": host.peak_memory_mb(device)}


def waited_s() -> float:
    """Seconds for which threads of this process were ready to run but had no core. 0 where there is no schedstat."""
    waited_ns = 0
    for file in Path("/proc/self/task").glob("*/schedstat"):
        with suppress(OSError):  # the thread has ended
            waited_ns += int(file.read_text().split()[1])
    return waited_ns / 1e9


def main(argument: str) -> None:
    asked = json.loads(argument)
    training = NoiseTraining(TrainConfig.from_dict(asked["config"]), torch.device(asked["device"]))
    with host.at_full_speed():
        for line in sys.stdin:
            request, answer = json.loads(line), {}
            if "threads" in request:
                torch.set_num_threads(request["threads"])
                training.get_ready()
            else:
                answer = training.run(request["seconds"])
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
