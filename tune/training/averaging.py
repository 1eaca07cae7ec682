"""The exponential moving average of a network's weights."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn


class WeightAverage:
    """A copy of a network whose weights follow the network's: `average += (1 - decay) * (weight - average)` per step.

    Polyak averaging (Polyak & Juditsky 1992) with an exponential window. At step t the decay is at most
    (1 + t) / (10 + t), as in TensorFlow's ExponentialMovingAverage, so that even a short training forgets its random
    initial weights.

    The running statistics of batch norm are averaged too, since the latest ones belong to the latest weights. Integer
    buffers, which count batches, are copied.
    """

    def __init__(self, learning: nn.Module, decay: float) -> None:
        self.model = copy.deepcopy(learning).requires_grad_(False).eval()
        self._decay = decay
        self._steps = 0
        pairs = list(zip(_tensors(self.model), _tensors(learning), strict=True))
        self._floats = [pair for pair in pairs if pair[0].is_floating_point()]
        self._others = [pair for pair in pairs if not pair[0].is_floating_point()]

    @torch.no_grad()
    def update(self) -> None:
        """To be called after each optimizer step. Does not wait for the device."""
        decay = min(self._decay, (1 + self._steps) / (10 + self._steps))
        self._steps += 1
        torch._foreach_lerp_([own for own, _ in self._floats], [new for _, new in self._floats], 1 - decay)
        for own, new in self._others:
            own.copy_(new)

    def state_dict(self) -> dict[str, Any]:
        """Everything that another process needs to resume."""
        return {"model": self.model.state_dict(), "steps": self._steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resumes from what `state_dict` returned."""
        self.model.load_state_dict(state["model"])
        self._steps = state["steps"]


def _tensors(model: nn.Module) -> list[Tensor]:
    return [*model.parameters(), *model.buffers()]
