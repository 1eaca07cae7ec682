"""What a final training is asked for, and how a configuration is carried over from a short horizon to a long one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from tune.settings import Source
from tune.training.config import MOST_SEED, TrainConfig

TrainOn = Literal["all", "train"]

LEAST_GAMMA = 1e-6
"""The smallest that TrainConfig takes."""


@dataclass(frozen=True)
class Request:
    """What to make."""

    config: TrainConfig
    """Of the first training, whose seed is the search's own."""

    trial_id: str
    train_on: TrainOn
    """`all`: the validation images too, so that nothing is validated; `train`: the whole training side."""

    data: Source
    data_dir: Path
    val_fraction: float
    split_seed: int
    weights: Path | None
    seeds: int = 1
    """So many trainings, whose mean answers."""

    tta: bool = False
    """Whether the test images are judged by the mean over shifted and mirrored views."""

    def configs(self) -> list[TrainConfig]:
        """One a training: the seeds that follow the configuration's own."""
        first = self.config.seed
        return [replace(self.config, seed=(first + number) % (MOST_SEED + 1)) for number in range(self.seeds)]

    def to_dict(self) -> dict[str, Any]:
        """What a checkpoint remembers of it."""
        return {
            "trial_id": self.trial_id,
            "train_on": self.train_on,
            "config": self.config.to_dict(),
            "seeds": self.seeds,
            "tta": self.tta,
        }

    def resumed(self, kept: dict[str, Any]) -> Request:
        """The same data, with what a checkpoint remembers."""
        values = {**kept, "config": TrainConfig.from_dict(kept["config"])}
        return replace(self, **values)


def at_horizon(config: TrainConfig, epochs: int) -> TrainConfig:
    """The configuration for another number of epochs, by rules; what they do not name stays as it was found.

    - `cosine` and `one_cycle` span the horizon, and `warmup` is a share of all steps: both are stretched.
    - `step`: gamma becomes gamma^(old/new), so that the rate ends as far down as where it was found.
    - `freeze_epochs` keeps its share of the horizon, to the nearest epoch, and at least one.
    """
    ratio = epochs / config.epochs
    gamma = max(LEAST_GAMMA, config.gamma ** (1 / ratio)) if config.scheduler == "step" else config.gamma
    frozen = max(1, round(config.freeze_epochs * ratio)) if config.freeze_epochs else 0
    return replace(config, epochs=epochs, gamma=gamma, freeze_epochs=frozen)
