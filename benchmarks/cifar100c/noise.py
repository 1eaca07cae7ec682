"""Four kinds of noise. Images are float32 (B, 32, 32, 3) in [0, 1], severities 1 to 5; results may leave that range."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Images = NDArray[np.floating]


def gaussian_noise(images: Images, severity: int, rng: Generator) -> Images:
    deviation = (0.04, 0.06, 0.08, 0.09, 0.10)[severity - 1]
    return images + deviation * rng.standard_normal(images.shape, dtype=np.float32)


def shot_noise(images: Images, severity: int, rng: Generator) -> Images:
    photons = (500, 250, 100, 75, 50)[severity - 1]
    return (rng.poisson(images * photons) / photons).astype(np.float32)


def impulse_noise(images: Images, severity: int, rng: Generator) -> Images:
    share = (0.01, 0.02, 0.03, 0.05, 0.07)[severity - 1]
    number = rng.random(images.shape, dtype=np.float32)
    return np.where(number < share / 2, 0, np.where(number < share, 1, images)).astype(np.float32)


def speckle_noise(images: Images, severity: int, rng: Generator) -> Images:
    deviation = (0.06, 0.1, 0.12, 0.16, 0.2)[severity - 1]
    return images * (1 + deviation * rng.standard_normal(images.shape, dtype=np.float32))
