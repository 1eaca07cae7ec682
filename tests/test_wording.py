"""How configurations and figures are said."""

from __future__ import annotations

from typing import Any

import pytest

from tune.training.config import TrainConfig
from tune.wording import counted, counts, settings


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
    """A field that is added to TrainConfig needs no change here."""
    changed: dict[str, Any] = {
        "optimizer": "adamw", "momentum": 0.5, "nesterov": True, "weight_decay": 0.1, "warmup": 0.1,
        "random_erasing": 0.1, "label_smoothing": 0.1, "mixup": 0.1, "cutmix": 0.1, "dropout": 0.1,
        "freeze_epochs": 1, "image_size": 64,
    }  # fmt: skip
    said = settings(config(**changed))
    assert all(name in said for name in changed)


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
