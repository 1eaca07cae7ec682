"""Runs and their pages, made once a session."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.reporting import a_run
from tests.training.conftest import one_thread, tiny_root
from tune.reporting import write
from tune.reporting.load import load
from tune.results import RunFolder
from tune.training import images

__all__ = ["one_thread", "tiny_root"]


@pytest.fixture(scope="session")
def big(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """100 trials of at most 50 epochs, a final model, and the test images."""
    root = tmp_path_factory.mktemp("runs")
    folder = a_run.searched(root / "big")
    a_run.finalize(folder)
    pixels = np.random.default_rng(0).integers(0, 256, (10_000, 32, 32, 3), np.uint8)
    about = {"class_names": ["a class"] * 100}
    images.write(root / "data" / "arrow" / "cifar100-test.arrow", pixels, np.arange(10_000) % 100, about)
    return folder


@pytest.fixture(scope="session")
def small(big: RunFolder) -> RunFolder:
    """16 trials of at most 12 epochs beside it, without a final model."""
    return a_run.searched(big.path.parent / "small", trials=16, horizon=12, model="resnet18")


@pytest.fixture(scope="session")
def page(big: RunFolder) -> Path:
    """The report of the big run."""
    path = big.path / "report.html"
    write.write({"big": load(big)}, path)
    return path


@pytest.fixture(scope="session")
def compared(big: RunFolder, small: RunFolder) -> Path:
    """The report of both."""
    path = big.path.parent / "compared.html"
    write.write({"big": load(big), "small": load(small)}, path)
    return path
