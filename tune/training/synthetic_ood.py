"""The synthetic test images under 19 corruptions, in the layout of the out-of-distribution challenge."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.random import PCG64, Generator

from tune.files import atomic_path
from tune.training import images, synthetic
from tune.training.synthetic import VERSION, Floats, to_bytes, uniform, wave

OOD_IMAGES = 100
"""Images per severity: the first of the test set, one of each class."""

# Each corruption takes images (n, 32, 32, 3) as floats in [0, 255], a severity from 1 to 5, and a generator. The
# generator starts from the same state at every severity, so a higher one changes the same places more.


def _moved(x: Floats, down: int, right: int) -> Floats:
    """The images shifted by whole pixels; the edge pixels are repeated."""
    rows, columns = (np.clip(np.arange(images.SIDE) - by, 0, images.SIDE - 1) for by in (down, right))
    return x[:, rows][:, :, columns]


def _jittered(x: Floats, down: Floats, right: Floats) -> Floats:
    """Takes each pixel from `down` pixels above and `right` pixels to the left of it; both broadcast to (n, 32, 32)."""
    axis = np.arange(images.SIDE)
    rows, columns = (
        np.clip(np.floor(at + by + 0.5), 0, images.SIDE - 1).astype(np.int64)
        for at, by in ((axis[:, None], -down), (axis, -right))
    )
    return x[np.arange(len(x))[:, None, None], rows, columns]


def _blur(x: Floats, s: int, rng: Generator) -> Floats:
    for _ in range(s):
        x = (_moved(x, 0, -1) + x + _moved(x, 0, 1)) / 3.0
        x = (_moved(x, -1, 0) + x + _moved(x, 1, 0)) / 3.0
    return x


def _motion(x: Floats, s: int, rng: Generator) -> Floats:
    return sum((_moved(x, by // 2, by) for by in range(1, 2 * s + 1)), x) / (2 * s + 1)


def _impulse(x: Floats, s: int, rng: Generator) -> Floats:
    hit, value = uniform(rng, 0, 1, *x.shape[:3], 1), uniform(rng, 0, 1, *x.shape)
    return np.where(hit < 0.04 * s, np.where(value < 0.5, 0.0, 255.0), x)


def _dead_lines(x: Floats, s: int, rng: Generator) -> Floats:
    return np.where(uniform(rng, 0, 1, len(x), images.SIDE, 1, 1) < 0.07 * s, 0.0, x)


def _blotches(x: Floats, s: int, rng: Generator) -> Floats:
    return x + np.repeat(np.repeat(uniform(rng, -20, 20, len(x), 8, 8, 3) * s, 4, axis=1), 4, axis=2)


def _glass(x: Floats, s: int, rng: Generator) -> Floats:
    down, right = uniform(rng, -0.7, 0.7, 2, *x.shape[:3]) * s
    return _jittered(x, down, right)


def _wobble(x: Floats, s: int, rng: Generator) -> Floats:
    phase = uniform(rng, 0, 1, len(x), 1, 1)
    return _jittered(x, 0 * phase, s * wave(np.arange(images.SIDE)[:, None] / 12.0 + phase))


def _pixelate(x: Floats, s: int, rng: Generator) -> Floats:
    nearest = np.minimum(np.arange(images.SIDE) // (s + 1) * (s + 1) + (s + 1) // 2, images.SIDE - 1)
    return x[:, nearest][:, :, nearest]


def _occlude(x: Floats, s: int, rng: Generator) -> Floats:
    axis = np.arange(images.SIDE)
    rows, columns = (np.abs(axis - uniform(rng, 6, 26, len(x), 1)) < 2.0 + 1.5 * s for _ in range(2))
    return np.where((rows[:, :, None] & columns[:, None, :])[..., None], 127.0, x)


def _grey(x: Floats, s: int, rng: Generator) -> Floats:
    return x + 0.2 * s * ((x[..., :1] + x[..., 1:2] + x[..., 2:]) / 3.0 - x)


_CORRUPTIONS: tuple[Callable[[Floats, int, Generator], Floats], ...] = (
    lambda x, s, rng: x + uniform(rng, -20, 20, *x.shape) * s,  # noise
    lambda x, s, rng: x * (1.0 + uniform(rng, -0.2, 0.2, *x.shape) * s),  # speckle
    _impulse,
    _dead_lines,
    _blotches,
    _blur,
    _motion,
    _glass,
    _wobble,
    _pixelate,
    lambda x, s, rng: _moved(x, s, 2 * s),  # shift
    lambda x, s, rng: x + 0.1 * s * (_moved(x, 3, 7) - x),  # double exposure
    _occlude,
    lambda x, s, rng: np.floor(x * (7 - s) / 256.0) * 255.0 / (6 - s),  # posterise: 6 to 2 levels
    lambda x, s, rng: np.where(x > 255.0 - 30.0 * s, 255.0 - x, x),  # solarise
    lambda x, s, rng: 127.5 + (x - 127.5) * (1.0 - 0.16 * s),  # less contrast
    lambda x, s, rng: x + 25.0 * s,  # brighter
    _grey,
    lambda x, s, rng: x + 0.18 * s * (x[..., [1, 2, 0]] - x),  # channels mixed
)


def _is_whole(path: Path, shape: tuple[int, ...]) -> bool:
    try:
        found = np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError):
        return False
    return bool(found.shape == shape and found.dtype == np.uint8)


def prepare(root: Path) -> Path:
    """The folder of the 19 files, named as in the challenge; missing and damaged ones are drawn.

    Each is uint8 (5 * OOD_IMAGES, 32, 32, 3), one severity after another. OSError if the folder cannot be written to.
    """
    folder = root / f"synthetic-v{VERSION}-ood"
    folder.mkdir(parents=True, exist_ok=True)
    clean = images.read(synthetic.prepare(root, "test")).pixels[:OOD_IMAGES].numpy().astype(np.float32)
    for number, corrupt in enumerate(_CORRUPTIONS):
        path = folder / f"distortion{number:02d}.npy"
        if _is_whole(path, (5 * OOD_IMAGES, *clean.shape[1:])):
            continue
        severities = [to_bytes(corrupt(clean, s, Generator(PCG64((VERSION, 2, number))))) for s in range(1, 6)]
        with atomic_path(path) as unfinished, unfinished.open("wb") as sink:
            np.save(sink, np.concatenate(severities))
    return folder
