"""A drawn stand-in for CIFAR-100, for demo and tests: 20 shapes (the groups) in 5 patterns each (the classes).

The same bytes on every machine: only what IEEE 754 rounds exactly is used (+ - * / sqrt floor), hence no sine, no exp,
no sums of floats in an order of NumPy's choice, and rotations by rational points of the circle.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.random import PCG64, Generator
from numpy.typing import NDArray

from tune.training import images

VERSION = 1
"""One more whenever a pixel changes."""

TRAIN_IMAGES = 12_000
TEST_IMAGES = 2_000
OOD_IMAGES = 100
"""Images a severity: the first ones of the test set, one of each class."""

Split = Literal["train", "test"]
Bytes = NDArray[np.uint8]
Floats = NDArray[np.floating[Any]]


# Shapes: about the signed distance to the edge, negative inside. The shape fills -1..1; y points down.


def _disc(x: Floats, y: Floats, radius: float) -> Floats:
    distance: Floats = np.sqrt(x * x + y * y) - radius
    return distance


def _box(x: Floats, y: Floats, width: float, height: float) -> Floats:
    distance: Floats = np.maximum(np.abs(x) - width, np.abs(y) - height)
    return distance


def _wedge(x: Floats, y: Floats, width: float, height: float) -> Floats:
    """A triangle with its tip at the origin and its base, 2 * width wide, at y = height."""
    slope = math.sqrt(width * width + height * height)
    distance: Floats = np.maximum((np.abs(x) * height - y * width) / slope, y - height)
    return distance


def _petals(x: Floats, y: Floats, radius: float, depth: float) -> Floats:
    """A disc whose edge waves five times: cos(5 a) is a polynomial of cos(a)."""
    r = _disc(x, y, -1e-3)
    c = y / r
    return r - radius + depth * c * (5.0 - c * c * (20.0 - 16.0 * c * c))


_either, _both = np.minimum, np.maximum

_SHAPES: dict[str, Callable[[Floats, Floats], Floats]] = {
    "disc": lambda x, y: _disc(x, y, 0.85),
    "ring": lambda x, y: np.abs(_disc(x, y, 0.68)) - 0.24,
    "crescent": lambda x, y: _both(_disc(x, y, 0.95), -_disc(x - 0.5, y, 0.72)),
    "target": lambda x, y: _either(np.abs(_disc(x, y, 0.82)) - 0.15, _disc(x, y, 0.4)),
    "dumbbell": lambda x, y: _either(_disc(np.abs(x) - 0.6, y, 0.4), _box(x, y, 0.5, 0.15)),
    "square": lambda x, y: _box(x, y, 0.75, 0.75),
    "frame": lambda x, y: np.abs(_box(x, y, 0.65, 0.65)) - 0.2,
    "kite": lambda x, y: _either(_wedge(x, y + 1.0, 0.6, 0.75), _wedge(x, 1.0 - y, 0.6, 1.25)),
    "triangle": lambda x, y: _wedge(x, y + 0.9, 0.95, 1.6),
    "bow tie": lambda x, y: _either(_wedge(y, np.abs(x) + 0.1, 0.75, 1.05), _disc(x, y, 0.25)),
    "cross": lambda x, y: _either(_box(x, y, 0.28, 0.9), _box(x, y, 0.9, 0.28)),
    "star": lambda x, y: _either(_petals(x, y, 0.58, 0.38), _disc(x, y, 0.4)),
    "flower": lambda x, y: _both(_petals(x, y, 0.8, 0.15), -_disc(x, y, 0.25)),
    "heart": lambda x, y: _either(_disc(np.abs(x) - 0.42, y + 0.35, 0.45), _wedge(x, 0.9 - y, 0.82, 1.05)),
    "drop": lambda x, y: _either(_disc(x, y - 0.35, 0.58), _wedge(x, y + 1.0, 0.5, 1.1)),
    "arrow": lambda x, y: _either(_wedge(x, y + 0.95, 0.75, 0.85), _box(x, y - 0.4, 0.25, 0.55)),
    "house": lambda x, y: _either(_wedge(x, y + 0.95, 0.9, 0.75), _box(x, y - 0.35, 0.6, 0.55)),
    "fish": lambda x, y: _either(_disc(x + 0.25, y * 1.5, 0.65), _wedge(y, x - 0.15, 0.65, 0.75)),
    "mushroom": lambda x, y: _either(_both(_disc(x, y, 0.9), y), _box(x, y - 0.4, 0.25, 0.5)),
    "bridge": lambda x, y: _both(_box(x, y, 0.95, 0.65), -_disc(x, y - 0.65, 0.6)),
}


# Patterns: positive where the second colour goes; d is the distance to the shape's edge.


def _wave(x: Floats) -> Floats:
    """A triangle wave of period 1 between -1 and 1."""
    wave: Floats = np.abs((x - np.floor(x)) * 4.0 - 2.0) - 1.0
    return wave


_PATTERNS: dict[str, Callable[[Floats, Floats, Floats], Floats]] = {
    "plain": lambda x, y, d: np.full_like(d, -1.0),
    "striped": lambda x, y, d: _wave(y * 1.6),
    "checked": lambda x, y, d: _wave(x * 1.1) * _wave(y * 1.1) * 2.0,
    "dotted": lambda x, y, d: _wave(x * 1.7) + _wave(y * 1.7) - 0.7,
    "rimmed": lambda x, y, d: (d + 0.16) * 8.0,
}

CLASS_NAMES: tuple[str, ...] = tuple(f"{pattern} {shape}" for shape in _SHAPES for pattern in _PATTERNS)
"""Class c is shape c // 5 in pattern c % 5."""


# Drawing


def _uniform(rng: Generator, low: float, high: float, *shape: int) -> Floats:
    # Not rng.uniform: a compiler may fuse its multiplication and addition, which rounds otherwise.
    return low + (high - low) * rng.random(shape, dtype=np.float32)


def _bytes(values: Floats) -> Bytes:
    rounded: Bytes = np.floor(np.clip(values, 0.0, 255.0) + 0.5).astype(np.uint8)
    return rounded


def _rgb(hue: Floats, saturation: Floats, value: Floats) -> Floats:
    """HSV, each (n, 1, 1, 1), hue in turns, as RGB (n, 1, 1, 3) from 0 to 1."""
    sector = hue * 6.0 + np.array([5.0, 3.0, 1.0], np.float32)
    sector = sector - np.floor(sector / 6.0) * 6.0
    colour: Floats = value - value * saturation * np.clip(np.minimum(sector, 4.0 - sector), 0.0, 1.0)
    return colour


def _any_colour(rng: Generator, n: int) -> Floats:
    one = (n, 1, 1, 1)
    return _rgb(_uniform(rng, 0, 1, *one), _uniform(rng, 0.1, 0.9, *one), _uniform(rng, 0.1, 0.9, *one))


def _pose(rng: Generator, n: int, place: float, tilt: float, sizes: tuple[float, float]) -> tuple[Floats, ...]:
    """x and y (n, 32, 32) of the pixels as n objects see them, and the objects' sizes in pixels (n, 1, 1).

    The objects lie within `place` pixels of the centre, turned by up to `tilt`, the tangent of half an angle.
    """
    axis = np.arange(images.SIDE, dtype=np.float32) - (images.SIDE - 1) / 2
    x = axis[None, None, :] - _uniform(rng, -place, place, n, 1, 1)
    y = axis[None, :, None] - _uniform(rng, -place, place, n, 1, 1)
    t = _uniform(rng, -tilt, tilt, n, 1, 1)
    cos, sin = (1.0 - t * t) / (1.0 + t * t), 2.0 * t / (1.0 + t * t)
    size = _uniform(rng, *sizes, n, 1, 1)
    return (x * cos + y * sin) / size, (y * cos - x * sin) / size, size


def _paint(canvas: Floats, cover: Floats, colour: Floats) -> None:
    """Lays colours (n, 1, 1, 3) over the canvas (n, 32, 32, 3) as far as the cover (n, 32, 32) reaches 1."""
    canvas += np.clip(cover, 0.0, 1.0)[..., None] * (colour - canvas)


def _ground(rng: Generator, n: int) -> Floats:
    """n backgrounds (n, 32, 32, 3): one colour shading into another, and three bricks that mean nothing."""
    canvas = np.repeat(np.repeat(_any_colour(rng, n), images.SIDE, axis=1), images.SIDE, axis=2)
    x, _, _ = _pose(rng, n, 8.0, 1.0, (12.0, 30.0))
    _paint(canvas, 0.5 + x, _any_colour(rng, n))
    for _ in range(3):
        x, y, size = _pose(rng, n, 16.0, 1.0, (2.0, 5.0))
        _paint(canvas, 0.5 - _box(x, y, 0.9, 0.5) * size, _any_colour(rng, n))
    return canvas


def _draw_class(rng: Generator, label: int, n: int) -> Bytes:
    """n images (n, 32, 32, 3) of one class.

    The shape's hue is its group's, give or take that of both neighbours: a hint that a network learns first.
    """
    one = (n, 1, 1, 1)
    shape, pattern = divmod(label, len(_PATTERNS))
    canvas = _ground(rng, n)
    x, y, size = _pose(rng, n, 5.0, 0.35, (8.0, 12.0))
    edge = list(_SHAPES.values())[shape](x, y)
    inside = 0.5 - edge * size
    hue = (shape + _uniform(rng, -1.0, 1.0, *one)) / len(_SHAPES)
    light = _uniform(rng, 0.6, 1.0, *one)
    _paint(canvas, inside, _rgb(hue, _uniform(rng, 0.6, 1.0, *one), light))
    second = 0.5 + list(_PATTERNS.values())[pattern](x, y, edge) * size / 4.0
    dark = _rgb(_uniform(rng, 0.0, 1.0, *one), _uniform(rng, 0.0, 0.5, *one), light - 0.5)
    _paint(canvas, np.minimum(inside, second), dark)
    contrast, brightness = _uniform(rng, 0.6, 1.1, *one), _uniform(rng, 0.38, 0.62, *one)
    return _bytes(255.0 * ((canvas - 0.5) * contrast + brightness + _uniform(rng, -0.12, 0.12, *canvas.shape)))


def draw(split: Split) -> tuple[Bytes, NDArray[np.int64]]:
    """Images (n, 32, 32, 3) and labels (n,): 0, 1 .. 99, 0, 1 .., so that each hundred in a row is balanced."""
    n = TRAIN_IMAGES if split == "train" else TEST_IMAGES
    rng = Generator(PCG64((VERSION, 0 if split == "train" else 1)))
    classes = len(CLASS_NAMES)
    pixels = np.empty((n, images.SIDE, images.SIDE, 3), np.uint8)
    for label in range(classes):
        pixels[label::classes] = _draw_class(rng, label, n // classes)
    return pixels, np.arange(n) % classes


def prepare(root: Path, split: Split) -> Path:
    """The Arrow file of a part under `root`, drawn (2 s on one core) unless it is there and whole."""
    path = root / "arrow" / f"synthetic-v{VERSION}-{split}.arrow"
    try:
        images.read_metadata(path)
    except (FileNotFoundError, ValueError):
        about = {"class_names": CLASS_NAMES, "source": "synthetic", "version": VERSION}
        images.write(path, *draw(split), about)
    return path


# Corruptions: images (n, 32, 32, 3) as floats from 0 to 255, a severity from 1 to 5, and a generator that is at the
# same state for each severity, so that a stronger one changes the same places more.


def _moved(x: Floats, down: int, right: int) -> Floats:
    """The images moved by whole pixels; their edge is repeated."""
    rows, columns = (np.clip(np.arange(images.SIDE) - by, 0, images.SIDE - 1) for by in (down, right))
    return x[:, rows][:, :, columns]


def _jittered(x: Floats, down: Floats, right: Floats) -> Floats:
    """Each pixel from so many pixels, (n, 32, 32) or less, above and to its left."""
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
    hit, value = _uniform(rng, 0, 1, *x.shape[:3], 1), _uniform(rng, 0, 1, *x.shape)
    return np.where(hit < 0.04 * s, np.where(value < 0.5, 0.0, 255.0), x)


def _dead_lines(x: Floats, s: int, rng: Generator) -> Floats:
    return np.where(_uniform(rng, 0, 1, len(x), images.SIDE, 1, 1) < 0.07 * s, 0.0, x)


def _blotches(x: Floats, s: int, rng: Generator) -> Floats:
    return x + np.repeat(np.repeat(_uniform(rng, -20, 20, len(x), 8, 8, 3) * s, 4, axis=1), 4, axis=2)


def _glass(x: Floats, s: int, rng: Generator) -> Floats:
    down, right = _uniform(rng, -0.7, 0.7, 2, *x.shape[:3]) * s
    return _jittered(x, down, right)


def _wobble(x: Floats, s: int, rng: Generator) -> Floats:
    phase = _uniform(rng, 0, 1, len(x), 1, 1)
    return _jittered(x, 0 * phase, s * _wave(np.arange(images.SIDE)[:, None] / 12.0 + phase))


def _pixelate(x: Floats, s: int, rng: Generator) -> Floats:
    nearest = np.minimum(np.arange(images.SIDE) // (s + 1) * (s + 1) + (s + 1) // 2, images.SIDE - 1)
    return x[:, nearest][:, :, nearest]


def _occlude(x: Floats, s: int, rng: Generator) -> Floats:
    axis = np.arange(images.SIDE)
    rows, columns = (np.abs(axis - _uniform(rng, 6, 26, len(x), 1)) < 2.0 + 1.5 * s for _ in range(2))
    return np.where((rows[:, :, None] & columns[:, None, :])[..., None], 127.0, x)


def _grey(x: Floats, s: int, rng: Generator) -> Floats:
    return x + 0.2 * s * ((x[..., :1] + x[..., 1:2] + x[..., 2:]) / 3.0 - x)


_CORRUPTIONS: tuple[Callable[[Floats, int, Generator], Floats], ...] = (
    lambda x, s, rng: x + _uniform(rng, -20, 20, *x.shape) * s,  # noise
    lambda x, s, rng: x * (1.0 + _uniform(rng, -0.2, 0.2, *x.shape) * s),  # speckle
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


def prepare_ood(root: Path) -> Path:
    """The folder of 19 corruptions of the first test images, laid out as the challenge's; drawn where not whole.

    Each file is uint8 (5 * OOD_IMAGES, 32, 32, 3), the severities one after another.
    """
    folder = root / f"synthetic-v{VERSION}-ood"
    folder.mkdir(parents=True, exist_ok=True)
    clean = images.read(prepare(root, "test")).pixels[:OOD_IMAGES].numpy().astype(np.float32)
    for number, corrupt in enumerate(_CORRUPTIONS):
        path = folder / f"distortion{number:02d}.npy"
        if _is_whole(path, (5 * OOD_IMAGES, *clean.shape[1:])):
            continue
        severities = [_bytes(corrupt(clean, s, Generator(PCG64((VERSION, 2, number))))) for s in range(1, 6)]
        # A name of one's own, so that two processes that start together do not write into one file.
        unfinished = path.with_suffix(f".{os.getpid()}.tmp")
        with unfinished.open("wb") as sink:
            np.save(sink, np.concatenate(severities))
        os.replace(unfinished, path)
    return folder
