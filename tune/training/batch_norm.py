"""Batch norm with the statistics of the images to classify instead of those of training (Schneider et al. 2020)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import update_bn

from tune.training.predictor import Predictor

MAX_IMAGES = 10_000
"""Images of a file to compute statistics from, at most; more would hardly change them."""


def has_batch_norm(network: nn.Module) -> bool:
    """Whether any layer of the network is a batch norm."""
    return any(isinstance(module, _BatchNorm) for module in network.modules())


@contextmanager
def adapted(predictor: Predictor, pixels: NDArray[np.uint8], batch_size: int, device: torch.device) -> Iterator[None]:
    """Inside this context, batch norm uses the means and variances of `pixels`, uint8 (n, 32, 32, 3).

    On leaving it, the statistics from training are restored. No labels are used.
    """
    before = {name: buffer.clone() for name, buffer in predictor.named_buffers()}
    # The same networks, without test-time augmentation.
    plain = Predictor(list(predictor.networks), predictor.preprocessing).eval()
    try:
        with torch.no_grad():
            update_bn(spread(pixels, batch_size, device), plain)
        yield
    finally:
        plain.eval()
        for name, buffer in predictor.named_buffers():
            buffer.copy_(before[name])


def spread(pixels: NDArray[np.uint8], batch_size: int, device: torch.device) -> Iterator[torch.Tensor]:
    """Batches that each sample the whole file evenly, so that their variance covers all severities."""
    pixels = pixels[:: -(-len(pixels) // MAX_IMAGES)]
    count = max(1, len(pixels) // max(2, batch_size))
    for number in range(count):
        yield torch.from_numpy(np.array(pixels[number::count])).to(device)
