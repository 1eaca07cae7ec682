"""`fit`: it learns, it repeats itself to the last digit, it goes on where it stopped, and it says when it diverged."""

from __future__ import annotations

import copy
import dataclasses
import math
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from tune.training import augment, checkpoint, evaluate, loop
from tune.training.architecture import preprocessing_of
from tune.training.config import TrainConfig
from tune.training.data import TrainingData
from tune.training.loop import EpochResult, fit
from tune.training.model import build_model, build_optimizer

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")

LEARNS = {"optimizer": "adamw", "lr": 0.002, "epochs": 8}

# Everything random that there is, at once.
RANDOM = {
    "augmentation": "randaugment", "random_erasing": 0.3, "label_smoothing": 0.1, "mixup": 0.4, "cutmix": 1.0,
    "dropout": 0.3, "nesterov": True, "weight_decay": 1e-3,
}  # fmt: skip


def config(**changes: Any) -> TrainConfig:
    plain = {"model": "simple_cnn", "lr": 0.02, "batch_size": 40, "epochs": 4, "augmentation": "none"}
    return TrainConfig.from_dict(plain | changes)


def figures(result: EpochResult) -> dict[str, Any]:
    """All that is not a measurement of the machine."""
    machine = {"wall_s", "images_per_s", "peak_memory_mb", "training"}
    return {
        field.name: getattr(result, field.name) for field in dataclasses.fields(result) if field.name not in machine
    }


def run(trained: TrainConfig, data: TrainingData, start: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    return [figures(result) for result in fit(trained, data, CPU, start)]


def without_validation(data: TrainingData) -> TrainingData:
    return TrainingData(data.train, None)


def beginning(data: TrainingData, count: int) -> TrainingData:
    """Fewer images to train on, where the number does not matter."""
    return TrainingData(data.train.select(torch.arange(count)), data.val)


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


@pytest.mark.parametrize("mixing", [{"mixup": 0.3}, {"cutmix": 1.0}, {"mixup": 0.3, "cutmix": 1.0}])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_a_mixed_image_is_held_against_the_shares_of_both_labels(mixing: dict[str, float], smoothing: float) -> None:
    mixed = config(label_smoothing=smoothing, **mixing)
    generator = torch.Generator().manual_seed(0)
    out = torch.randn(16, 100, generator=generator)
    labels = torch.randint(100, (16,), generator=generator)
    _, partner, share = augment.mix(torch.zeros(16, 3, 8, 8), labels, mixed, generator)
    assert share.unique().numel() > 8
    target = torch.full((16, 100), smoothing / 100)
    for row in range(16):
        target[row, labels[row]] += (1 - smoothing) * share[row]
        target[row, partner[row]] += (1 - smoothing) * (1 - share[row])
    by_hand = -(target * out.log_softmax(1)).sum(1).mean()
    assert loop._loss(out, labels, partner, share, mixed).item() == pytest.approx(by_hand.item(), rel=1e-5)


def test_a_mixed_image_counts_by_the_shares_of_its_labels(tiny: TrainingData) -> None:
    """An alpha of 100 halves nearly every image: who knows all of them is right by half."""
    *_, last = fit(config(**LEARNS, mixup=100.0), tiny, CPU)
    assert last.val_acc is not None
    assert last.val_acc > 90
    assert 35 < last.train_acc < 65


# The same again


SAME = [
    RANDOM,
    {"model": "resnet18", "image_size": 8, "augmentation": "standard", "dropout": 0.3, "batch_size": 16, "epochs": 2},
]


@pytest.mark.parametrize("changes", SAME, ids=["simple_cnn", "resnet18"])
def test_the_same_configuration_gives_the_same_results_to_the_last_digit(
    changes: dict[str, Any], tiny: TrainingData
) -> None:
    data = beginning(tiny, 48)
    once = run(config(**changes), data)
    torch.manual_seed(123)
    torch.rand(7)
    assert run(config(**changes), data) == once


def test_another_seed_gives_other_results(tiny: TrainingData) -> None:
    one, other = (run(config(**RANDOM, seed=seed), tiny) for seed in (1, 2))
    assert not set(one[0]["batch_loss"]) & set(other[0]["batch_loss"])


def test_each_epoch_draws_anew(tiny: TrainingData) -> None:
    """With a rate of almost nothing, only the draws tell epochs apart."""
    first, second = run(config(**RANDOM | {"lr": 1e-8, "epochs": 2}), tiny)
    assert not set(first["batch_loss"]) & set(second["batch_loss"])


def test_two_trainings_in_turns_give_what_each_gives_alone(tiny: TrainingData) -> None:
    configs = [config(**RANDOM, epochs=2, seed=seed) for seed in (1, 2)]
    alone = [run(each, tiny) for each in configs]
    turns = zip(*(fit(each, tiny, CPU) for each in configs), strict=True)
    together = [[figures(result) for result in turn] for turn in turns]
    assert [list(results) for results in zip(*together, strict=True)] == alone


# Going on


SCHEDULES = [
    {"scheduler": name, "warmup": share} for name in ("constant", "step", "cosine", "one_cycle") for share in (0.0, 0.3)
]
SCHEDULES.append({"scheduler": "cosine", "warmup": 0.7})  # interrupted within the warm-up


def kept(result: EpochResult, folder: Path) -> dict[str, Any]:
    """The state after an epoch, by way of a file."""
    path = folder / f"{result.epoch}.pt"
    checkpoint.save(path, result.training.state_dict())
    return checkpoint.load(path)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda schedule: f"{schedule['scheduler']}-{schedule['warmup']}")
def test_it_goes_on_as_if_nothing_had_happened(schedule: dict[str, Any], tiny: TrainingData, tmp_path: Path) -> None:
    trained, data = config(**RANDOM, **schedule, batch_size=20), beginning(tiny, 80)
    whole = []
    for result in fit(trained, data, CPU):
        whole.append(figures(result))
        if result.epoch == 2:
            state = kept(result, tmp_path)
    torch.manual_seed(321)
    assert run(trained, data, state) == whole[2:]


@pytest.mark.parametrize("optimizer", [{"optimizer": "adamw", "lr": 0.001}, {"lr": 0.01}], ids=["adamw", "sgd"])
def test_it_goes_on_after_any_epoch_of_a_freezing_resnet(
    optimizer: dict[str, Any], tiny: TrainingData, tmp_path: Path
) -> None:
    trained = config(
        model="resnet18", image_size=8, freeze_epochs=2, dropout=0.2, batch_size=16, epochs=3, **optimizer
    )  # fmt: skip
    data = beginning(tiny, 32)
    whole, states = [], []
    for result in fit(trained, data, CPU):
        whole.append(figures(result))
        states.append(kept(result, tmp_path))
    for after in (1, 2):
        assert run(trained, data, states[after - 1]) == whole[after:]


def test_the_models_are_the_same_bit_by_bit(tiny: TrainingData, tmp_path: Path) -> None:
    trained = config(**RANDOM)
    first, *_, whole = ((result, kept(result, tmp_path)) for result in fit(trained, tiny, CPU))
    *_, resumed = fit(trained, tiny, CPU, first[1])
    one, other = whole[1]["model"], resumed.training.model.state_dict()
    assert all(torch.equal(one[key], other[key]) for key in one)


def assert_same(one: Any, other: Any) -> None:
    """Equal to the last digit, tensors in dicts and lists included."""
    assert type(one) is type(other)
    if isinstance(one, Tensor):
        assert torch.equal(one, other)
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_same(one[key], other[key])
    elif isinstance(one, list | tuple):
        for item, counterpart in zip(one, other, strict=True):
            assert_same(item, counterpart)
    else:
        assert one == other


@pytest.mark.parametrize("changes", [{}, {"scheduler": "cosine", "warmup": 0.5}, {"optimizer": "adamw", "lr": 0.002}])
def test_the_state_it_goes_on_from_is_the_callers(changes: dict[str, Any], tiny: TrainingData) -> None:
    """It stays as it was, so that a second training can begin with it."""
    state = copy.deepcopy(next(fit(config(**changes), tiny, CPU)).training.state_dict())
    before = copy.deepcopy(state)
    first, second = (run(config(**changes), tiny, state) for _ in range(2))
    assert first == second
    assert len(first) == 3
    assert_same(state, before)


def test_a_finished_training_has_nothing_to_go_on_with(tiny: TrainingData, tmp_path: Path) -> None:
    trained = config(epochs=1)
    (result,) = fit(trained, tiny, CPU)
    assert run(trained, tiny, kept(result, tmp_path)) == []


@pytest.mark.parametrize("change", [{"lr": 0.03}, {"epochs": 5}, {"seed": 1}, {"model": "resnet18"}])
def test_a_state_of_another_configuration_is_refused(
    change: dict[str, Any], tiny: TrainingData, tmp_path: Path
) -> None:
    state = kept(next(fit(config(), tiny, CPU)), tmp_path)
    with pytest.raises(ValueError, match="another configuration"):
        next(fit(config(**change), tiny, CPU, state))


# Diverging


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
    plain = loop._loss
    monkeypatch.setattr(loop, "_loss", lambda *given: plain(*given) * 0 + loss)
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
