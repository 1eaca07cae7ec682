"""The state of a training, as checkpoints keep it: model, optimizer, schedule and counters."""

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
    """A training in progress. It holds no random state, since each epoch seeds its generators from (seed, epoch)."""

    config: TrainConfig
    preprocessing: Preprocessing
    model: nn.Module
    """The network being trained. With `ema` another one is evaluated: `eval_model`."""

    optimizer: Optimizer
    schedule: LRScheduler
    epoch: int = 0
    """Epochs completed."""

    wall_s: float = 0.0
    """Seconds that these epochs took, validation included."""

    micro_batches: int = 1
    """Into how many parts each batch is split; doubles whenever memory runs out."""

    average: WeightAverage | None = field(init=False)
    """The averaged network; None if `ema` is off."""

    def __post_init__(self) -> None:
        self.average = WeightAverage(self.model, self.config.ema) if self.config.ema else None

    @property
    def eval_model(self) -> nn.Module:
        """The network to validate, test and save: the averaged one if `ema` is on."""
        return self.model if self.average is None else self.average.model

    def state_dict(self) -> dict[str, Any]:
        """Everything that another process needs to resume the training exactly."""
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
        """Resumes from what `state_dict` returned. ValueError if it belongs to another configuration."""
        if TrainConfig.from_dict(state["config"]) != self.config:  # fills in fields that an older version lacked
            raise ValueError("The checkpoint belongs to another configuration; start without it.")
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(copy.deepcopy(state["optimizer"]))  # torch would train these very tensors
        self.schedule.load_state_dict(state["schedule"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self.epoch, self.wall_s, self.micro_batches = state["epoch"], state["wall_s"], state["micro_batches"]
