"""The average of weights: by hand, and what is validated and saved."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from tests.training.trainings import CPU, LEARNS, beginning, config, figures
from tune.training import checkpoint, evaluate
from tune.training.averaging import WeightAverage
from tune.training.data import TrainingData
from tune.training.loop import fit

pytestmark = pytest.mark.usefixtures("one_thread")


def test_four_steps_by_hand() -> None:
    """The decay is 1/10, 2/11, 3/12, then what was asked for, 0.3."""
    learning = nn.Linear(1, 1, bias=False)
    nn.init.constant_(learning.weight, 100.0)
    average = WeightAverage(learning, 0.3)
    wanted = 100.0
    for step, decay in enumerate((1 / 10, 2 / 11, 3 / 12, 0.3)):
        nn.init.constant_(learning.weight, float(step))
        average.update()
        wanted = decay * wanted + (1 - decay) * step
        assert average.model.weight.item() == pytest.approx(wanted, rel=1e-6)
    assert learning.weight.item() == 3
    assert not average.model.weight.requires_grad


def test_statistics_are_averaged_and_counts_are_copied() -> None:
    learning = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    average = WeightAverage(learning, 0.9)
    learning(torch.randn(8, 2, generator=torch.Generator().manual_seed(0)))
    before = [buffer.clone() for buffer in average.model.buffers()]
    average.update()
    for old, new, own in zip(before, learning.buffers(), average.model.buffers(), strict=True):
        torch.testing.assert_close(own, 0.1 * old + 0.9 * new if own.is_floating_point() else new)
    assert not average.model.training


def test_an_average_of_nothing_but_the_last_step_is_the_network_itself(tiny: TrainingData) -> None:
    """To float32's rounding; so it is validated as that is, batch norm included."""
    changes = {"model": "resnet18", "image_size": 8, "batch_size": 16, "epochs": 2, "lr": 0.01}
    few = beginning(tiny, 32)
    for plain, averaged in zip(
        fit(config(**changes), few, CPU), fit(config(**changes, ema=1e-9), few, CPU), strict=True
    ):
        assert averaged.batch_loss == plain.batch_loss
        assert averaged.val_loss == pytest.approx(plain.val_loss, rel=1e-3)


def test_averaging_does_not_change_what_is_learnt(tiny: TrainingData) -> None:
    plain, averaged = ([*fit(config(epochs=2, ema=ema), tiny, CPU)] for ema in (0.0, 0.9))
    assert [each.batch_loss for each in plain] == [each.batch_loss for each in averaged]
    assert [each.val_loss for each in plain] != [each.val_loss for each in averaged]


def test_the_average_is_what_is_validated_and_saved(tiny: TrainingData, tmp_path: Path) -> None:
    assert tiny.val is not None
    *_, last = fit(config(epochs=2, ema=0.95), tiny, CPU)
    checkpoint.save_model(tmp_path / "model.pt", last.training, tiny.train.class_names)
    loaded = checkpoint.load_model(tmp_path / "model.pt", CPU)
    each_loss, each_correct = evaluate.evaluate(loaded.model, tiny.val, loaded.preprocessing)
    assert last.val_loss == each_loss.mean().item()
    assert last.val_acc == 100 * each_correct.double().mean().item()
    learning = evaluate.evaluate(last.training.model, tiny.val, loaded.preprocessing)[0]
    assert last.val_loss != learning.mean().item()
    assert figures(last)["diverged"] is False


def test_a_short_training_is_not_judged_by_its_first_weights(tiny: TrainingData) -> None:
    """A decay of 0.9999 over 32 steps: without the faster first ones it would still be the random network."""
    *_, last = fit(config(**LEARNS, ema=0.9999), tiny, CPU)
    assert last.val_acc is not None
    assert last.val_acc > 80
