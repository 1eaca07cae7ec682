"""What changes while a network learns, and how it is kept."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from cifar_models import Preprocessing
from tune.training.averaging import WeightAverage
from tune.training.config import TrainConfig


@dataclass
class Training:
    """What changes while a model learns. Everything random is drawn anew from (seed, epoch), so it holds no RNG."""

    config: TrainConfig
    preprocessing: Preprocessing
    model: nn.Module
    """The network that learns; `eval_model` is what it comes to."""

    optimizer: Optimizer
    schedule: LRScheduler
    epoch: int = 0
    """Epochs completed."""

    wall_s: float = 0.0
    """Seconds they took, validation included."""

    micro_batches: int = 1
    """Into so many parts each batch is split; it grows when memory runs out."""

    average: WeightAverage | None = field(init=False)
    """With `ema`."""

    def __post_init__(self) -> None:
        self.average = WeightAverage(self.model, self.config.ema) if self.config.ema else None

    @property
    def eval_model(self) -> nn.Module:
        """The network that is validated, tested and saved: of averaged weights, with `ema`."""
        return self.model if self.average is None else self.average.model

    def state_dict(self) -> dict[str, Any]:
        """What a later process needs to go on as if nothing had happened."""
        return {
            "config": self.config.to_dict(),
            "epoch": self.epoch,
            "wall_s": self.wall_s,
            "micro_batches": self.micro_batches,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The reverse. ValueError if the state belongs to another configuration."""
        if TrainConfig.from_dict(state["config"]) != self.config:  # an older version's lacks the newest fields
            raise ValueError("The checkpoint was written by another configuration; start without it.")
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(copy.deepcopy(state["optimizer"]))  # torch would train on the caller's tensors
        self.schedule.load_state_dict(state["schedule"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self.epoch, self.wall_s, self.micro_batches = state["epoch"], state["wall_s"], state["micro_batches"]
