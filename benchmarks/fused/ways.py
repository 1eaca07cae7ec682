"""The ways to train many configurations that `benchmarks.fused` compares, and the work of each process."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import torch

from benchmarks.fused.captured import Captured
from benchmarks.fused.group import Group
from benchmarks.fused.networks import METHODS
from benchmarks.fused.turns import Turns
from benchmarks.gpu.cuda_graph import CapturedStep, eager_step
from benchmarks.gpu.session import stepping
from tune.training import data as training_data
from tune.training import host, sources
from tune.training.config import TrainConfig
from tune.training.data import TrainingData
from tune.training.loop import fit
from tune.training.throughput import noise

STARTS_WITHIN_S = 300
HORIZON = 100
"""In epochs; more than a measurement trains."""


@dataclass(frozen=True)
class Way:
    """A method, with its number of processes and of members in each."""

    method: str
    """`fit`, the engine with one training per process; `turns`; or one of METHODS."""

    processes: int
    members: int
    threads: int
    """Per process."""

    graph: bool = False
    """Whether the step is a CUDA graph."""

    @property
    def name(self) -> str:
        if self.method == "fit":
            name = f"fit, {self.processes} side by side"
        else:
            name = f"{self.method}, {self.members} members"
            name += f" x {self.processes} processes" if self.processes > 1 else ""
        return name + (", graph" if self.graph else "")


@dataclass(frozen=True)
class Job:
    """What all ways are measured on."""

    batch_size: int
    device: str
    data_dir: Path | None
    """None to use noise instead of images."""

    images: int
    """Images per timed epoch, over all members of a process, but at least a few steps."""

    seconds: float


def ways(device: str, members: list[int], cores: int) -> list[Way]:
    """The ways to compare on a device."""
    if device == "cpu":
        found = [Way("fit", processes, 1, cores // processes) for processes in sorted({1, cores})]
        for each in members:
            found += [Way(method, 1, each, cores) for method in METHODS]
            if cores > 1 and each % cores == 0 and each > cores:  # the same members, spread over the cores
                found += [Way(method, cores, each // cores, 1) for method in ("turns", *METHODS)]
        return found
    found = []
    for graph in (False, True):
        found += [Way("fit", processes, 1, 1, graph) for processes in (1, 2, 4, 8)]
        found += [Way(method, 1, each, 1, graph) for each in members for method in ("turns", *METHODS)]
    return found


def configurations(batch_size: int, count: int, first: int = 0) -> list[TrainConfig]:
    """Members that differ in everything that a group allows but augmentation, so that the work is the same."""
    return [
        TrainConfig(
            model="simple_cnn",
            lr=0.001 * batch_size * 0.8**index,
            batch_size=batch_size,
            epochs=HORIZON,
            momentum=(0.9, 0.8)[index % 2],
            nesterov=bool(index // 2 % 2),
            weight_decay=(0.0, 5e-4, 2e-3)[index % 3],
            label_smoothing=(0.0, 0.1)[index % 2],
            augmentation="crop_flip",
            seed=index,
        )
        for index in range(first, first + count)
    ]


def measure(way: Way, job: Job) -> float:
    """Training images per second, summed over all members of all processes. RuntimeError if one fails."""
    spawn = multiprocessing.get_context("spawn")  # CUDA does not survive a fork
    barrier, found = spawn.Barrier(way.processes), spawn.SimpleQueue()
    workers = [spawn.Process(target=_work, args=(way, job, index, barrier, found)) for index in range(way.processes)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if any(worker.exitcode for worker in workers):
        raise RuntimeError(f"{way.name}: a process ended with {[worker.exitcode for worker in workers]}")
    return float(sum(found.get() for _ in workers))


def _work(way: Way, job: Job, index: int, barrier: Barrier, found: Any) -> None:
    """The work of one process. All start to count at the same time, once the last has warmed up."""
    torch.set_num_threads(way.threads)
    if way.processes > 1 and job.device == "cpu" and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[index]})
    engine = CapturedStep if way.graph and way.method == "fit" else None
    try:
        with host.at_full_speed(), stepping(engine):
            epoch = trainer(way, job, index)
            epoch()  # the first is never timed
            barrier.wait(STARTS_WITHIN_S)
            found.put(speed(epoch, job.seconds))
    except BaseException:
        barrier.abort()
        raise


def speed(epoch: Callable[[], int], seconds: float) -> float:
    """Images per second, over as many whole epochs as fill the time."""
    began, images = time.perf_counter(), 0
    for _ in count():
        images += epoch()
        took = time.perf_counter() - began
        if took >= seconds:
            break
    return images / took


def trainer(way: Way, job: Job, index: int) -> Callable[[], int]:
    """A function that trains an epoch, waits for the device, and returns the number of images."""
    steps = max(4 if job.device == "cpu" else 16, job.images // way.members // job.batch_size)
    each = steps * job.batch_size
    data = images_of(job, each).to(torch.device(job.device))
    configs = configurations(job.batch_size, way.members, index * way.members)
    step_of = CapturedStep if way.graph else eager_step

    if way.method == "fit":
        epochs = fit(configs[0], data, torch.device(job.device))

        def run() -> object:
            return next(epochs)

    elif way.method == "turns":
        run = Turns(configs, data, step_of).epoch
    else:
        run = Group(configs, data.train, METHODS[way.method], Captured if way.graph else None).epoch

    def epoch() -> int:
        run()
        if job.device == "cuda":
            torch.cuda.synchronize()
        return each * way.members

    return epoch


def images_of(job: Job, count: int) -> TrainingData:
    """`count` training images, on the CPU."""
    if job.data_dir is None:
        return noise(count, torch.device("cpu"))
    table = training_data.load_training(sources.prepare("cifar100", job.data_dir, "train"), 0.2, seed=0).train
    return TrainingData(table.select(torch.arange(count)), None)
