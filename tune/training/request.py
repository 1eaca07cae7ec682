"""What `tune.finalize` is asked to train."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from tune.settings import Source
from tune.training.config import MAX_SEED, TrainConfig

TrainOn = Literal["all", "train"]


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
        """What a checkpoint keeps: everything except the data and the initial weights."""
        return {
            "trial_id": self.trial_id,
            "train_on": self.train_on,
            "config": self.config.to_dict(),
            "seeds": self.seeds,
            "tta": self.tta,
        }

    def resumed(self, kept: dict[str, Any]) -> Request:
        """This request, with all but data and initial weights replaced by what `to_dict` returned for a checkpoint."""
        values = {**kept, "config": TrainConfig.from_dict(kept["config"])}
        return replace(self, **values)
