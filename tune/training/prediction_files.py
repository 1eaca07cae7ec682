"""Writes predictions: the submission as CSV, and predicted classes with their probabilities as Parquet."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tune.files import as_unwritable, atomic_file, atomic_path
from tune.results import replace_file
from tune.training.metrics import Predictions
from tune.training.ood import NAMES, Prediction

TEST = pa.schema(
    [
        ("index", pa.int32()),
        ("label", pa.int16()),
        ("predicted", pa.int16()),
        ("probability", pa.float32()),
        ("probability_of_label", pa.float32()),
    ]
)
"""One row per test image, in order; `probability` is that of the predicted class."""

OOD = pa.schema(
    [
        ("id", pa.string()),
        ("distortion", pa.int16()),
        ("severity", pa.int16()),
        ("index", pa.int32()),
        ("label", pa.int16()),
        ("probability", pa.float32()),
        ("top5", pa.list_(pa.int16())),
        ("top5_probability", pa.list_(pa.float32())),
    ]
)
"""One row per image of the challenge, in the order of the submission; `label` is the predicted class."""


def write_test(path: Path, tested: Predictions, class_names: Iterable[str], about: dict[str, Any]) -> None:
    """Writes the predictions for the test images atomically. Unwritable if the disk is full."""
    columns = [
        np.arange(len(tested.labels)), tested.labels.numpy(), tested.predicted.numpy(), tested.probability.numpy(),
        tested.probability_of_label.numpy(),
    ]  # fmt: skip
    arrays = [pa.array(column).cast(field.type) for column, field in zip(columns, TEST, strict=True)]
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(arrays, schema=_described(TEST, class_names, about)), sink)
    replace_file(path, sink.getvalue())


def write_ood(
    submission: Path, table: Path, predictions: Iterable[Prediction], class_names: Iterable[str], about: dict[str, Any]
) -> int:
    """Writes the CSV file to submit and a table with probabilities, both atomically; returns the number of rows.

    The table is written as predictions arrive. An id consists of the file, the severity and the image's number within
    it, so that a line of the CSV file reads `distortion00_1_0,42`. Unwritable if the disk is full.
    """
    rows = 0
    with as_unwritable(table):
        submission.parent.mkdir(parents=True, exist_ok=True)
    content = io.StringIO()
    content.write("id,label\n")
    with atomic_path(table) as unfinished:
        with as_unwritable(table):
            writer = pq.ParquetWriter(unfinished, _described(OOD, class_names, about))
        try:
            for prediction in predictions:
                ids = [f"{prediction.name}_{prediction.severity}_{i}" for i in range(len(prediction.labels))]
                content.writelines(f"{id},{label}\n" for id, label in zip(ids, prediction.labels.tolist(), strict=True))
                with as_unwritable(table):
                    writer.write_batch(_rows(prediction, ids))
                rows += len(ids)
        finally:
            with as_unwritable(table):
                writer.close()
    with atomic_file(submission) as sink:
        sink.write(content.getvalue().encode("ascii"))
    return rows


def _rows(prediction: Prediction, ids: list[str]) -> pa.RecordBatch:
    n = len(ids)
    # All lists have five elements, but the schema promises lists of any length.
    offsets = np.arange(0, prediction.top5.size + 1, prediction.top5.shape[1], dtype=np.int32)
    top5, probabilities = (
        pa.ListArray.from_arrays(offsets, values.reshape(-1))
        for values in (prediction.top5.astype(np.int16), prediction.top5_probability)
    )
    number = NAMES.index(prediction.name)
    return pa.record_batch(
        [
            pa.array(ids),
            pa.array(np.full(n, number, np.int16)),
            pa.array(np.full(n, prediction.severity, np.int16)),
            pa.array(np.arange(n, dtype=np.int32)),
            pa.array(prediction.labels.astype(np.int16)),
            pa.array(prediction.probability),
            top5,
            probabilities,
        ],
        schema=OOD,
    )


def _described(schema: pa.Schema, class_names: Iterable[str], about: dict[str, Any]) -> pa.Schema:
    """The schema with metadata: the class names, and how the predictions were made."""
    return schema.with_metadata({"classes": json.dumps(list(class_names)), "about": json.dumps(about)})
