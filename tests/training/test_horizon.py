"""How a configuration is carried over to another number of epochs."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from tune.training.config import TrainConfig, at_horizon
from tune.training.model import build_model, build_optimizer, build_schedule

FOUND = TrainConfig(model="simple_cnn", lr=0.1, batch_size=8, epochs=5)


def rates(config: TrainConfig, steps: int = 4) -> list[float]:
    """The learning rate at the start of each epoch, and in the end."""
    optimizer = build_optimizer(build_model(config, torch.device("cpu")), config)
    schedule = build_schedule(optimizer, config, steps)
    found = [optimizer.param_groups[0]["lr"]]
    for step in range(config.epochs * steps):
        optimizer.step()
        schedule.step()
        if (step + 1) % steps == 0:
            found.append(optimizer.param_groups[0]["lr"])
    return found


@pytest.mark.parametrize("scheduler", ["cosine", "one_cycle", "step"])
def test_the_schedule_is_stretched(scheduler: str) -> None:
    """After the same share of the horizon, the rate is the same."""
    found = dataclasses.replace(FOUND, scheduler=scheduler, gamma=0.8)  # type: ignore[arg-type]
    short, long = rates(found, 40), rates(at_horizon(found, 50), 40)
    tolerance = 0.03 * found.lr if scheduler == "one_cycle" else 1e-6  # its rise is rounded to a step
    assert long[::10] == pytest.approx(short, abs=tolerance)


def test_warm_up_keeps_its_share() -> None:
    found = dataclasses.replace(FOUND, scheduler="cosine", warmup=0.2)
    short, long = rates(found), rates(at_horizon(found, 50))
    assert max(short) == short[1] == pytest.approx(0.1)
    assert max(long) == long[10] == pytest.approx(0.1)


@pytest.mark.parametrize(("frozen", "epochs", "then"), [(0, 50, 0), (1, 50, 10), (2, 50, 20), (1, 1, 1), (2, 3, 1)])
def test_frozen_epochs_keep_their_share_and_are_at_least_one(frozen: int, epochs: int, then: int) -> None:
    assert at_horizon(dataclasses.replace(FOUND, freeze_epochs=frozen), epochs).freeze_epochs == then


def test_steps_decay_as_far_in_more_epochs() -> None:
    found = dataclasses.replace(FOUND, scheduler="step", gamma=0.9)
    assert at_horizon(found, 50).gamma ** 50 == pytest.approx(0.9**5)
    assert at_horizon(dataclasses.replace(found, gamma=1e-3), 1).gamma == 1e-6, "the least that there is"


@pytest.mark.parametrize("scheduler", ["constant", "cosine", "one_cycle"])
def test_what_no_rule_names_stays(scheduler: str) -> None:
    found = dataclasses.replace(FOUND, scheduler=scheduler, warmup=0.2, gamma=0.7)  # type: ignore[arg-type]
    assert at_horizon(found, 50).to_dict() == found.to_dict() | {"epochs": 50}
    assert at_horizon(found, 5) == found
