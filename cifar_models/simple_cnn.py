"""SimpleCNN: two convolutions and two linear layers, 1.1 million parameters; the original write-up's first model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cifar_models.architecture import Architecture, Preprocessing

if TYPE_CHECKING:
    from torch import Tensor, nn


def build(weights: Path | None = None) -> nn.Module:
    """(batch, 3, 32, 32) -> logits (batch, 100)."""
    import torch.nn.functional as F
    from torch import nn

    class SimpleCNN(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(3, 32, kernel_size=3, padding=1)
            self.conv2 = nn.Conv2d(32, 64, kernel_size=3, padding=1)
            self.fc1 = nn.Linear(64 * 8 * 8, 256)
            self.fc2 = nn.Linear(256, 100)

        def forward(self, x: Tensor) -> Tensor:
            # ReLU after pooling, not before: the same values and gradients, bit for bit, for a quarter of the work.
            x = F.relu(F.max_pool2d(self.conv1(x), 2))
            x = F.relu(F.max_pool2d(self.conv2(x), 2))
            x = F.relu(self.fc1(x.flatten(1)))
            out: Tensor = self.fc2(x)
            return out

    assert weights is None
    return SimpleCNN()


ARCHITECTURE = Architecture(
    build=build,
    preprocessing=Preprocessing(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), image_size=32, standard="none"),
    head="fc2",
    early=("conv1",),
)
