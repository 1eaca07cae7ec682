"""Whether a captured step trains as the engine does, for `benchmarks.gpu`."""

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
"""In float32; and once as the engine is, without a verdict, since a number that bfloat16 rounds to the other side moves
the losses more than a small error of the rate does."""

RATES = {"simple_cnn": 0.05, "resnet18": 0.01, "resnet50": 0.01}


def config_of(session: Session, name: str, batch_size: int) -> TrainConfig:
    """The rate is another one in each step, so that a stale one shows. Two epochs, as the seeds are new in each."""
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
            if exact:  # below 1 the check could not have told
                told = over(apart["wrong"], limit)
                session.report.add("check", f"{name}: rate 10 % off", told, "of limit", (">=", 1))


def distances(
    session: Session, config: TrainConfig, images: TrainingData, variants: Mapping[str, StepOf | None]
) -> dict[str, Tensor]:
    """How far each step's loss is from the engine's, in nats: for the variants, and for what they are held against."""

    def losses(step_of: StepOf | None) -> Tensor:
        return torch.tensor([loss for epoch in session.fit(config, images, step_of) for loss in epoch.batch_loss])

    engine = losses(None)
    return {name: (losses(step_of) - engine).abs() for name, step_of in {**REFERENCES, **variants}.items()}


def limits(apart: dict[str, Tensor]) -> Tensor:
    """What a step's loss may differ by: what chance and rounding make of it, or a fifth of what a wrong rate does.

    Each step by itself, as a network doubles a difference in about a step: later ones tell nothing any more.
    """
    noise = torch.maximum(apart["again"], apart["rounded"]).cummax(0).values
    return torch.maximum(10 * noise, apart["wrong"] / 5).clamp(min=1e-5)


def over(apart: Tensor, limit: Tensor) -> float:
    """The largest share of its limit that a step reached."""
    return (apart / limit).max().item()


def at_other_rate(training: Training, factor: float) -> Step:
    """The engine's step with a rate that is off by a factor."""
    (group,) = training.optimizer.param_groups

    def step(images: Tensor, labels: Tensor, partner: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
        rate = group["lr"]
        group["lr"] = factor * rate
        done = engine_step(training, images, labels, partner, share)
        group["lr"] = rate
        return done

    return step


REFERENCES: dict[str, StepOf | None] = {
    "again": None,  # some of CUDA's kernels add up in no fixed order
    "rounded": partial(at_other_rate, factor=1 + 2**-22),  # a graph's rate is a float32
    "wrong": partial(at_other_rate, factor=1.1),
}
