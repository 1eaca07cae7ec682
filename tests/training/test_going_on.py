"""`fit` repeats itself to the last digit, and goes on where it stopped as if nothing had happened."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.training.trainings import AVERAGED, CPU, RANDOM, beginning, config, figures, kept, run
from tune.training.data import TrainingData
from tune.training.loop import fit

pytestmark = pytest.mark.usefixtures("one_thread")


# The same again


SAME = [
    RANDOM,
    {"model": "resnet18", "image_size": 8, "augmentation": "standard", "dropout": 0.3, "batch_size": 16, "epochs": 2},
    AVERAGED,
]


@pytest.mark.parametrize("changes", SAME, ids=["simple_cnn", "resnet18", "averaged"])
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


@pytest.mark.parametrize("changes", [RANDOM, AVERAGED], ids=["random", "averaged"])
def test_the_models_are_the_same_bit_by_bit(changes: dict[str, Any], tiny: TrainingData, tmp_path: Path) -> None:
    trained, data = config(**changes), beginning(tiny, 80)
    first, *_, whole = ((result, kept(result, tmp_path)) for result in fit(trained, data, CPU))
    *_, resumed = fit(trained, data, CPU, first[1])
    assert_same(whole[1] | {"wall_s": 0}, resumed.training.state_dict() | {"wall_s": 0})


GROWING = {"initial_scale": 0.5, "backbone_lr": 0.1, "ema": 0.9, "scheduler": "one_cycle"}


@pytest.mark.slow
def test_a_resnet_that_grows_its_images_goes_on_after_any_epoch(tiny: TrainingData, tmp_path: Path) -> None:
    """Averaged, its classifier at a rate of its own."""
    trained, data = config(model="resnet18", image_size=24, batch_size=16, epochs=3, **GROWING), beginning(tiny, 32)
    whole, states = [], []
    for result in fit(trained, data, CPU):
        whole.append(figures(result))
        states.append(kept(result, tmp_path))
    for after in (1, 2):
        assert run(trained, data, states[after - 1]) == whole[after:]


def test_a_state_of_a_version_with_fewer_fields_is_taken(tiny: TrainingData, tmp_path: Path) -> None:
    states = [kept(result, tmp_path) for result in fit(config(), tiny, CPU)]
    for name in ("distortion", "jsd", "ema", "backbone_lr", "initial_scale"):
        del states[0]["config"][name]
    del states[0]["average"]
    *_, last = fit(config(), tiny, CPU, states[0])
    assert_same(last.training.state_dict()["model"], states[-1]["model"])


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
