"""`fit`: it learns, and it tells of each epoch what was."""

from __future__ import annotations

from itertools import islice

import pytest
import torch
from torch import Tensor

from tests.training.trainings import AVERAGED, CPU, LEARNS, RANDOM, beginning, config, run, without_validation
from tune.training import evaluate
from tune.training.config import TrainConfig
from tune.training.data import TrainingData
from tune.training.image_size import preprocessing_of
from tune.training.loop import fit
from tune.training.model import build_model

pytestmark = pytest.mark.usefixtures("one_thread")


def all_logits(trained: TrainConfig, data: TrainingData) -> Tensor:
    """What the untrained network says of the training images."""
    model = build_model(trained, CPU)
    return evaluate.logits(model.eval(), data.train.pixels[data.train.index], preprocessing_of(trained))


# Learning


def test_it_learns(tiny: TrainingData) -> None:
    results = list(fit(config(**LEARNS), tiny, CPU))
    first, last = results[0], results[-1]
    assert first.train_loss > 2
    assert last.train_loss < 0.2
    assert last.train_acc > 97
    assert last.val_acc is not None
    assert last.val_acc > 97
    assert last.val_loss is not None
    assert last.val_loss < 0.3


def test_it_learns_with_everything_random_on(tiny: TrainingData) -> None:
    *_, last = fit(config(**RANDOM | LEARNS | {"epochs": 12}), tiny, CPU)
    assert last.val_acc is not None
    assert last.val_acc > 25  # five times chance


def test_resnet18_learns(tiny: TrainingData) -> None:
    trained = config(model="resnet18", image_size=8, lr=0.01, batch_size=20, epochs=4)
    *_, last = fit(trained, beginning(tiny, 60), CPU)
    assert last.train_acc > 70


def test_it_learns_from_the_rows_of_the_training_side_only(tiny: TrainingData) -> None:
    """Of images of five classes it learns that there are five."""
    assert tiny.val is not None
    five = tiny.train.select(torch.nonzero(tiny.train.labels[tiny.train.index] < 5)[:, 0])
    *_, last = fit(config(**LEARNS), TrainingData(five, tiny.val), CPU)
    out = evaluate.logits(last.training.model, tiny.val.pixels[tiny.val.index], last.training.preprocessing)
    assert set(out.argmax(1).tolist()) <= set(range(5))
    assert last.val_acc is not None
    assert last.val_acc <= 25


def test_it_learns_from_views_and_averages(tiny: TrainingData) -> None:
    *_, last = fit(config(**AVERAGED | LEARNS), tiny, CPU)
    assert last.val_acc is not None
    assert last.val_acc > 60


def test_views_cost_the_loss_their_divergence(tiny: TrainingData) -> None:
    """Of the untrained network, by the weight; where nothing makes views differ there are none."""
    plain, light, heavy = (
        next(fit(config(batch_size=160, augmentation="augmix", jsd=weight), tiny, CPU)).batch_loss[0]
        for weight in (1e-9, 500.0, 1000.0)
    )
    assert 0 < light - plain == pytest.approx((heavy - plain) / 2, rel=1e-2)
    assert next(fit(config(jsd=12.0), tiny, CPU)).batch_loss == next(fit(config(), tiny, CPU)).batch_loss


def test_an_epoch_leaves_the_images_as_they_were(tiny: TrainingData) -> None:
    before = tiny.train.pixels.clone()
    next(fit(config(**RANDOM), tiny, CPU))
    assert torch.equal(tiny.train.pixels, before)


# What an epoch tells


def test_epochs_are_counted_from_one_to_the_last(tiny: TrainingData) -> None:
    assert [result["epoch"] for result in run(config(epochs=3), tiny)] == [1, 2, 3]


def test_a_last_smaller_batch_is_left_out(tiny: TrainingData) -> None:
    (result,) = fit(config(batch_size=50, epochs=1), tiny, CPU)
    assert len(result.batch_loss) == 160 // 50
    assert result.train_loss == pytest.approx(sum(result.batch_loss) / 3)


def test_a_batch_larger_than_the_data_is_all_of_them(tiny: TrainingData) -> None:
    large, whole = (run(config(batch_size=size, epochs=2), tiny) for size in (4096, 160))
    assert len(large[0]["batch_loss"]) == 1
    assert large == whole


def test_without_validation_images_nothing_is_validated(tiny: TrainingData) -> None:
    results = list(fit(config(epochs=2), without_validation(tiny), CPU))
    assert [(result.val_loss, result.val_acc) for result in results] == [(None, None)] * 2


def test_validation_does_not_disturb_training(tiny: TrainingData) -> None:
    alone = run(config(**RANDOM), without_validation(tiny))
    for with_it, without in zip(run(config(**RANDOM), tiny), alone, strict=True):
        assert with_it["batch_loss"] == without["batch_loss"]


def test_the_rate_told_is_that_of_the_last_step(tiny: TrainingData) -> None:
    results = run(config(scheduler="step", gamma=0.5, epochs=3), tiny)
    assert [result["lr"] for result in results] == pytest.approx([0.02, 0.01, 0.005])
    results = run(config(scheduler="cosine", epochs=2, batch_size=160), tiny)
    assert [result["lr"] for result in results] == pytest.approx([0.02, 0.01])


def test_validation_is_the_mean_over_the_images_of_the_model_after_the_epoch(tiny: TrainingData) -> None:
    assert tiny.val is not None
    for result in fit(config(epochs=2), tiny, CPU):
        labels = tiny.val.labels[tiny.val.index]
        out = evaluate.logits(
            result.training.model.eval(), tiny.val.pixels[tiny.val.index], result.training.preprocessing
        )
        assert result.val_loss == pytest.approx((out.logsumexp(1) - out[range(40), labels]).mean().item(), rel=1e-4)
        assert result.val_acc == pytest.approx(100 * (out.argmax(1) == labels).sum().item() / 40)


def test_the_measurements_agree(tiny: TrainingData) -> None:
    (result,) = fit(config(batch_size=50, epochs=1), tiny, CPU)
    assert 0 < 150 / result.images_per_s < result.wall_s
    assert result.peak_memory_mb > 50  # torch alone takes more


# The loss


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_first_loss_and_accuracy_are_those_of_the_untrained_network(smoothing: float, tiny: TrainingData) -> None:
    """All images in one batch: their order does not matter."""
    first = config(batch_size=160, label_smoothing=smoothing)
    (result, *_) = islice(fit(first, tiny, CPU), 1)
    out, labels = all_logits(first, tiny).double(), tiny.train.labels[tiny.train.index]
    target = torch.full((160, 100), smoothing / 100, dtype=torch.float64)
    target[range(160), labels] += 1 - smoothing
    by_hand = -(target * (out - out.logsumexp(1, keepdim=True))).sum(1).mean()
    assert result.batch_loss == (pytest.approx(by_hand.item(), rel=1e-4),)
    assert result.train_acc == pytest.approx(100 * (out.argmax(1) == labels).sum().item() / 160, abs=1)


def test_a_mixed_image_counts_by_the_shares_of_its_labels(tiny: TrainingData) -> None:
    """An alpha of 100 halves nearly every image: who knows all of them is right by half."""
    *_, last = fit(config(**LEARNS, mixup=100.0), tiny, CPU)
    assert last.val_acc is not None
    assert last.val_acc > 90
    assert 35 < last.train_acc < 65
