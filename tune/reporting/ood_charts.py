"""The predictions on the challenge's distorted images, by file and severity. Their labels are not public."""

from __future__ import annotations

import shlex

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from tune.reporting.chart import SCALE, Chart, Item, Note, Section, Table, restyle
from tune.reporting.load import Run
from tune.reporting.prediction_files import CleanPredictions, OodPredictions

HEADING = "Distorted images"


def section(run: Run) -> Section | None:
    """None until there is a final model."""
    if not run.metrics:
        return None
    if (found := run.ood) is None:
        command = f"python -m tune.finalize {shlex.quote(run.folder.address)} --ood-only"
        note = Note(f"final/ holds no ood_predictions.parquet; `{command}` makes it.")
        return Section("ood", HEADING, [note])
    items: list[Item] = [confidence(found, run.tested), spread(found, run.tested)]
    why = "have no labels here" if run.settings["data"] == "synthetic" else "have labels that are not public"
    lead = f"The {len(found.label):,} distorted images {why}, so the accuracy is unknown. These charts only hint at it."
    return Section("ood", HEADING, items, lead + _method(found))


def _method(found: OodPredictions) -> str:
    """How the predictions were made, unless by a single network without test-time changes."""
    seeds = found.about.get("seeds", 1)
    number = len(seeds) if isinstance(seeds, list) else int(seeds)
    parts = []
    if number > 1:
        parts.append(f"{number} seeds, averaged")
    if found.about.get("tta"):
        parts.append("test-time augmentation")
    if found.about.get("adapt_batch_norm"):
        parts.append("batch-norm statistics re-estimated on each file")
    return f" Predicted with {'; '.join(parts)}." if parts else ""


def confidence(found: OodPredictions, tested: CleanPredictions | None) -> Chart:
    files, grid = _by_file(found, 100 * found.probability)
    low, high = np.unravel_index(np.nanargmin(grid), grid.shape), np.unravel_index(np.nanargmax(grid), grid.shape)
    caption = (
        f"The mean confidence is lowest on {_place(files, low)} ({grid[low]:.0f} %) "
        f"and highest on {_place(files, high)} ({grid[high]:.0f} %)."
    )
    if tested is not None:
        caption += f" On the clean test images it is {100 * tested.probability.mean():.0f} %."
    alt = "A heat map of the mean confidence, with a row per file and a column per severity."
    table, height = _table(files, grid, "{:.1f} %"), 120 + 24 * len(files)
    return Chart(
        "ood-confidence",
        "Confidence by file and severity",
        caption,
        alt,
        _heatmap(files, grid, "mean<br>confidence<br>(%)"),
        height,
        table=table,
    )


def spread(found: OodPredictions, tested: CleanPredictions | None) -> Chart:
    """How evenly the predictions spread over the classes. On unrecognisable images a few classes take them all."""
    known = found.classes or (() if tested is None else tested.classes)
    classes = len(known) or int(found.label.max()) + 1
    files, grid = _effective_classes(found, classes)
    low = np.unravel_index(np.nanargmin(grid), grid.shape)
    counts = np.bincount(found.label, minlength=classes)
    top = np.argsort(-counts, kind="stable")[:3]
    names = [known[place].replace("_", " ") if known else f"class {place}" for place in top]
    most = ", ".join(
        f"{name} ({100 * counts[place] / counts.sum():.1f} %)" for name, place in zip(names, top, strict=True)
    )
    caption = (
        f"Predicted most often: {most}; an even share would be {100 / classes:.1f} %. The predictions are least even "
        f"on {_place(files, low)}, where they amount to {grid[low]:.0f} equally frequent classes (exp of the entropy)."
    )
    alt = "A heat map of the effective number of predicted classes, with a row per file and a column per severity."
    table, height = _table(files, grid, "{:.1f}"), 120 + 24 * len(files)
    return Chart(
        "ood-classes",
        "Effective number of predicted classes, by file and severity",
        caption,
        alt,
        _heatmap(files, grid, "classes"),
        height,
        table=table,
    )


Grid = NDArray[np.float64]


def _by_file(found: OodPredictions, values: NDArray[np.float64]) -> tuple[list[str], Grid]:
    """The mean of each file (row) and severity (column), (files, severities); NaN where there is no image."""
    numbers, row = np.unique(found.distortion, return_inverse=True)
    severities = int(found.severity.max())
    place = row * severities + found.severity - 1
    count = np.bincount(place, minlength=len(numbers) * severities)
    with np.errstate(invalid="ignore"):
        mean = np.bincount(place, values, len(count)) / count
    return [f"distortion{number:02d}" for number in numbers], mean.reshape(len(numbers), severities)


def _effective_classes(found: OodPredictions, classes: int) -> tuple[list[str], Grid]:
    """exp(entropy) of the predicted classes, (files, severities): `classes` if equally frequent, 1 if only one is."""
    numbers, row = np.unique(found.distortion, return_inverse=True)
    severities = int(found.severity.max())
    place = (row * severities + found.severity - 1) * classes + found.label
    counts = np.bincount(place, minlength=len(numbers) * severities * classes).reshape(
        len(numbers), severities, classes
    )
    total = counts.sum(axis=2, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = counts / total
        entropy = -np.sum(np.where(share > 0, share * np.log(share), 0.0), axis=2)
    grid = np.where(total[:, :, 0] > 0, np.exp(entropy), np.nan)
    return [f"distortion{number:02d}" for number in numbers], grid


def _place(files: list[str], place: tuple[np.intp, ...]) -> str:
    return f"{files[int(place[0])]} at severity {int(place[1]) + 1}"


def _heatmap(files: list[str], grid: Grid, unit: str) -> go.Figure:
    figure = go.Figure(
        go.Heatmap(
            x=[str(column + 1) for column in range(grid.shape[1])], y=files, z=np.round(grid, 2), colorscale=SCALE,
            texttemplate="%{z:.0f}", xgap=2, ygap=2, colorbar={"title": unit, "thickness": 12, "outlinewidth": 0},
            hovertemplate="%{y}, severity %{x}: %{z:.1f}<extra></extra>",
        )
    )  # fmt: skip
    restyle(figure, "severity")
    figure.update_xaxes(type="category", showgrid=False)
    figure.update_yaxes(autorange="reversed", showgrid=False)
    return figure


def _table(files: list[str], grid: Grid, shown: str) -> Table:
    columns = ("file", *(f"severity {column + 1}" for column in range(grid.shape[1])))
    return Table(
        columns, [(name, *(shown.format(value) for value in row)) for name, row in zip(files, grid, strict=True)]
    )
