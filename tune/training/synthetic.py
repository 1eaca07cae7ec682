"""A synthetic stand-in for CIFAR-100, for demos and tests: 20 shapes (the superclasses), each in 5 patterns.

The bytes are the same on every machine. Drawing uses only operations that IEEE 754 rounds correctly (+ - * / sqrt
floor): no sine, no exp, no sum whose order NumPy chooses, and rotations by rational points of the unit circle.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import PCG64, Generator
from numpy.typing import NDArray

from tune.training import images
from tune.training.images import Split

VERSION = 1
"""Raise it whenever a pixel changes."""

TRAIN_IMAGES = 12_000
TEST_IMAGES = 2_000

Bytes = NDArray[np.uint8]
Floats = NDArray[np.floating[Any]]


# Shapes: the approximate signed distance to the edge, negative inside. A shape fills [-1, 1] in x and y; y points down.


def _disc(x: Floats, y: Floats, radius: float) -> Floats:
    distance: Floats = np.sqrt(x * x + y * y) - radius
    return distance


def _box(x: Floats, y: Floats, width: float, height: float) -> Floats:
    distance: Floats = np.maximum(np.abs(x) - width, np.abs(y) - height)
    return distance


def _wedge(x: Floats, y: Floats, width: float, height: float) -> Floats:
    """A triangle with its apex at the origin and a base of 2 * width at y = height."""
    slope = math.sqrt(width * width + height * height)
    distance: Floats = np.maximum((np.abs(x) * height - y * width) / slope, y - height)
    return distance


def _petals(x: Floats, y: Floats, radius: float, depth: float) -> Floats:
    """A disc with five lobes: cos(5 a) is a polynomial in cos(a)."""
    r = _disc(x, y, -1e-3)
    c = y / r
    return r - radius + depth * c * (5.0 - c * c * (20.0 - 16.0 * c * c))


_either, _both = np.minimum, np.maximum  # union and intersection of shapes

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


# Patterns: positive where the second colour shows; d is the distance to the shape's edge.


def wave(x: Floats) -> Floats:
    """A triangle wave between -1 and 1, of period 1."""
    wave: Floats = np.abs((x - np.floor(x)) * 4.0 - 2.0) - 1.0
    return wave


_PATTERNS: dict[str, Callable[[Floats, Floats, Floats], Floats]] = {
    "plain": lambda x, y, d: np.full_like(d, -1.0),
    "striped": lambda x, y, d: wave(y * 1.6),
    "checked": lambda x, y, d: wave(x * 1.1) * wave(y * 1.1) * 2.0,
    "dotted": lambda x, y, d: wave(x * 1.7) + wave(y * 1.7) - 0.7,
    "rimmed": lambda x, y, d: (d + 0.16) * 8.0,
}

CLASS_NAMES: tuple[str, ...] = tuple(f"{pattern} {shape}" for shape in _SHAPES for pattern in _PATTERNS)
"""Class c has shape c // 5 and pattern c % 5."""


# Drawing


def uniform(rng: Generator, low: float, high: float, *shape: int) -> Floats:
    # Not rng.uniform: a compiler may fuse its multiply and add, which changes the rounding.
    return low + (high - low) * rng.random(shape, dtype=np.float32)


def to_bytes(values: Floats) -> Bytes:
    rounded: Bytes = np.floor(np.clip(values, 0.0, 255.0) + 0.5).astype(np.uint8)
    return rounded


def _rgb(hue: Floats, saturation: Floats, value: Floats) -> Floats:
    """HSV to RGB, (n, 1, 1, 1) each -> (n, 1, 1, 3), all in [0, 1]; a hue of 1 is a full turn."""
    sector = hue * 6.0 + np.array([5.0, 3.0, 1.0], np.float32)
    sector = sector - np.floor(sector / 6.0) * 6.0
    colour: Floats = value - value * saturation * np.clip(np.minimum(sector, 4.0 - sector), 0.0, 1.0)
    return colour


def _any_colour(rng: Generator, n: int) -> Floats:
    one = (n, 1, 1, 1)
    return _rgb(uniform(rng, 0, 1, *one), uniform(rng, 0.1, 0.9, *one), uniform(rng, 0.1, 0.9, *one))


def _pose(rng: Generator, n: int, place: float, tilt: float, sizes: tuple[float, float]) -> tuple[Floats, ...]:
    """The pixels' x and y in the coordinates of n objects, (n, 32, 32) each, and the objects' sizes in px, (n, 1, 1).

    In x and y, objects lie within `place` px of the centre. They are rotated by up to `tilt`, the tangent of half the
    angle.
    """
    axis = np.arange(images.SIDE, dtype=np.float32) - (images.SIDE - 1) / 2
    x = axis[None, None, :] - uniform(rng, -place, place, n, 1, 1)
    y = axis[None, :, None] - uniform(rng, -place, place, n, 1, 1)
    t = uniform(rng, -tilt, tilt, n, 1, 1)
    cos, sin = (1.0 - t * t) / (1.0 + t * t), 2.0 * t / (1.0 + t * t)
    size = uniform(rng, *sizes, n, 1, 1)
    return (x * cos + y * sin) / size, (y * cos - x * sin) / size, size


def _paint(canvas: Floats, cover: Floats, colour: Floats) -> None:
    """Blends colours (n, 1, 1, 3) into the canvas (n, 32, 32, 3), with the opacity `cover` (n, 32, 32)."""
    canvas += np.clip(cover, 0.0, 1.0)[..., None] * (colour - canvas)


def _ground(rng: Generator, n: int) -> Floats:
    """n backgrounds (n, 32, 32, 3): one colour shading into another, with three bricks as distractors."""
    canvas = np.repeat(np.repeat(_any_colour(rng, n), images.SIDE, axis=1), images.SIDE, axis=2)
    x, _, _ = _pose(rng, n, 8.0, 1.0, (12.0, 30.0))
    _paint(canvas, 0.5 + x, _any_colour(rng, n))
    for _ in range(3):
        x, y, size = _pose(rng, n, 16.0, 1.0, (2.0, 5.0))
        _paint(canvas, 0.5 - _box(x, y, 0.9, 0.5) * size, _any_colour(rng, n))
    return canvas


def _draw_class(rng: Generator, label: int, n: int) -> Bytes:
    """n images (n, 32, 32, 3) of one class.

    The hue is that of the shape, give or take one neighbour's on either side: a hint that a network learns first.
    """
    one = (n, 1, 1, 1)
    shape, pattern = divmod(label, len(_PATTERNS))
    canvas = _ground(rng, n)
    x, y, size = _pose(rng, n, 5.0, 0.35, (8.0, 12.0))
    edge = list(_SHAPES.values())[shape](x, y)
    inside = 0.5 - edge * size
    hue = (shape + uniform(rng, -1.0, 1.0, *one)) / len(_SHAPES)
    light = uniform(rng, 0.6, 1.0, *one)
    _paint(canvas, inside, _rgb(hue, uniform(rng, 0.6, 1.0, *one), light))
    second = 0.5 + list(_PATTERNS.values())[pattern](x, y, edge) * size / 4.0
    dark = _rgb(uniform(rng, 0.0, 1.0, *one), uniform(rng, 0.0, 0.5, *one), light - 0.5)
    _paint(canvas, np.minimum(inside, second), dark)
    contrast, brightness = uniform(rng, 0.6, 1.1, *one), uniform(rng, 0.38, 0.62, *one)
    return to_bytes(255.0 * ((canvas - 0.5) * contrast + brightness + uniform(rng, -0.12, 0.12, *canvas.shape)))


def draw(split: Split) -> tuple[Bytes, NDArray[np.int64]]:
    """Images (n, 32, 32, 3) and labels (n,): 0, 1, .., 99, 0, 1, .., so that every hundred in a row is balanced."""
    n = TRAIN_IMAGES if split == "train" else TEST_IMAGES
    rng = Generator(PCG64((VERSION, 0 if split == "train" else 1)))
    classes = len(CLASS_NAMES)
    pixels = np.empty((n, images.SIDE, images.SIDE, 3), np.uint8)
    for label in range(classes):
        pixels[label::classes] = _draw_class(rng, label, n // classes)
    return pixels, np.arange(n) % classes


def arrow_file(root: Path, split: Split) -> Path:
    """Where `prepare` writes a split."""
    return root / "arrow" / f"synthetic-v{VERSION}-{split}.arrow"


def prepare(root: Path, split: Split) -> Path:
    """The Arrow file of a split, drawn (in 2 s on one core) if it is missing or damaged."""
    path = arrow_file(root, split)
    try:
        images.read_metadata(path)
    except (FileNotFoundError, ValueError):
        about = {"class_names": CLASS_NAMES, "source": "synthetic", "version": VERSION}
        images.write(path, *draw(split), about)
    return path
