"""What is no longer a finite number ends a training, and what is finite does not."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import Optimizer

from tests.training.trainings import CPU, config, without_validation
from tune.training import loop
from tune.training.config import TrainConfig
from tune.training.data import TrainingData
from tune.training.loop import fit
from tune.training.model import build_optimizer

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("validated", [True, False])
def test_a_loss_that_is_no_longer_finite_ends_the_training(validated: bool, tiny: TrainingData) -> None:
    data = tiny if validated else without_validation(tiny)
    results = list(fit(config(lr=100.0, batch_size=10, epochs=20), data, CPU))
    assert [result.diverged for result in results] == [False] * (len(results) - 1) + [True]
    assert len(results) < 20
    last = results[-1]
    assert not math.isfinite(last.train_loss)
    assert not all(math.isfinite(loss) for loss in last.batch_loss)
    assert (last.val_loss, last.val_acc) == (None, None)


def test_a_finite_loss_at_chance_is_not_diverged(tiny: TrainingData) -> None:
    results = list(fit(config(lr=1e-8), tiny, CPU))
    assert [result.diverged for result in results] == [False] * 4
    assert results[-1].train_loss == pytest.approx(math.log(100), abs=0.2)


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
def test_every_kind_of_not_finite_is_diverged(loss: float, tiny: TrainingData, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the loss alone: its gradient is zero, so the weights stay."""
    plain = loop.training_loss
    monkeypatch.setattr(loop, "training_loss", lambda *given: plain(*given) * 0 + loss)
    (result,) = fit(config(), tiny, CPU)
    assert result.diverged
    assert (result.val_loss, result.val_acc) == (None, None)


@pytest.mark.parametrize("validated", [True, False])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_weight_that_the_last_step_spoils_is_diverged(
    value: float, validated: bool, tiny: TrainingData, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoiling(model: nn.Module, trained: TrainConfig) -> Optimizer:
        made = build_optimizer(model, trained)

        def spoil(*_: Any) -> None:
            with torch.no_grad():
                next(model.parameters())[0, 0, 0, 0] = value

        made.register_step_post_hook(spoil)
        return made

    monkeypatch.setattr(loop, "build_optimizer", spoiling)
    (result,) = fit(config(batch_size=160, epochs=4), tiny if validated else without_validation(tiny), CPU)
    assert math.isfinite(result.train_loss)
    assert result.diverged
    assert (result.val_loss, result.val_acc) == (None, None)


def test_weights_that_make_the_validation_overflow_are_diverged(tiny: TrainingData) -> None:
    """One step, of a finite loss, to weights that are finite too."""
    wild = config(model="resnet18", image_size=8, augmentation="standard", lr=100.0, weight_decay=10.0, batch_size=200)
    (result,) = fit(wild, tiny, CPU)
    assert math.isfinite(result.train_loss)
    assert all(parameter.isfinite().all() for parameter in result.training.model.parameters())
    assert result.diverged
    assert (result.val_loss, result.val_acc) == (None, None)


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_validation_loss_that_is_not_finite_is_diverged(
    loss: float, tiny: TrainingData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "evaluate", lambda *_: (torch.tensor([1.0, loss]), torch.tensor([True, False])))
    (result,) = fit(config(), tiny, CPU)
    assert math.isfinite(result.train_loss)
    assert result.diverged
    assert (result.val_loss, result.val_acc) == (None, None)
