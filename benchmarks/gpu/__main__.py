"""Measures the training engine on one GPU: one call per architecture, of nine minutes at most.

    python -m benchmarks.gpu --model simple_cnn --data-dir DIR --out simple_cnn.json
    python -m benchmarks.gpu --model resnet18 --data-dir DIR --out resnet18.json
    python -m benchmarks.gpu --model resnet50 --data-dir DIR --weights FILE --out resnet50.json

DIR holds cifar-100-python/; with `--data synthetic` it may be empty. `--only NAME,NAME` selects measurements:

    check     losses of 20 steps from a CUDA graph against the engine's own, in several settings
    epoch     an epoch of 40,000 images with validation on 10,000, as reported by `fit`; memory
    step      a single training step on a ready batch, with and without a graph
    waits     how often the training of an epoch waits for the device: once, for its result
    plain     images per second of the plain loop (for ResNets with the data already on the device)
    accuracy  the cost of bfloat16: the engine against itself in float32, seed by seed
    compile   a step with torch.compile
    sharing   1, 2, 4 and 8 concurrent trials, and as many plain loops: the basis for choosing a trial's share

The JSON file is rewritten after each result, so an interrupted call keeps what it has. The exit status is 1 if a check
or a measurement failed. `--device cpu --tiny` tries out the script without a GPU; its results are meaningless.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from statistics import mean, median
from typing import Any

import torch

import cifar_models
from benchmarks.gpu.check import measure_check
from benchmarks.gpu.cuda_graph import CapturedStep, Step, StepOf, eager_step
from benchmarks.gpu.plain import measure_plain
from benchmarks.gpu.session import (
    Report,
    Session,
    bf16_peak,
    cudnn_benchmark,
    float32,
    operations,
    stepping,
    waits,
)
from benchmarks.gpu.sharing import measure_sharing
from benchmarks.provenance import commit
from tune.training import data, loop, sources
from tune.training.data import TrainingData
from tune.training.images import ImageSet
from tune.training.initial_weights import find_weights
from tune.training.state import Training

EPOCH_GOALS = {("simple_cnn", 512): 0.15, ("resnet18", 512): 1.0, ("resnet50", 128): 15.0, ("resnet50", 64): 15.0}
"""In seconds."""

AUGMENTATIONS: dict[str, dict[str, Any]] = {
    "none": {"augmentation": "none"},
    "standard": {"augmentation": "standard"},
    "crop_flip": {"augmentation": "crop_flip"},
    "trivialaugment": {"augmentation": "trivialaugment"},
    "everything": {"augmentation": "randaugment", "random_erasing": 0.5, "mixup": 0.2, "cutmix": 1.0},
}

ACCURACY: dict[str, tuple[int, int, dict[str, Any]]] = {
    "simple_cnn": (3, 10_000, {"lr": 0.04, "batch_size": 32, "epochs": 4}),
    "resnet18": (3, 10_000, {"lr": 0.1, "batch_size": 128, "epochs": 3, "scheduler": "one_cycle"}),
    "resnet50": (2, 5_000, {"lr": 0.02, "batch_size": 32, "epochs": 1, "scheduler": "one_cycle", "image_size": 128}),
}
"""Seeds, training images, and the configuration."""

COMPILED: dict[str, tuple[str, StepOf, float]] = {
    "compile": ("default", eager_step, 120),
    "compile + graph": ("default", CapturedStep, 90),
    "compile, max-autotune": ("max-autotune-no-cudagraphs", eager_step, 300),
}
"""torch.compile's mode, how steps are taken, and the seconds that must be left to start."""


def measure_epoch(session: Session) -> None:
    variants: dict[str, StepOf | None] = {"engine": None}
    if session.model != "resnet50":  # its steps are so long that a graph saves little; `step` measures how much
        variants |= session.graph()
    for batch_size in session.batch_sizes():
        config = session.config(batch_size=batch_size, epochs=session.size(3 if session.model == "resnet50" else 6, 2))
        for variant, step_of in variants.items():
            what = f"batch {batch_size}: {variant}"
            with session.report.guard("epoch", what):
                first, *timed = session.fit(config, session.data, step_of)
                wall, slowest = median(epoch.wall_s for epoch in timed), max(epoch.wall_s for epoch in timed)
                note = f"of {len(timed)}; slowest {slowest:.3g}, the first of all {first.wall_s:.3g}"
                session.report.add("epoch", what, wall, "s", session.goal("<=", EPOCH_GOALS, batch_size), note)
                session.report.add("epoch", what, median(epoch.images_per_s for epoch in timed), "images/s")
                session.report.add("epoch", what, timed[-1].peak_memory_mb, "MB")


def measure_step(session: Session) -> None:
    variants: dict[str, StepOf] = {"eager": eager_step} | session.graph()
    tries = (False, True) if session.model != "simple_cnn" and session.device.type == "cuda" else (False,)
    each = operations(session)
    for batch_size in session.batch_sizes():
        for benchmark in tries:
            for variant, step_of in variants.items():
                what = f"batch {batch_size}: {variant}{', cudnn.benchmark' if benchmark else ''}"
                with session.report.guard("step", what), cudnn_benchmark(benchmark):
                    time_step(session, "step", what, batch_size, step_of, each)


def time_step(session: Session, part: str, what: str, batch_size: int, step_of: StepOf, each: float) -> None:
    """Adds milliseconds per step (median of five runs), images per second, reserved memory, and % of peak FLOP/s."""
    training, batch = session.ready(batch_size)
    step = step_of(training)

    def run(steps: int) -> None:
        for _ in range(steps):
            step(*batch)

    first = session.seconds(partial(run, 1))
    run(session.size(10, 1))
    steps = session.size({"simple_cnn": 200, "resnet18": 40, "resnet50": 20}[session.model], 1)
    took = median(session.seconds(partial(run, steps)) for _ in range(session.size(5, 1))) / steps
    session.report.add(part, what, 1000 * took, "ms", note=f"the first one {first:.3g} s")
    session.report.add(part, what, batch_size / took, "images/s")
    if session.device.type == "cuda":
        # A graph keeps its memory between steps, which torch's peak of allocations does not include.
        session.report.add(part, what, torch.cuda.max_memory_reserved(session.device) / 2**20, "MB", note="reserved")
    peak = bf16_peak(session.device)
    if peak is not None:
        session.report.add(part, what, 100 * each * batch_size / took / peak, "% of peak")


def measure_waits(session: Session) -> None:
    """The only necessary wait is for the result after the last step."""
    if session.device.type != "cuda":
        session.report.leave_out("waits", "all", "nothing waits for a CPU")
        return
    batch_size = session.batch_sizes()[0]
    images = session.first(8 * batch_size)
    for name, changes in AUGMENTATIONS.items():
        variants: dict[str, StepOf | None] = {"engine": None, "graph": CapturedStep}
        for variant, step_of in variants.items():
            what = f"{name}: {variant}"
            with session.report.guard("waits", what), stepping(step_of):
                config = session.config(**{"batch_size": batch_size, "epochs": 2} | changes)
                training = next(session.fit(config, images)).training  # copies the constants to the device
                places = waits(partial(loop._train_one_epoch, training, images.train, batch_size))
                note = ", ".join(f"{times}x {place}" for place, times in places.items())
                session.report.add("waits", what, places.total(), "an epoch", ("<=", 1), note)


def measure_accuracy(session: Session) -> None:
    """Validation accuracy after the last epoch. Both sides share images, order and initial weights, by seed."""
    if session.model == "resnet50" and session.weights is None:
        session.report.leave_out("accuracy", "all", "without --weights ResNet-50 learns nothing in an epoch")
        return
    seeds, images, setting = ACCURACY[session.model]
    setting = setting | {"warmup": 0.1} | session.size({}, {"epochs": 1, "batch_size": 8})
    few = session.first(session.size(images, 16), val=True)
    found: dict[str, list[float]] = {"bfloat16": [], "float32": []}
    with session.report.guard("accuracy", "all"):
        for seed in range(session.size(seeds, 1)):
            for precision in found:
                with float32() if precision == "float32" else nullcontext():
                    *_, last = session.fit(session.config(seed=seed, **setting), few)
                if last.val_acc is None:
                    raise ArithmeticError(f"seed {seed} diverged in {precision}")
                found[precision].append(last.val_acc)
                session.report.add("accuracy", f"seed {seed}: {precision}", last.val_acc, "%")
        for precision, accuracies in found.items():
            session.report.add("accuracy", f"mean: {precision}", mean(accuracies), "%")
        lost = [ours - exact for ours, exact in zip(*found.values(), strict=True)]
        note = ", ".join(f"{each:+.2f}" for each in lost)
        session.report.add("accuracy", "bfloat16 - float32", mean(lost), "points", note=note)


def measure_compile(session: Session) -> None:
    if session.device.type != "cuda":
        session.report.leave_out("compile", "all", "measured on a GPU only")
        return
    batch_size, each = session.batch_sizes()[0], operations(session)
    for name, (mode, step_of, needs) in COMPILED.items():
        what = f"batch {batch_size}: {name}"
        if session.left() < needs:
            session.report.leave_out("compile", what, f"{session.left():.0f} s are left, it may take {needs} s")
            continue
        with session.report.guard("compile", what):
            torch.compiler.reset()
            time_step(session, "compile", what, batch_size, partial(compiled, step_of=step_of, mode=mode), each)


def compiled(training: Training, step_of: StepOf, mode: str) -> Step:
    model: Any = torch.compile(training.model, mode=mode)
    return step_of(replace(training, model=model))


PARTS: dict[str, Callable[[Session], None]] = {
    "check": measure_check,
    "epoch": measure_epoch,
    "step": measure_step,
    "waits": measure_waits,
    "plain": measure_plain,
    "accuracy": measure_accuracy,
    "compile": measure_compile,
    "sharing": measure_sharing,
}


def load(options: argparse.Namespace) -> TrainingData:
    """40,000 training and 10,000 validation images on the device; a few of each with --tiny."""
    whole = data.load_training(sources.prepare(options.data, options.data_dir, "train"), 0.2, seed=0)
    assert whole.val is not None
    train, val = (32, 16) if options.tiny else (40_000, 10_000)
    return TrainingData(sized(whole.train, train), sized(whole.val, val)).to(torch.device(options.device))


def sized(images: ImageSet, count: int) -> ImageSet:
    """`count` of the images, repeated if there are fewer, as in the synthetic set."""
    return images.select(torch.arange(count) % len(images))


def circumstances(options: argparse.Namespace, given: Sequence[str]) -> dict[str, Any]:
    on_gpu = options.device == "cuda"
    return {
        "command": shlex.join(["python", "-m", "benchmarks.gpu", *given]),
        "device": torch.cuda.get_device_name() if on_gpu else "CPU",
        "torch": torch.__version__,
        "cuda": torch.version.cuda if on_gpu else None,
        "commit": commit(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def main(given: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__.partition("\n")[0])
    parser.add_argument("--model", choices=cifar_models.NAMES, required=True)
    parser.add_argument("--data-dir", type=Path, default=Path("data"))
    parser.add_argument("--data", choices=("cifar100", "synthetic"), default="cifar100")
    parser.add_argument("--weights", type=Path, help="weights of ResNet-50, for `accuracy`")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--tiny", action="store_true", help="a few images, no repeats")
    parser.add_argument("--only", type=lambda names: names.split(","), default=list(PARTS), metavar="NAME[,NAME]")
    parser.add_argument("--minutes", type=float, default=9.0, help="skip what would take longer")
    parser.add_argument("--out", type=Path, help="the JSON")
    options = parser.parse_args(given)
    ends = time.monotonic() + 60 * options.minutes
    if unknown := set(options.only) - PARTS.keys():
        parser.error(f"--only: there is no {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    try:
        if options.weights is not None:
            find_weights(options.model, options.weights)
        images = load(options)
    except (ValueError, RuntimeError) as error:
        parser.error(str(error))
    report = Report(circumstances(options, given), options.out)
    print(", ".join(f"{key} {value}" for key, value in report.about.items()), flush=True)
    device = images.train.pixels.device
    session = Session(options.model, images, device, options.weights, options.tiny, report, ends)
    for name in PARTS:
        if name in options.only:
            if session.left() < 30:
                report.leave_out(name, "all", "too little time is left; call again with --only")
                continue
            with report.guard(name, "all"):
                PARTS[name](session)
    return int(report.failed())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
