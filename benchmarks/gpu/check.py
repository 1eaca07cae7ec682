"""Checks that a captured step trains as the engine does, for `benchmarks.gpu`."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor

from benchmarks.gpu.cuda_graph import Step, StepOf, eager_step
from benchmarks.gpu.session import Session, float32
from tune.training.config import TrainConfig
from tune.training.data import TrainingData
from tune.training.loop import step as engine_step
from tune.training.state import Training

CHECKS: dict[str, dict[str, Any]] = {
    "sgd": {},
    "mixup, cutmix": {"mixup": 0.2, "cutmix": 1.0},
    "dropout": {"dropout": 0.2},
    "adamw": {"optimizer": "adamw", "lr": 1e-3},
    "freeze": {"freeze_epochs": 1},
    "bfloat16": {},
}
"""All in float32 except the last, which gets no verdict: there a number that bfloat16 rounds the other way changes the
losses more than a small error in the learning rate does."""

RATES = {"simple_cnn": 0.05, "resnet18": 0.01, "resnet50": 0.01}


def config_of(session: Session, name: str, batch_size: int) -> TrainConfig:
    """The learning rate changes in each step, to expose a stale one. Two epochs, since each has its own seeds."""
    given = {"batch_size": batch_size, "epochs": 2, "lr": RATES[session.model], "warmup": 0.3}
    return session.config(**given | CHECKS[name])


def measure_check(session: Session) -> None:
    batch_size = session.batch_sizes()[-1]
    images = session.first(batch_size * session.size(10, 2))
    variants: dict[str, StepOf] = {"eager": eager_step} | session.graph()
    for name in CHECKS:
        exact = name != "bfloat16"
        with session.report.guard("check", name), float32() if exact else nullcontext():
            apart = distances(session, config_of(session, name, batch_size), images, variants)
            limit, own = limits(apart), max(apart["again"].max().item(), apart["rounded"].max().item())
            for variant in variants:
                what = f"{name}: {variant}"
                session.report.add("check", what, apart[variant].max().item(), "nats", note=f"the engine {own:.2g}")
                if exact:
                    session.report.add("check", what, over(apart[variant], limit), "of limit", ("<=", 1))
            if exact:  # below 1, the check could not have detected an error
                told = over(apart["wrong"], limit)
                session.report.add("check", f"{name}: rate 10 % off", told, "of limit", (">=", 1))


def distances(
    session: Session, config: TrainConfig, images: TrainingData, variants: Mapping[str, StepOf | None]
) -> dict[str, Tensor]:
    """The difference of each step's loss from the engine's, in nats, for the variants and for the REFERENCES."""

    def losses(step_of: StepOf | None) -> Tensor:
        return torch.tensor([loss for epoch in session.fit(config, images, step_of) for loss in epoch.batch_loss])

    engine = losses(None)
    return {name: (losses(step_of) - engine).abs() for name, step_of in {**REFERENCES, **variants}.items()}


def limits(apart: dict[str, Tensor]) -> Tensor:
    """By how much each step's loss may differ: ten times the noise, or a fifth of what a wrong learning rate does.

    Per step, since a network doubles any difference in about one step, so that late steps tell nothing.
    """
    noise = torch.maximum(apart["again"], apart["rounded"]).cummax(0).values
    return torch.maximum(10 * noise, apart["wrong"] / 5).clamp(min=1e-5)


def over(apart: Tensor, limit: Tensor) -> float:
    """The largest ratio of a step's difference to its limit."""
    return (apart / limit).max().item()


def at_other_rate(training: Training, factor: float) -> Step:
    """The engine's step with the learning rate multiplied by a factor."""
    (group,) = training.optimizer.param_groups

    def step(images: Tensor, labels: Tensor, partner: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
        rate = group["lr"]
        group["lr"] = factor * rate
        done = engine_step(training, images, labels, partner, share)
        group["lr"] = rate
        return done

    return step


REFERENCES: dict[str, StepOf | None] = {
    "again": None,  # some CUDA kernels sum in no fixed order
    "rounded": partial(at_other_rate, factor=1 + 2**-22),  # in a graph the learning rate is a float32
    "wrong": partial(at_other_rate, factor=1.1),
}
