"""Evaluates a network on labelled images."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cifar_models import Preprocessing
from tune.training import host
from tune.training.augment import evaluation_batch
from tune.training.images import ImageSet


def mixed_precision(device: torch.device) -> AbstractContextManager[None]:
    """Autocast to bfloat16 if the hardware multiplies it; otherwise everything stays in float32."""
    on_gpu = device.type == "cuda"
    fast = torch.cuda.is_bf16_supported(including_emulation=False) if on_gpu else bool(host.bf16_instructions())
    context: AbstractContextManager[None] = torch.autocast(device.type, torch.bfloat16, enabled=fast)
    return context


def batch_size_at(image_size: int, device: torch.device) -> int:
    """The batch size for work without gradients: large enough to fill a GPU, small enough for a CPU's cache.

    On one core SimpleCNN evaluates 16,000 to 17,000 images/s in batches of 64 to 256 (docs/log.md).
    """
    at_32_px = 1024 if device.type == "cuda" else 64
    return max(16, at_32_px * 32 * 32 // image_size**2)


@torch.inference_mode()
def logits(model: nn.Module, pixels: Tensor, preprocessing: Preprocessing) -> Tensor:
    """uint8 (B, H, W, 3) -> logits, float32 (B, 100), with the evaluation transform. The model must be in eval mode."""
    images = evaluation_batch(pixels, preprocessing)  # in float32: autocast would resize in half precision
    with mixed_precision(pixels.device):
        out: Tensor = model(images)
    return out.float()


@torch.inference_mode()
def evaluate(model: nn.Module, data: ImageSet, preprocessing: Preprocessing) -> tuple[Tensor, Tensor]:
    """Cross-entropy (nats) of each image and whether it is classified correctly: float32 and bool, (n,) each."""
    model.eval()
    losses, correct = [], []
    for rows in torch.split(data.index, batch_size_at(preprocessing.image_size, data.index.device)):
        labels = data.labels[rows]
        out = logits(model, data.pixels[rows], preprocessing)
        losses.append(F.cross_entropy(out, labels, reduction="none"))
        correct.append(out.argmax(1) == labels)
    return torch.cat(losses), torch.cat(correct)
