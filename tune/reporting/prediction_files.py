"""Reads the final model's predictions on test and OOD images from final/, and computes its calibration."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tune.results import PAGE, RunFolder

BINS = 15
"""Confidence bins, as in Guo et al. (2017), arXiv:1706.04599."""


@dataclass(frozen=True)
class CleanPredictions:
    """Arrays with one value per test image, in the order of the test set."""

    label: NDArray[np.int64]
    predicted: NDArray[np.int64]
    probability: NDArray[np.float64]
    """Of the predicted class, 0 to 1."""

    classes: tuple[str, ...]

    def confusion(self) -> NDArray[np.int64]:
        """Number of images by label (row) and predicted class (column), (classes, classes)."""
        count = len(self.classes)
        flat = np.bincount(self.label * count + self.predicted, minlength=count * count)
        return flat.reshape(count, count)


@dataclass(frozen=True)
class OodPredictions:
    """Arrays with one value per OOD image."""

    distortion: NDArray[np.int64]
    severity: NDArray[np.int64]
    """1 to 5."""

    label: NDArray[np.int64]
    """The predicted class; the true one is unknown."""

    probability: NDArray[np.float64]
    classes: tuple[str, ...] = ()
    """Empty if the file lacks them."""

    about: Mapping[str, Any] = field(default_factory=dict)
    """How the predictions were made: `seeds` (a list, or their number in older runs), `tta`, `adapt_batch_norm`."""


@dataclass(frozen=True)
class Calibration:
    """Accuracy by confidence."""

    confidence: NDArray[np.float64]
    """Mean of each non-empty bin, 0 to 1."""

    accuracy: NDArray[np.float64]
    count: NDArray[np.int64]
    """Images in each of these bins."""

    error: float
    """Expected calibration error, 0 to 1."""


def read_test(final: Path) -> CleanPredictions | None:
    """None if there is no such file. ValueError if it is damaged."""
    path = final / "test_predictions.parquet"
    if (table := _read(path, ["label", "predicted", "probability"])) is None:
        return None
    try:
        classes = tuple(str(name) for name in _metadata(table)["classes"])
    except (KeyError, ValueError, TypeError) as error:
        raise ValueError(f"{path} is damaged: its metadata lack the class names. {PAGE}") from error
    found = CleanPredictions(
        _integers(table, "label"), _integers(table, "predicted"), _floats(table, "probability"), classes
    )
    both = np.concatenate([found.label, found.predicted])
    if not len(both) or both.min() < 0 or both.max() >= len(classes):
        raise ValueError(f"{path} is damaged: it is empty, or holds labels without a class. {PAGE}")
    return found


def read_ood(final: Path) -> OodPredictions | None:
    """None if there is no such file. ValueError if it is damaged."""
    path = final / "ood_predictions.parquet"
    if (table := _read(path, ["distortion", "severity", "label", "probability"])) is None:
        return None
    if not len(table):
        raise ValueError(f"{path} is damaged: it is empty. {PAGE}")
    distortion, severity, label = (_integers(table, name) for name in ("distortion", "severity", "label"))
    try:
        metadata = _metadata(table)
    except ValueError as error:
        raise ValueError(f"{path} is damaged: its metadata are not JSON. {PAGE}") from error
    classes = tuple(str(name) for name in metadata.get("classes", ()))
    about = metadata.get("about", {})
    if label.min() < 0 or (classes and label.max() >= len(classes)) or not isinstance(about, dict):
        raise ValueError(f"{path} is damaged: it holds labels without a class, or its metadata are wrong. {PAGE}")
    return OodPredictions(distortion, severity, label, _floats(table, "probability"), classes, about)


def _read(path: Path, columns: list[str]) -> pa.Table | None:
    return RunFolder(path.parent).read_table(path.name, columns) if os.path.lexists(path) else None


def _metadata(table: pa.Table) -> dict[str, Any]:
    """The JSON metadata that tune.finalize wrote. ValueError if they are not JSON."""
    metadata = table.schema.metadata or {}
    return {name: json.loads(metadata[name.encode()]) for name in ("classes", "about") if name.encode() in metadata}


def _integers(table: pa.Table, name: str) -> NDArray[np.int64]:
    return np.asarray(_column(table, name), dtype=np.int64)


def _floats(table: pa.Table, name: str) -> NDArray[np.float64]:
    return np.asarray(_column(table, name), dtype=np.float64)


def _column(table: pa.Table, name: str) -> NDArray[Any]:
    """Without `to_numpy`, which would import pandas."""
    return np.from_dlpack(table.column(name).combine_chunks())


def calibration(found: CleanPredictions) -> Calibration:
    """Expected calibration error over confidence bins of equal width: the mean gap, weighted by images."""
    right = (found.label == found.predicted).astype(np.float64)
    place = np.minimum((found.probability * BINS).astype(np.int64), BINS - 1)
    count = np.bincount(place, minlength=BINS)
    there = count > 0
    accuracy = np.bincount(place, right, BINS)[there] / count[there]
    confidence = np.bincount(place, found.probability, BINS)[there] / count[there]
    error = float(np.sum(count[there] * np.abs(accuracy - confidence)) / count.sum())
    return Calibration(confidence, accuracy, count[there], error)
