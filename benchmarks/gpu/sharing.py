"""1, 2, 4 and 8 concurrent trials on one GPU, this project's and the plain loop's, each in its own process.

As with `gpu: 1`, 0.5, 0.25 and 0.125 in Ray Tune, shares are not enforced. A trial of the plain Ray Tune script is the
plain loop with its DataLoader. Trials per hour are proportional to images per second.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch

from benchmarks.gpu.session import Goal, Session, cores
from tune.search import packing
from tune.search.packing import Measured, Packing
from tune.training.side_by_side import CannotMeasure, TrainingProcesses, training_command

SECONDS = 4.0
"""Seconds of training per packing."""

AN_HOUR_GOALS = {"simple_cnn": 15.0, "resnet18": 5.0, "resnet50": 2.5}
"""Speed-up over the plain script at its best share, in trials per hour."""


def measure_sharing(session: Session) -> None:
    """At the largest and the smallest batch size: if they differ, a share per batch size would pay off."""
    if session.device.type == "cuda":
        torch.cuda.empty_cache()  # this process keeps only its images there
    for batch_size in session.batch_sizes():
        config = replace(session.config(batch_size=batch_size), lr=1e-6, epochs=10_000)
        command = training_command(config, session.device.type)
        plain_command = [sys.executable, "-m", "benchmarks.gpu.plain_beside", command[-1]]
        ours = measured(session, f"batch {batch_size}: ours", command, lambda trials: 1)
        # The plain loop loads images in workers; each trial has as many as its share of the cores.
        plain = measured(session, f"batch {batch_size}: plain", plain_command, lambda trials: max(1, cores() // trials))
        if not ours or not plain:
            continue
        total_mb = memory_mb(session)
        chosen = packing.best(ours, total_mb)
        fastest = max(item.images_per_s for item in ours)
        best_plain = max(item.images_per_s for item in plain)
        add = partial(session.report.add, "sharing")
        add(f"batch {batch_size}: auto chooses", chosen.packing.trials, "trials")
        add(f"batch {batch_size}: auto / best share", chosen.images_per_s / fastest, "times")
        goal: Goal | None = None if session.tiny else (">=", AN_HOUR_GOALS[session.model])
        add(f"batch {batch_size}: auto / plain at its best", chosen.images_per_s / best_plain, "times", goal)


def measured(session: Session, what: str, command: list[str], threads: Callable[[int], int]) -> list[Measured]:
    """Images per second and memory for each packing, until one does not fit into memory."""
    found: list[Measured] = []
    packings = [Packing(1, 1), Packing(2, 1)] if session.tiny else packing.on_gpu(cores(), 1)
    with tempfile.TemporaryFile() as errors, TrainingProcesses(command, errors) as trials:
        for item in packings:
            try:
                answers = trials.run(item.trials, threads(item.trials), session.size(SECONDS, 0.1))
            except CannotMeasure as error:
                session.report.leave_out("sharing", f"{what}: {item.trials}", str(error))
                break
            speed = sum(answer["images_per_s"] for answer in answers)
            memory = max(answer["memory_mb"] for answer in answers)
            note = f"{memory:,.0f} MB of the device" + (", batches split" if answers[0].get("split") else "")
            session.report.add("sharing", f"{what}: {item.trials}", speed, "images/s", note=note)
            found.append(Measured(item, speed, memory))
    return found


def memory_mb(session: Session) -> float:
    if session.device.type != "cuda":
        return float("inf")
    return torch.cuda.get_device_properties(session.device).total_memory / 2**20
