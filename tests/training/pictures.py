"""Images to augment, and what augments them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from cifar_models.architecture import Preprocessing
from tune.training.config import TrainConfig

# With these, a normalised value is the pixel's own, 0 to 255.
RAW = Preprocessing((0.0, 0.0, 0.0), (1 / 255, 1 / 255, 1 / 255), 32, "crop_flip")
SMALL = Preprocessing((0.5, 0.4, 0.3), (0.25, 0.2, 0.3), 32, "crop_flip")
LARGE = Preprocessing((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), 224, "resized_crop_flip", 256)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def config(**changes: object) -> TrainConfig:
    return TrainConfig.from_dict({"model": "resnet18", "lr": 0.1, "batch_size": 8, "epochs": 1} | changes)


def noise(batch: int, height: int = 32, width: int = 32) -> Tensor:
    return torch.randint(256, (batch, height, width, 3), dtype=torch.uint8, generator=seeded(99))


def pictures() -> Tensor:
    """Smooth, noisy and dark images, and the corner cases: one level, two levels, a nearly uniform one."""
    coarse = (
        torch.rand(6, 3, 6, 6, generator=seeded(1)) * torch.tensor([1.0, 1.0, 0.4, 0.1, 0.6, 1.0])[:, None, None, None]
    )
    smooth = F.resize(coarse, [32, 32]).mul(255).to(torch.uint8).permute(0, 2, 3, 1)
    flat = torch.full((1, 32, 32, 3), 77, dtype=torch.uint8)
    halves = torch.zeros(1, 32, 32, 3, dtype=torch.uint8)
    halves[:, :, 16:] = 255
    spot = torch.full((1, 32, 32, 3), 200, dtype=torch.uint8)
    spot[:, 3, 5] = torch.tensor([10, 20, 30], dtype=torch.uint8)
    return torch.cat([smooth, noise(4), flat, halves, spot])


def each(images: Tensor, transform: Callable[[Tensor], Tensor]) -> Tensor:
    """torchvision's transform on one image (3, H, W) at a time."""
    return torch.stack([transform(image) for image in images])


def numbered(batch: int, side: int = 8) -> tuple[Tensor, Tensor]:
    """Image i is full of the number i, channels last; its label is i."""
    labels = torch.arange(batch)
    images = labels.float()[:, None, None, None].expand(batch, 3, side, side)
    return images.contiguous(memory_format=torch.channels_last), labels
