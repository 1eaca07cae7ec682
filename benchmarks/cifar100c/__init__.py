"""The corruptions of CIFAR-100-C (Hendrycks & Dietterich 2019, arXiv:1903.12261), for images of 32 px.

The 19 families and the constants of their five severities are from the authors' script for CIFAR-10
(github.com/hendrycks/robustness, make_cifar_c.py). The code is our own and works on batches, with NumPy, SciPy and
torch instead of OpenCV, ImageMagick and scikit-image. Differences: frost is a synthetic texture instead of the authors'
photographs, spatter finds edges with a simplified Canny detector, and motion blur uses ImageMagick's kernel without its
rounding.

It measures finished models, and serves as ground truth in `benchmarks.robust`. No decision is ever based on it, and it
shares no code with `tune.training.corruptions`, by whose images configurations are selected.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from benchmarks.cifar100c import blur, digital, noise, weather

Pixels = NDArray[np.uint8]
Operator = Callable[[NDArray[np.floating], int, np.random.Generator], NDArray[np.floating]]

FAMILIES: dict[str, Operator] = {
    "gaussian_noise": noise.gaussian_noise,
    "shot_noise": noise.shot_noise,
    "impulse_noise": noise.impulse_noise,
    "defocus_blur": blur.defocus_blur,
    "glass_blur": blur.glass_blur,
    "motion_blur": blur.motion_blur,
    "zoom_blur": blur.zoom_blur,
    "snow": weather.snow,
    "frost": weather.frost,
    "fog": weather.fog,
    "brightness": digital.brightness,
    "contrast": digital.contrast,
    "elastic_transform": digital.elastic_transform,
    "pixelate": digital.pixelate,
    "jpeg_compression": digital.jpeg_compression,
    "speckle_noise": noise.speckle_noise,
    "gaussian_blur": blur.gaussian_blur,
    "spatter": weather.spatter,
    "saturate": digital.saturate,
}

SEVERITIES = 5
SEED = 2019
BATCH = 500


def corrupted(name: str, severity: int, pixels: Pixels) -> Pixels:
    """uint8 (N, 32, 32, 3) -> same, corrupted by one family at a severity from 1 to 5. Deterministic."""
    rng = np.random.default_rng([SEED, list(FAMILIES).index(name), severity])
    done = [_batch(name, severity, pixels[at : at + BATCH], rng) for at in range(0, len(pixels), BATCH)]
    return np.concatenate(done)


def _batch(name: str, severity: int, pixels: Pixels, rng: np.random.Generator) -> Pixels:
    images = pixels.astype(np.float32) / 255
    changed = FAMILIES[name](images, severity, rng)
    # Truncated as in the original, not rounded, but with a margin so that float32 error does not lower an integer.
    return (np.clip(changed, 0, 1) * 255 + 1e-3).astype(np.uint8)
