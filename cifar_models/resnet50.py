"""ResNet-50: torchvision's at 224 px, from ImageNet weights, with a new classifier for 100 classes."""

from __future__ import annotations

import http.client
import os
from pathlib import Path
from typing import TYPE_CHECKING

from cifar_models.architecture import Architecture, Preprocessing, Pretrained

if TYPE_CHECKING:
    from torchvision.models import ResNet

URL = "https://download.pytorch.org/models/resnet50-11ad3fa6.pth"
"""torchvision's `ResNet50_Weights.IMAGENET1K_V2`. A copy, since importing it takes seconds; a test compares the two."""


def build(weights: Path | None = None) -> ResNet:
    """(batch, 3, side, side) -> logits (batch, 100). ValueError if the file's weights do not fit."""
    from torch import nn
    from torchvision.models import resnet50

    model = resnet50(weights=None)
    if weights is not None:
        _load_backbone(model, weights)
    model.fc = nn.Linear(model.fc.in_features, 100)
    return model


def _load_backbone(model: ResNet, path: Path) -> None:
    """Loads a state dict with torchvision's keys. The classifier may be missing, as it is replaced afterwards."""
    from torch import Tensor

    from cifar_models.tensor_files import read_tensors

    given = read_tensors(path)
    own = model.state_dict()
    if not isinstance(given, dict) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in given.items()
    ):
        raise ValueError(f"{path} does not hold a state_dict (a dict of tensors with torchvision's keys).")
    given = {key: value for key, value in given.items() if not key.startswith("fc.")}
    wanted = {key for key in own if not key.startswith("fc.") and not key.endswith("num_batches_tracked")}
    wrong = [f"missing {key}" for key in sorted(wanted - given.keys())]
    wrong += [f"unknown {key}" for key in sorted(given.keys() - own.keys())]
    wrong += [
        f"{key} is {tuple(given[key].shape)}, not {tuple(own[key].shape)}"
        for key in sorted(given.keys() & own.keys())
        if given[key].shape != own[key].shape
    ]
    if wrong:
        shown = "; ".join(wrong[:8]) + (f"; and {len(wrong) - 8} more" if len(wrong) > 8 else "")
        raise ValueError(f"{path} does not fit torchvision's resnet50: {shown}.")
    model.load_state_dict(given, strict=False)


def pretrained_path() -> Path:
    """Where torchvision caches its ImageNet weights: `torch.hub.get_dir()`, computed without torch."""
    cache = os.path.join(os.getenv("XDG_CACHE_HOME", "~/.cache"), "torch")
    return Path(os.getenv("TORCH_HOME", cache)).expanduser() / "hub" / "checkpoints" / URL.rsplit("/", 1)[-1]


def fetch_pretrained() -> Path:
    """Downloads the weights unless they are cached, and returns their path. ValueError if that fails."""
    path = pretrained_path()
    if not path.exists():
        import torch

        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # The file name ends in the first 8 digits of its SHA-256, which torch compares with the download.
            torch.hub.download_url_to_file(URL, str(path), hash_prefix=path.stem.rsplit("-", 1)[-1])
        except (OSError, RuntimeError, http.client.HTTPException) as error:
            raise ValueError(
                f"The ImageNet weights of ResNet-50 could not be downloaded ({error}). "
                f"Put {path.name} from torchvision into {path.parent}, or give a state_dict with --weights PATH."
            ) from error
    return path


ARCHITECTURE = Architecture(
    build=build,
    preprocessing=Preprocessing(
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
        image_size=224,
        standard="resized_crop_flip",
        resize=256,
    ),
    head="fc",
    early=("conv1", "bn1", "layer1", "layer2"),
    smallest_image_size=32,  # halved five times; below that, the last stage would stride over a single pixel
    pretrained=Pretrained(pretrained_path, fetch_pretrained),
)
