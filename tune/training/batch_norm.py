"""Batch normalisation's statistics taken from the very images to be judged (Schneider et al. 2020)."""

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

MOST_IMAGES = 10_000
"""So many of a file tell its statistics: more would not move them."""


def has_batch_norm(network: nn.Module) -> bool:
    return any(isinstance(module, _BatchNorm) for module in network.modules())


@contextmanager
def adapted(predictor: Predictor, pixels: NDArray[np.uint8], batch_size: int, device: torch.device) -> Iterator[None]:
    """While it lasts, the networks' means and variances are those of `pixels`, uint8 (n, 32, 32, 3), and not those of
    training. No label is looked at.
    """
    before = {name: buffer.clone() for name, buffer in predictor.named_buffers()}
    plain = Predictor(list(predictor.networks), predictor.preprocessing).eval()  # the same networks; no views
    try:
        with torch.no_grad():
            update_bn(spread(pixels, batch_size, device), plain)
        yield
    finally:
        plain.eval()
        for name, buffer in predictor.named_buffers():
            buffer.copy_(before[name])


def spread(pixels: NDArray[np.uint8], batch_size: int, device: torch.device) -> Iterator[torch.Tensor]:
    """Batches, each spread evenly over the file: what differs from severity to severity counts as variance too."""
    pixels = pixels[:: -(-len(pixels) // MOST_IMAGES)]
    count = max(1, len(pixels) // max(2, batch_size))
    for number in range(count):
        yield torch.from_numpy(np.array(pixels[number::count])).to(device)
