"""TrainConfig: what goes in comes out, and what makes no sense is refused in a sentence that names the field."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import sys
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from tune.training.config import TrainConfig

NEEDED: dict[str, Any] = {"model": "resnet18", "lr": 0.1, "batch_size": 128, "epochs": 10}

# The lowest and the highest value of each field.
FLOATS = {
    "lr": (1e-8, 100.0),
    "momentum": (0.0, 0.9999),
    "weight_decay": (0.0, 10.0),
    "gamma": (1e-6, 1.0),
    "warmup": (0.0, 0.9),
    "distortion": (0.0, 1.0),
    "jsd": (0.0, 1000.0),
    "random_erasing": (0.0, 1.0),
    "label_smoothing": (0.0, 0.99),
    "mixup": (0.0, 100.0),
    "cutmix": (0.0, 100.0),
    "dropout": (0.0, 0.99),
    "ema": (0.0, 0.99999),
    "backbone_lr": (0.001, 1.0),
    "initial_scale": (0.25, 1.0),
}
INTEGERS = {
    "batch_size": (1, 65_536),
    "epochs": (1, 10_000),
    "freeze_epochs": (0, 10_000),
    "image_size": (0, 1024),
    "seed": (0, 2**31 - 1),
}
CHOICES = {
    "model": ("simple_cnn", "resnet18", "resnet50"),
    "optimizer": ("sgd", "adamw"),
    "scheduler": ("constant", "step", "cosine", "one_cycle"),
    "augmentation": ("none", "standard", "crop_flip", "randaugment", "trivialaugment", "augmix"),
}
FLAGS = ("nesterov",)


def changed(name: str, value: Any) -> TrainConfig:
    return TrainConfig.from_dict(NEEDED | {name: value})


def refusal(name: str, value: Any) -> str:
    """The one sentence, which starts with the field's name and the value."""
    with pytest.raises(ValueError, match=r"\.$") as caught:
        changed(name, value)
    sentence = str(caught.value)
    assert sentence.startswith(f"{name} is ")
    assert "\n" not in sentence
    return sentence


def test_the_tables_above_cover_every_field() -> None:
    assert {*FLOATS, *INTEGERS, *CHOICES, *FLAGS} == set(TrainConfig.fields())


# Round trips


EVERYTHING = TrainConfig(
    model="resnet50", lr=0.03, batch_size=64, epochs=50, optimizer="adamw", momentum=0.5, nesterov=True,
    weight_decay=5e-4, scheduler="one_cycle", gamma=0.7, warmup=0.1, augmentation="trivialaugment",
    distortion=0.5, jsd=12.0, random_erasing=0.25, label_smoothing=0.1, mixup=0.2, cutmix=1.0, dropout=0.3, ema=0.99,
    backbone_lr=0.1, freeze_epochs=2, image_size=96, initial_scale=0.5, seed=7,
)  # fmt: skip


def test_a_round_trip_through_json_loses_nothing() -> None:
    default = TrainConfig.from_dict(NEEDED).to_dict()
    assert [name for name, value in EVERYTHING.to_dict().items() if value == default[name]] == []
    assert TrainConfig.from_dict(json.loads(json.dumps(EVERYTHING.to_dict()))) == EVERYTHING


def test_to_dict_keeps_the_order_of_the_fields() -> None:
    assert tuple(EVERYTHING.to_dict()) == TrainConfig.fields()
    assert TrainConfig.fields()[:4] == ("model", "lr", "batch_size", "epochs")


def test_equal_configurations_hash_alike_and_can_be_counted() -> None:
    again = TrainConfig.from_dict(EVERYTHING.to_dict())
    other = dataclasses.replace(EVERYTHING, seed=8)
    assert len({EVERYTHING, again, other}) == 2


def test_it_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        EVERYTHING.lr = 0.1  # type: ignore[misc]


def test_a_replaced_field_is_checked_too() -> None:
    with pytest.raises(ValueError, match=r"^epochs is 0;"):
        dataclasses.replace(EVERYTHING, epochs=0)


def test_importing_it_imports_neither_torch_nor_ray() -> None:
    code = "import sys, tune.training.config; print(sorted({'torch', 'ray', 'pyarrow'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# Keys


def test_unknown_keys_are_all_named_beside_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"no parameter learning_rate, weightdecay; it has model, lr, batch_size,"):
        TrainConfig.from_dict(NEEDED | {"weightdecay": 1e-4, "learning_rate": 0.1})


def test_missing_keys_are_all_named() -> None:
    with pytest.raises(ValueError, match=r"^TrainConfig needs lr, epochs\.$"):
        TrainConfig.from_dict({"model": "resnet18", "batch_size": 8})


# Ranges


@pytest.mark.parametrize(("name", "low", "high"), [(name, *ends) for name, ends in (FLOATS | INTEGERS).items()])
def test_both_ends_of_a_range_are_taken_and_what_lies_beyond_is_not(name: str, low: float, high: float) -> None:
    assert getattr(changed(name, low), name) == low
    assert getattr(changed(name, high), name) == high
    step = 1 if name in INTEGERS else 1e-9
    for beyond in (low - step, high + step):
        assert refusal(name, beyond).endswith(f"it must lie between {low} and {high}.")


@pytest.mark.parametrize("size", [1, 7])
def test_an_image_too_small_to_see_is_refused(size: int) -> None:
    assert "at least 8" in refusal("image_size", size)


def test_an_image_of_8_pixels_is_taken() -> None:
    assert changed("image_size", 8).image_size == 8


# Types


@pytest.mark.parametrize(
    "value",
    ["0.1", "", b"1", None, True, np.bool_(True), [0.1], {}, 1j, np.array(0.1), np.array([0.1]), Decimal("0.1")],
)
@pytest.mark.parametrize("name", [*FLOATS, *INTEGERS])
def test_a_number_is_not_taken_from_anything_else(name: str, value: Any) -> None:
    assert "number" in refusal(name, value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), np.float32("nan"), np.float64("inf")])
@pytest.mark.parametrize("name", [*FLOATS, *INTEGERS])
def test_what_is_not_finite_is_refused(name: str, value: float) -> None:
    assert "finite" in refusal(name, value)


@pytest.mark.parametrize("name", [*FLOATS, *INTEGERS])
def test_a_number_beyond_all_floats_is_refused(name: str) -> None:
    assert refusal(name, 10**400) == f"{name} is too large a number."


@pytest.mark.parametrize("name", [*FLOATS, *INTEGERS])
def test_a_subnormal_number_is_refused(name: str) -> None:
    """torch's fused SGD takes a subnormal momentum for 0 and for more than 0, and the process dies."""
    assert refusal(name, 5e-324) == f"{name} is 5e-324, too small a number; write 0."


@pytest.mark.parametrize("name", INTEGERS)
def test_a_fraction_is_no_whole_number(name: str) -> None:
    assert "whole number" in refusal(name, 32.5)


@pytest.mark.parametrize("value", [32.0, np.float32(32), np.float64(32), np.int64(32), np.int32(32), np.uint8(32)])
@pytest.mark.parametrize("name", INTEGERS)
def test_searchers_floats_and_numpy_scalars_become_plain_integers(name: str, value: Any) -> None:
    taken = getattr(changed(name, value), name)
    assert (type(taken), taken) == (int, 32)


@pytest.mark.parametrize("value", [np.float64(0.5), np.float32(0.5), np.float16(0.5)])
@pytest.mark.parametrize("name", FLOATS)
def test_numpy_scalars_become_plain_floats(name: str, value: Any) -> None:
    taken = getattr(changed(name, value), name)
    assert (type(taken), taken) == (float, 0.5)


def test_an_integer_for_a_float_becomes_one() -> None:
    assert type(changed("lr", 1).lr) is float


@pytest.mark.parametrize("value", [True, np.bool_(True), 1, 1.0])
def test_a_flag_is_taken_as_true(value: Any) -> None:
    assert changed("nesterov", value).nesterov is True


@pytest.mark.parametrize("value", [False, np.bool_(False), 0, 0.0])
def test_a_flag_is_taken_as_false(value: Any) -> None:
    assert changed("nesterov", value).nesterov is False


@pytest.mark.parametrize("value", ["True", "", None, 2, 0.5, [True]])
def test_a_flag_is_not_taken_from_anything_else(value: Any) -> None:
    assert "True or False" in refusal("nesterov", value)


@pytest.mark.parametrize(("name", "choice"), [(name, choice) for name, all_ in CHOICES.items() for choice in all_])
def test_each_choice_is_taken(name: str, choice: str) -> None:
    assert getattr(changed(name, choice), name) == choice


@pytest.mark.parametrize("name", CHOICES)
def test_numpy_strings_become_plain_ones(name: str) -> None:
    """A checkpoint that holds another kind could not be loaded with weights_only."""
    taken = getattr(changed(name, np.str_(CHOICES[name][0])), name)
    assert (type(taken), taken) == (str, CHOICES[name][0])


@pytest.mark.parametrize("value", ["ResNet-18", "", "SGD", None, 3, ["sgd"]])
@pytest.mark.parametrize("name", CHOICES)
def test_a_word_that_is_no_choice_is_refused_with_those_there_are(name: str, value: Any) -> None:
    sentence = refusal(name, value)
    if isinstance(value, str) or name != "model":
        assert re.search(r"it must be one of (.*)\.$", sentence)[1] == ", ".join(CHOICES[name])  # type: ignore[index]
    else:
        assert "must be a word" in sentence
