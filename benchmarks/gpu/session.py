"""Shared by the measurements of `benchmarks.gpu`: their report, their session, and what they count and switch in
torch."""

from __future__ import annotations

import json
import math
import os
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar
from unittest.mock import patch

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.gpu.cuda_graph import CapturedStep, EachTraining, StepOf
from tune.files import atomic_path
from tune.training import batches, evaluate, loop, mixing
from tune.training.config import TrainConfig
from tune.training.data import TrainingData
from tune.training.loop import EpochResult, fit
from tune.training.state import Training

T = TypeVar("T")
Sign = Literal["<=", ">="]
Goal = tuple[Sign, float]
Batch = tuple[Tensor, Tensor, Tensor, Tensor]
"""The arguments of a step: images, labels, the partners' labels, and shares."""

BATCH_SIZES = {"simple_cnn": (512, 8), "resnet18": (512, 128), "resnet50": (128, 64)}
TINY_SIZES = {"simple_cnn": 32, "resnet18": 16, "resnet50": 32}
"""In px, to try out the script."""

BF16_PEAKS = {"H100 80GB HBM3": 989e12, "H200": 989e12, "A100": 312e12}
"""Dense FLOP/s, by a part of the device's name; from the vendor's data sheets."""

MUST = ("check", "waits")
"""Parts whose goals must be met."""


@dataclass
class Report:
    """The results so far: printed one per line, and written to a file."""

    about: dict[str, Any]
    path: Path | None
    figures: list[dict[str, Any]] = field(default_factory=list)

    def add(self, part: str, what: str, value: float, unit: str, goal: Goal | None = None, note: str = "") -> None:
        figure: dict[str, Any] = {"part": part, "what": what, "value": value if math.isfinite(value) else None}
        figure["unit"] = unit
        line = f"{value:>12,.5g} {unit:<9}"
        if goal is not None:
            sign, bound = goal
            figure["goal"] = f"{sign} {bound:.4g}"
            figure["met"] = value <= bound if sign == "<=" else value >= bound  # false for NaN
            line += f" {figure['goal']}: {'ok' if figure['met'] else 'FAIL' if part in MUST else 'missed'}"
        if note:
            figure["note"] = note
            line += f" ({note})"
        self._keep(figure, line)

    def leave_out(self, part: str, what: str, why: str) -> None:
        self._keep({"part": part, "what": what, "left_out": why}, f"{'-':>12} {why}")

    @contextmanager
    def guard(self, part: str, what: str) -> Iterator[None]:
        """Reports a measurement that fails, and lets the others run."""
        try:
            yield
        except Exception as error:
            traceback.print_exc()
            why = f"{type(error).__name__}: {(str(error) or '-').splitlines()[0]}"
            self._keep({"part": part, "what": what, "failed": why}, f"{'FAILED':>12} {why}")

    def find(self, part: str, what: str, unit: str) -> float | None:
        """A result added before; None if there is none."""
        for figure in self.figures:
            if (figure["part"], figure["what"], figure.get("unit")) == (part, what, unit):
                value: float | None = figure["value"]
                return value
        return None

    def failed(self) -> bool:
        """Whether anything failed. A speed that misses its goal has not."""
        return any(
            "failed" in figure or (figure.get("met") is False and figure["part"] in MUST) for figure in self.figures
        )

    def _keep(self, figure: dict[str, Any], line: str) -> None:
        self.figures.append(figure)
        print(f"{figure['part']:<9} {figure['what']:<36} {line}".rstrip(), flush=True)
        if self.path is not None:
            with atomic_path(self.path) as unfinished:
                unfinished.write_text(json.dumps(self.about | {"figures": self.figures}, indent=1) + "\n")


@dataclass(frozen=True)
class Session:
    """What is measured, on which data and device, and until when."""

    model: str
    data: TrainingData
    device: torch.device
    weights: Path | None
    tiny: bool
    report: Report
    ends: float
    """In the time of time.monotonic()."""

    def left(self) -> float:
        """Seconds until the call should end."""
        return self.ends - time.monotonic()

    def size(self, full: T, tiny: T) -> T:
        return tiny if self.tiny else full

    def batch_sizes(self) -> tuple[int, ...]:
        return (8,) if self.tiny else BATCH_SIZES[self.model]

    def goal(self, sign: Sign, goals: dict[tuple[str, int], float], batch_size: int) -> Goal | None:
        """The goal of this model on a GPU; None without a goal or a GPU."""
        bound = goals.get((self.model, batch_size))
        return None if bound is None or self.tiny or self.device.type != "cuda" else (sign, bound)

    def config(self, **changes: Any) -> TrainConfig:
        given = {"model": self.model, "lr": 0.01, "epochs": 1, "nesterov": True, "weight_decay": 5e-4}
        given |= {"scheduler": "cosine", "augmentation": "standard" if self.model == "resnet50" else "crop_flip"}
        if self.tiny:
            changes |= {"image_size": TINY_SIZES[self.model]}
        return TrainConfig.from_dict(given | changes)

    def first(self, count: int, val: bool = False) -> TrainingData:
        """The first `count` training images, and with `val` the validation images."""
        train = self.data.train.select(torch.arange(count, device=self.device))
        return TrainingData(train, self.data.val if val else None)

    def fit(self, config: TrainConfig, data: TrainingData, step_of: StepOf | None = None) -> Iterator[EpochResult]:
        """The engine's `fit`, with its own step or another."""
        with stepping(step_of):
            yield from fit(config, data, self.device, weights=self.weights)

    def graph(self) -> dict[str, StepOf]:
        """The captured step by name; empty on a CPU, which has no graphs."""
        return {"graph": CapturedStep} if self.device.type == "cuda" else {}

    def ready(self, batch_size: int) -> tuple[Training, Batch]:
        """A training in progress and a batch for it. The learning rate changes with each step."""
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.device)
        config, few = self.config(batch_size=batch_size, epochs=10_000), self.first(2 * batch_size)
        training = next(fit(config, few, self.device)).training
        generator = torch.Generator(self.device).manual_seed(0)
        images, labels = next(batches.shuffled(few.train, config, training.preprocessing, batch_size, generator))
        images, partner, share = mixing.mix(images, labels, config, generator)
        return training, (images, labels, partner, share)

    def seconds(self, run: Callable[[], object]) -> float:
        """Seconds until the device has finished."""
        self._finish()
        began = time.perf_counter()
        run()
        self._finish()
        return time.perf_counter() - began

    def _finish(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


@contextmanager
def stepping(step_of: StepOf | None) -> Iterator[None]:
    """Replaces the engine's step in the block; with None, keeps it."""
    with nullcontext() if step_of is None else patch.object(loop, "step", EachTraining(step_of)):
        yield


@contextmanager
def float32() -> Iterator[None]:
    """Runs the engine in float32: without autocast, and without TF32, the default for convolutions."""
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.allow_tf32, matmul.allow_tf32

    def off(device: torch.device) -> nullcontext[None]:
        return nullcontext()

    with patch.object(loop, "mixed_precision", off), patch.object(evaluate, "mixed_precision", off):
        cudnn.allow_tf32 = matmul.allow_tf32 = False
        try:
            yield
        finally:
            cudnn.allow_tf32, matmul.allow_tf32 = before


@contextmanager
def cudnn_benchmark(on: bool) -> Iterator[None]:
    """Whether cuDNN tries out its algorithms for each new shape. The engine leaves it off."""
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = on
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before


def operations(session: Session) -> float:
    """Floating-point operations per image, for a forward and a backward pass."""
    training, (images, *_) = session.ready(4)
    with FlopCounterMode(display=False) as counter:
        training.model(images).sum().backward()
    return float(counter.get_total_flops() / len(images))


def bf16_peak(device: torch.device) -> float | None:
    """The device's peak FLOP/s in bfloat16; None if unknown."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    return next((peak for part, peak in BF16_PEAKS.items() if part in name), None)


def waits(run: Callable[[], object]) -> Counter[str]:
    """How often `run` waited for the device, by line of code."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            run()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    found = (each for each in caught if "synchronizing" in str(each.message) and "prototype" not in str(each.message))
    return Counter(f"{Path(each.filename).name}:{each.lineno}" for each in found)


def cores() -> int:
    """The CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
