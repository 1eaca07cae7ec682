"""What `tune.finalize` is asked to train, and how a configuration is stretched to another number of epochs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from tune.settings import Source
from tune.training.config import MAX_SEED, TrainConfig

TrainOn = Literal["all", "train"]

MIN_GAMMA = 1e-6
"""The smallest gamma that TrainConfig allows."""


@dataclass(frozen=True)
class Request:
    """The final model to train, and the data for it."""

    config: TrainConfig
    """The configuration of the first seed, which is the one of the search."""

    trial_id: str
    train_on: TrainOn
    """`all` includes the validation images, so that nothing is validated; `train` leaves them out."""

    data: Source
    data_dir: Path
    val_fraction: float
    split_seed: int
    weights: Path | None
    seeds: int = 1
    """Number of trainings, on different seeds, whose probabilities are averaged."""

    tta: bool = False
    """Whether the test averages over shifted and mirrored views of each image."""

    def configs(self) -> list[TrainConfig]:
        """The configuration of each training: first its own seed, then the integers after it."""
        first = self.config.seed
        return [replace(self.config, seed=(first + number) % (MAX_SEED + 1)) for number in range(self.seeds)]

    def to_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps: everything except the data."""
        return {
            "trial_id": self.trial_id,
            "train_on": self.train_on,
            "config": self.config.to_dict(),
            "seeds": self.seeds,
            "tta": self.tta,
        }

    def resumed(self, kept: dict[str, Any]) -> Request:
        """This request, with everything but its data replaced by what `to_dict` returned for a checkpoint."""
        values = {**kept, "config": TrainConfig.from_dict(kept["config"])}
        return replace(self, **values)


def at_horizon(config: TrainConfig, epochs: int) -> TrainConfig:
    """The same configuration for another number of epochs:

    - `cosine` and `one_cycle` span all epochs, and `warmup` is a share of all steps: they need no change.
    - `step`: gamma becomes gamma^(old/new), so that the learning rate falls by the same factor over the whole training.
    - `freeze_epochs` keeps its fraction of the epochs, rounded, but at least one.
    - Everything else stays as it is.
    """
    ratio = epochs / config.epochs
    gamma = max(MIN_GAMMA, config.gamma ** (1 / ratio)) if config.scheduler == "step" else config.gamma
    frozen = max(1, round(config.freeze_epochs * ratio)) if config.freeze_epochs else 0
    return replace(config, epochs=epochs, gamma=gamma, freeze_epochs=frozen)
