"""How configurations and figures are said."""

from __future__ import annotations

from typing import Any

import pytest

from tests.training.test_config import EVERYTHING
from tune.training.config import SET_BY_SEARCH, TrainConfig
from tune.wording import counted, counts, duration, settings


def config(**values: Any) -> TrainConfig:
    return TrainConfig(**{"model": "simple_cnn", "lr": 0.0123456, "batch_size": 128, "epochs": 50} | values)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({}, "lr 0.0123, batch 128, constant, standard"),
        ({"seed": 7, "gamma": 0.5, "momentum": 0.9, "dropout": 0.0}, "lr 0.0123, batch 128, constant, standard"),
        (
            {"scheduler": "step", "gamma": 0.91234, "augmentation": "none"},
            "lr 0.0123, batch 128, step, none, gamma 0.912",
        ),
        (
            {"scheduler": "one_cycle", "warmup": 0.3, "nesterov": True, "optimizer": "adamw", "image_size": 64},
            "lr 0.0123, batch 128, one_cycle, standard, optimizer adamw, nesterov, warmup 0.3, image_size 64",
        ),
        ({"cutmix": 1.0, "mixup": 0.2}, "lr 0.0123, batch 128, constant, standard, mixup 0.2, cutmix 1"),
    ],
)  # fmt: skip
def test_what_matters_of_a_configuration(values: dict[str, Any], text: str) -> None:
    assert settings(config(**values)) == text


def test_every_other_setting_shows_when_it_is_changed() -> None:
    shown = [part.split()[0] for part in settings(EVERYTHING).split(", ")]
    first = ("lr", "batch_size", "scheduler", "augmentation", "gamma")
    assert shown[4:] == [name for name in TrainConfig.fields() if name not in (*first, *SET_BY_SEARCH)]


def test_one_is_no_plural() -> None:
    assert [counted(number, "trial") for number in (0, 1, 2, 1200)] == [
        "0 trials",
        "1 trial",
        "2 trials",
        "1,200 trials",
    ]


def test_each_status_is_counted_apart() -> None:
    assert counts([{"status": status} for status in ("stopped", "finished", "stopped")]) == "1 finished, 2 stopped"
    assert counts([]) == "none"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0 s"),
        (89, "89 s"),
        (90, "2 min"),
        (1800, "30 min"),
        (5400, "1.5 h"),
        (4e6, "1,111.1 h"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
