"""Images under Hendrycks & Dietterich's corruptions (2019, arXiv:1903.12261) at 32 px, as in CIFAR-100-C.

The nineteen families and the constants of their five severities are those of the authors' published script for CIFAR-10
(github.com/hendrycks/robustness, make_cifar_c.py); the code is our own, on batches, with NumPy, SciPy and torch in the
place of OpenCV, ImageMagick and scikit-image. What differs: frost is a drawn texture instead of the authors'
photographs, the edges in spatter are a simple Canny's, and motion blur is ImageMagick's kernel without its rounding.

For measuring a finished model, or as the truth in `benchmarks.robust`: nothing is ever chosen by it. It shares no code
with `tune.training.corruptions`, whose images select.
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
    """uint8 (N, 32, 32, 3) -> the same under one family, at a severity from 1 to 5. The same at each call."""
    rng = np.random.default_rng([SEED, list(FAMILIES).index(name), severity])
    done = [_batch(name, severity, pixels[at : at + BATCH], rng) for at in range(0, len(pixels), BATCH)]
    return np.concatenate(done)


def _batch(name: str, severity: int, pixels: Pixels, rng: np.random.Generator) -> Pixels:
    images = pixels.astype(np.float32) / 255
    changed = FAMILIES[name](images, severity, rng)
    # Cut off, as in the original, not rounded; but what is a whole number up to float32's error stays it.
    return (np.clip(changed, 0, 1) * 255 + 1e-3).astype(np.uint8)
