"""ResNet-18 for 32 px: torchvision's, with a 3x3 stem of stride 1 and no max pooling (He et al. 2015, section 4.2)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cifar_models.architecture import Architecture, Preprocessing

if TYPE_CHECKING:
    from torchvision.models import ResNet


def build(weights: Path | None = None) -> ResNet:
    """(batch, 3, 32, 32) -> logits (batch, 100)."""
    from torch import nn
    from torchvision.models import resnet18

    assert weights is None
    model = resnet18(weights=None, num_classes=100)
    model.conv1 = nn.Conv2d(3, 64, kernel_size=3, stride=1, padding=1, bias=False)
    model.maxpool = nn.Identity()
    return model


ARCHITECTURE = Architecture(
    build=build,
    preprocessing=Preprocessing(
        mean=(0.5071, 0.4865, 0.4409), std=(0.2673, 0.2564, 0.2762), image_size=32, standard="crop_flip"
    ),
    head="fc",
    early=("conv1", "bn1", "layer1", "layer2"),
    smallest_image_size=8,  # halved three times
)
