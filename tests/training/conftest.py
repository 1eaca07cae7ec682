"""Small data that a network learns in seconds: 20 of the classes, each a pair of colours."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tune.training import data, images, sources, synthetic
from tune.training.data import TrainingData
from tune.training.images import ImageSet

COLOURS = np.array([[230, 40, 40], [40, 200, 60], [50, 60, 220], [220, 210, 50], [200, 60, 210]])


def draw_pairs(each: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """`each` images of each of 20 classes: the left half tells label // 5, the right half label % 5."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(20 * each) % 20)
    pixels = rng.integers(-25, 26, (len(labels), 32, 32, 3))
    pixels[:, :, :16] += COLOURS[labels // 5][:, None, None]
    pixels[:, :, 16:] += COLOURS[labels % 5][:, None, None]
    return pixels.clip(0, 255).astype(np.uint8), labels


@pytest.fixture(scope="session")
def tiny_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A --data-dir whose `synthetic` data are 200 images to train on and 100 to test on."""
    root = tmp_path_factory.mktemp("tiny")
    about = {"class_names": synthetic.CLASS_NAMES}
    for split, each in (("train", 10), ("test", 5)):
        images.write(root / "arrow" / f"synthetic-v{synthetic.VERSION}-{split}.arrow", *draw_pairs(each, each), about)
    return root


@pytest.fixture(scope="session")
def tiny(tiny_root: Path) -> TrainingData:
    """160 images to train on, 40 to validate on."""
    return data.load_training(sources.prepare("synthetic", tiny_root, "train"), 0.2, seed=0)


@pytest.fixture(scope="session")
def tiny_test(tiny_root: Path) -> ImageSet:
    """100 images that no training sees."""
    return data.load_test(sources.prepare("synthetic", tiny_root, "test"))


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Equal to the last digit only with equal numbers of threads; and one is what a busy machine spares."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
