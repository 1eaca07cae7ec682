"""Where a configuration lies in a space of parameters, conditional ones included."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ray import tune

from tune import domains

NESTED = {
    "lr": tune.loguniform(1e-3, 0.3),
    "batch_size": 64,
    "schedule": tune.choice(
        [
            {"scheduler": "step", "gamma": tune.uniform(0.5, 0.9)},
            {
                "scheduler": "cosine",
                "start": tune.choice([{"warmup": 0.0}, {"warmup": tune.uniform(0.1, 0.5)}]),
            },
        ]
    ),
    "augmentation": tune.choice(["none", "crop_flip"]),
}
"""A conditional in a conditional; both branches of `start` set the same key."""

STEP = {"lr": 0.1, "batch_size": 64, "scheduler": "step", "gamma": 0.7, "augmentation": "crop_flip"}
WARM = {"lr": 0.1, "batch_size": 64, "scheduler": "cosine", "warmup": 0.2, "augmentation": "none"}


@pytest.mark.parametrize(
    ("parameter", "inside", "outside"),
    [
        (64, [64, 64.0], [65, "64", None]),
        (True, [True], [1, False]),
        ("sgd", ["sgd"], ["adamw", None, np.array(["sgd", "sgd"])]),
        (tune.choice(["a", 1, 0.5]), ["a", 1, 0.5], ["b", 2, None, True, [1]]),
        (tune.choice([False, True]), [False, True], [0, 1, "True"]),
        (tune.uniform(0.1, 0.9), [0.1, 0.5, 0.9], [0.0999, 0.9001, float("nan"), float("inf"), "0.5", None, True]),
        (tune.uniform(0, 2), [0, 1, 2, np.float32(1.5)], [-1, 3, 10**400]),
        (tune.loguniform(1e-4, 1e-1), [1e-4, 1e-2, 1e-1], [9.9e-5, 0.11, 0, -1]),
        (tune.loguniform(1e-12, 0.5), [1e-12, 0.5], [0.9e-12, 0]),  # HyperOpt takes the logarithm of what it holds
        (tune.quniform(0.0, 0.5, 0.1), [0.0, 0.1, 0.5], [0.6, -0.1, 0.25]),
        (tune.quniform(0.1, 0.3, 0.1), [0.1 * 3], [0.4, 0.15]),  # 0.30000000000000004
        (tune.qrandint(8, 64, 8), [8, 64, np.int64(16)], [0, 72, 17]),
        (tune.qlograndint(8, 64, 8), [8, 64], [0, 72, 12]),
        (tune.randint(0, 3), [0, 2], [float("nan"), float("inf"), float("-inf")]),
        (tune.randint(2, 5), [2, 3, 4, 4.0], [1, 5, 2.5, True, "3", None]),
        (tune.lograndint(8, 256), [8, 255], [7, 256, 8.5]),
    ],
)
def test_a_parameter_holds_its_values_and_no_others(parameter: Any, inside: list[Any], outside: list[Any]) -> None:
    for value in inside:
        assert domains.contains(parameter, value), value
    for value in outside:
        assert not domains.contains(parameter, value), value


def test_extremes_are_every_category_or_both_ends() -> None:
    assert domains.extremes(tune.choice(["a", "b"])) == ["a", "b"]
    assert domains.extremes(tune.uniform(0.1, 0.9)) == [0.1, 0.9]
    assert domains.extremes(tune.loguniform(1e-4, 1e-1)) == [1e-4, 1e-1]
    # Ray's integers exclude their upper bound.
    assert domains.extremes(tune.randint(2, 5)) == [2, 4]
    # Quantised, they include it.
    assert domains.extremes(tune.qrandint(8, 64, 8)) == [8, 64]
    assert domains.extremes(tune.qlograndint(8, 64, 8)) == [8, 64]
    assert domains.extremes(64) == [64]
    # Ray excludes it again where the step is 1.
    assert domains.extremes(tune.qrandint(2, 5, 1)) == [2, 4]


@pytest.mark.parametrize(
    ("parameters", "size"),
    [
        ({"lr": 0.1}, 1),
        ({"lr": 0.1, "batch_size": tune.choice([32, 64])}, 2),
        ({"freeze_epochs": tune.randint(0, 3), "batch_size": tune.qrandint(16, 128, 16)}, 24),
        ({"dropout": tune.quniform(0, 0.5, 0.1), "c": tune.choice([{"gamma": tune.choice([0.8, 0.9])}, {}])}, 18),
        (NESTED, float("inf")),
    ],
)
def test_a_space_holds_so_many_configurations(parameters: dict[str, Any], size: float) -> None:
    assert domains.size(parameters) == size


def test_leaves_are_the_parameters_of_all_branches() -> None:
    names = [name for name, _ in domains.leaves(NESTED)]
    expected = ["lr", "batch_size", "scheduler", "gamma", "scheduler", "warmup", "warmup", "augmentation"]
    assert names == expected


def test_only_a_choice_of_dicts_is_conditional() -> None:
    assert domains.is_conditional(NESTED["schedule"])
    for plain in (64, {"gamma": 0.9}, tune.choice([1, 2]), tune.uniform(0, 1), [{"gamma": 0.9}]):
        assert not domains.is_conditional(plain)


def test_a_point_is_located_by_branch_index_and_value() -> None:
    # Constants are no choice; a plain choice is the index of its category.
    assert domains.locate(NESTED, STEP) == {"lr": 0.1, "schedule": 0, "schedule/0/gamma": 0.7, "augmentation": 1}


def test_a_point_is_located_in_nested_branches() -> None:
    assert domains.locate(NESTED, WARM) == {
        "lr": 0.1,
        "schedule": 1,
        "schedule/1/start": 1,
        "schedule/1/start/1/warmup": 0.2,
        "augmentation": 0,
    }
    cold = domains.locate(NESTED, WARM | {"warmup": 0.0})
    assert cold["schedule/1/start"] == 0
    assert "schedule/1/start/1/warmup" not in cold


def test_keys_that_the_space_does_not_name_do_not_matter() -> None:
    assert domains.locate(NESTED, STEP | {"dropout": 0.3}) == domains.locate(NESTED, STEP)


def test_where_two_branches_share_a_key_the_value_decides() -> None:
    shared = {"c": tune.choice([{"lr": tune.uniform(0.0, 0.1)}, {"lr": tune.uniform(0.2, 0.3)}])}
    assert domains.locate(shared, {"lr": 0.05}) == {"c": 0, "c/0/lr": 0.05}
    assert domains.locate(shared, {"lr": 0.25}) == {"c": 1, "c/1/lr": 0.25}
    with pytest.raises(ValueError, match="no branch of c fits"):
        domains.locate(shared, {"lr": 0.15})


def test_where_two_branches_hold_a_point_the_first_is_taken() -> None:
    overlapping = {"c": tune.choice([{"lr": tune.uniform(0.0, 0.2)}, {"lr": tune.uniform(0.1, 0.3)}])}
    assert domains.locate(overlapping, {"lr": 0.15}) == {"c": 0, "c/0/lr": 0.15}


def test_a_branch_that_sets_less_does_not_hide_one_that_sets_more() -> None:
    frozen = {"start": tune.choice([{}, {"freeze_epochs": tune.randint(1, 5)}, {"freeze_epochs": 7}])}
    assert domains.locate(frozen, {"freeze_epochs": 0}) == {"start": 0}
    assert domains.locate(frozen, {"freeze_epochs": 3}) == {"start": 1, "start/1/freeze_epochs": 3}
    assert domains.locate(frozen, {"freeze_epochs": 7}) == {"start": 2}


def test_a_place_gives_its_point_back() -> None:
    for point in (STEP, WARM, WARM | {"warmup": 0.0}):
        place = domains.locate(NESTED, point | {"dropout": 0.3})
        assert domains.at(NESTED, place) == point


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"lr": 0.5}, ["lr", "0.5", "0.001 to 0.3"]),
        ({"batch_size": 32}, ["batch_size", "32", "64"]),
        ({"augmentation": "randaugment"}, ["augmentation", "randaugment", "none, crop_flip"]),
        ({"gamma": 0.95}, ["schedule", "gamma", "0.95", "0.5 to 0.9"]),
        ({"scheduler": "one_cycle"}, ["schedule", "scheduler", "one_cycle"]),
    ],
)
def test_a_point_outside_is_refused_by_name(change: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(ValueError, match=words[0]) as caught:
        domains.locate(NESTED, STEP | change)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("name", ["lr", "batch_size", "scheduler", "gamma", "augmentation"])
def test_a_point_with_a_gap_is_refused_by_name(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} is missing"):
        domains.locate(NESTED, {key: value for key, value in STEP.items() if key != name})


def test_a_place_is_flat_values_whatever_its_depth() -> None:
    start = tune.choice([{}, {"warmup": tune.uniform(0.1, 0.5)}])
    parameters = {
        "lr": tune.loguniform(0.01, 1.0),
        "schedule": tune.choice([{"scheduler": "step"}, {"scheduler": "cosine", "start": start}]),
        "augmentation": tune.choice(["none", "crop_flip"]),
    }
    place = {"lr": 0.1, "schedule": 1, "schedule/1/start": 1, "schedule/1/start/1/warmup": 0.2, "augmentation": 0}
    flat = {"lr": 0.1, "scheduler": "cosine", "warmup": 0.2, "augmentation": "none"}
    assert domains.at(parameters, place) == flat
    assert domains.locate(parameters, flat) == place
    assert domains.at({"c": tune.choice([{}, {"lr": 0.2}]), "lr": 0.1}, {"c": 0}) == {"lr": 0.1}


@pytest.mark.parametrize(
    ("parameter", "text"),
    [
        (64, "64"),
        ("sgd", "sgd"),
        (tune.choice(["a", 2]), "one of a, 2"),
        (tune.uniform(0.1, 0.9), "uniform 0.1 to 0.9"),
        (tune.loguniform(1e-3, 0.3), "log-uniform 0.001 to 0.3"),
        (tune.quniform(0.0, 0.5, 0.1), "uniform 0 to 0.5 in steps of 0.1"),
        (tune.qloguniform(1e-4, 1e-1, 1e-4), "log-uniform 0.0001 to 0.1 in steps of 0.0001"),
        (tune.randint(2, 5), "integer 2 to 4"),
        (tune.lograndint(8, 256), "log-integer 8 to 255"),
        (tune.qrandint(8, 64, 8), "integer 8 to 64 in steps of 8"),
        (
            tune.choice([{"scheduler": "step", "gamma": tune.uniform(0.5, 0.9)}, {"scheduler": "cosine"}]),
            "(scheduler: step, gamma: uniform 0.5 to 0.9) | (scheduler: cosine)",
        ),
    ],
)
def test_a_parameter_is_described_for_people(parameter: Any, text: str) -> None:
    assert domains.describe(parameter) == text


def test_a_nested_conditional_is_described_too() -> None:
    text = domains.describe(NESTED["schedule"])
    assert text == (
        "(scheduler: step, gamma: uniform 0.5 to 0.9) | "
        "(scheduler: cosine, start: (warmup: 0.0) | (warmup: uniform 0.1 to 0.5))"
    )
