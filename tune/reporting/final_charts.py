"""The final model: its training, and on the test images its accuracy by class, confusions and calibration."""

from __future__ import annotations

import html
import shlex
from typing import Any

import numpy as np
import plotly.graph_objects as go

from tune.intervals import wilson95
from tune.reporting import pictures
from tune.reporting.chart import (
    BLUE,
    GREY,
    ORANGE,
    Chart,
    Gallery,
    Item,
    Note,
    Picture,
    Section,
    Table,
    between,
    percent,
    restyle,
)
from tune.reporting.load import Run
from tune.reporting.prediction_files import BINS, CleanPredictions, calibration
from tune.results import Row
from tune.wording import counted, duration

PAIRS, EXAMPLES = 6, 5
"""How many pairs of confused classes are shown, and at most how many images of each."""


def section(run: Run) -> Section:
    items: list[Item] = []
    if not run.final_epochs and not run.metrics:
        command = f"python -m tune.finalize {shlex.quote(run.folder.address)}"
        items.append(Note(f"There is no final model yet; `{command}` trains and tests it."))
        return Section("final", "The final model", items)
    if run.final_epochs:
        items.append(training(run))
    if (found := run.tested) is None:
        items.append(Note("final/ holds no test_predictions.parquet, so nothing is known about single classes."))
    else:
        items += [by_class(found), confusions(run, found), reliability(found)]
    return Section("final", "The final model", items, _sentence(run))


def _sentence(run: Run) -> str:
    if (tested := run.test_accuracy) is None:
        return "The final model has not been tested yet."
    value, low, high = tested
    metrics = run.metrics
    took_s = metrics.get("train_s")
    time = f" in {duration(took_s)} on {metrics.get('device')}" if isinstance(took_s, int | float) else ""
    of = f" of trial {run.final_of_another}" if run.final_of_another else ""
    seeds = f" on each of {len(run.final_seeds)} seeds" if len(run.final_seeds) > 1 else ""
    return (
        f"The model{of} was trained for {counted(metrics.get('epochs', 0), 'epoch')} on {metrics.get('train_on')} "
        f"images{seeds}{time}. "
        f"Its test accuracy is {percent(value)} ({between(low, high)})." + _tta_effect(metrics.get("validation"))
    )


def _tta_effect(validation: Any) -> str:
    """The effect of test-time augmentation on the validation accuracy, if it was measured."""
    if not isinstance(validation, dict) or "val_acc_tta" not in validation:
        return ""
    return (
        f" Its validation accuracy is {percent(validation['val_acc_tta'])} with test-time augmentation and "
        f"{percent(validation['val_acc'])} without."
    )


def training(run: Run) -> Chart:
    """One line per seed; the caption describes the last one."""
    by_seed: dict[Any, list[Row]] = {}
    for row in run.final_epochs:
        by_seed.setdefault(row.get("seed"), []).append(row)
    figure = go.Figure()
    for seed, rows in by_seed.items():
        figure.add_traces(_curves(rows, f", seed {seed}" if len(by_seed) > 1 else ""))
    restyle(figure, "epoch", "accuracy (%)", showlegend=True)
    figure.update_traces(marker={"size": 5})
    figure.update_yaxes(rangemode="tozero")
    last = run.final_epochs[-1]
    on_seed = f"On seed {last['seed']}: after" if len(by_seed) > 1 else "After"
    caption = f"{on_seed} {counted(last['epoch'], 'epoch')} the training accuracy is {percent(last['train_acc'])}"
    if last["val_acc"] is not None:
        caption += f", on augmented images, and the validation accuracy {percent(last['val_acc'])}."
    else:
        caption += ", on augmented images. The validation images are trained on, so there is no validation curve."
    columns: tuple[str, ...] = ("epoch", "training", "validation")
    figures: list[tuple[str, ...]]
    figures = [(str(row["epoch"]), percent(row["train_acc"]), percent(row["val_acc"])) for row in run.final_epochs]
    if len(by_seed) > 1:
        columns = ("seed", *columns)
        figures = [(str(row["seed"]), *cells) for row, cells in zip(run.final_epochs, figures, strict=True)]
    table = Table(columns, figures)
    return Chart("final-training", "Training curve", caption, "Accuracy over epochs.", figure, 340, table=table)


def _curves(rows: list[Row], which: str) -> list[go.Scatter]:
    """The curves of one training; validation only if it was measured."""
    x, found = [row["epoch"] for row in rows], []
    for name, label, colour, dash in (
        ("train_acc", "training", BLUE, "solid"),
        ("val_acc", "validation", ORANGE, "dash"),
    ):
        y = [row[name] for row in rows]
        if any(value is not None for value in y):
            line, hover = {"color": colour, "dash": dash}, f"epoch %{{x}}{which}: %{{y:.2f}} %"
            trace = go.Scatter(x=x, y=y, mode="lines+markers", name=label + which, line=line, hovertemplate=hover)
            found.append(trace)
    return found


def by_class(found: CleanPredictions) -> Chart:
    confusion = found.confusion()
    images, right = confusion.sum(axis=1), np.diag(confusion)
    there = np.flatnonzero(images)
    order = there[np.argsort(right[there] / images[there], kind="stable")]
    names = [_name(found, label) for label in order]
    values = [100 * float(right[label] / images[label]) for label in order]
    ends = [wilson95(value, int(images[label])) for value, label in zip(values, order, strict=True)]
    above = [high - value for (_, high), value in zip(ends, values, strict=True)]
    below = [value - low for (low, _), value in zip(ends, values, strict=True)]
    figure = go.Figure(
        go.Bar(
            x=[*range(1, len(names) + 1)], y=values, marker={"color": BLUE}, customdata=[html.escape(n) for n in names],
            error_y={"type": "data", "symmetric": False, "array": above, "arrayminus": below, "color": GREY,
                     "thickness": 1, "width": 0},
            hovertemplate="%{customdata}: %{y:.0f} %<extra></extra>",
        )
    )  # fmt: skip
    restyle(figure, "classes, hardest first", "test accuracy (%)", bargap=0.15)
    figure.update_yaxes(range=[0, 100])
    told = [f"{name} ({value:.0f} %)" for name, value in zip(names, values, strict=True)]
    widest = max(high - low for low, high in ends) / 2
    caption = f"Hardest: {', '.join(told[:3])}; easiest: {', '.join(told[:-4:-1])}. "
    caption += f"A single class has few images, so its accuracy is known only to within {widest:.0f} points."
    rows = [(name, f"{value:.1f} %", between(*end)) for name, value, end in zip(names, values, ends, strict=True)]
    alt = "One bar per class with its test accuracy and 95 % interval, in ascending order."
    table = Table(("class", "accuracy", ""), rows)
    return Chart("classes", "Accuracy by class", caption, alt, figure, 340, table=table)


def confusions(run: Run, found: CleanPredictions) -> Item:
    """The most frequently confused classes, with the mistakes in which the model was most confident."""
    confusion = found.confusion()
    np.fill_diagonal(confusion, 0)
    flat = np.argsort(-confusion, axis=None, kind="stable")[:PAIRS]
    pairs = [(int(label), int(guess)) for label, guess in zip(*np.unravel_index(flat, confusion.shape), strict=True)]
    pairs = [pair for pair in pairs if confusion[pair]]
    if not pairs:
        return Note("The final model made no mistake on the test images.")
    totals = np.bincount(found.label, minlength=len(found.classes))
    lines, wanted = [], []
    for label, guess in pairs:
        lines.append(
            f"{_name(found, label)} classified as {_name(found, guess)}: {confusion[label, guess]} of {totals[label]}"
        )
        mistakes = np.flatnonzero((found.label == label) & (found.predicted == guess))
        wanted.append(mistakes[np.argsort(-found.probability[mistakes], kind="stable")][:EXAMPLES])
    heading = "Most confused classes"
    caption = f"The most frequent confusion: {_name(found, pairs[0][0])} classified as {_name(found, pairs[0][1])}. "
    sources = pictures.data_uris(run.test_images(), [int(row) for rows in wanted for row in rows], len(found.label))
    if sources is None:
        table = [tuple(line.rsplit(": ", 1)) for line in lines]
        caption += "The test images are not on this machine, so none are shown."
        return Table(("confusion", "images"), table, heading, caption)
    shown, left = [], iter(sources)
    for (label, guess), rows, line in zip(pairs, wanted, lines, strict=True):
        alt = f"test image of class {_name(found, label)}, classified as {_name(found, guess)}"
        shown.append((line, [Picture(next(left), alt, f"{100 * found.probability[row]:.0f} %") for row in rows]))
    caption += "Shown are the mistakes in which the model was most confident, with the predicted probability."
    return Gallery(heading, caption, shown)


def _name(found: CleanPredictions, label: int) -> str:
    return found.classes[label].replace("_", " ")


def reliability(found: CleanPredictions) -> Chart:
    result = calibration(found)
    figure = go.Figure()
    figure.add_trace(
        go.Scatter(x=[0, 100], y=[0, 100], mode="lines", name="perfect calibration", hoverinfo="skip",
                   line={"color": GREY, "dash": "dash"})
    )  # fmt: skip
    figure.add_trace(
        go.Scatter(x=100 * result.confidence, y=100 * result.accuracy, mode="lines+markers", name="final model",
                   line={"color": BLUE}, customdata=result.count,
                   marker={"size": 6 + 14 * np.sqrt(result.count / result.count.max()), "opacity": 1},
                   hovertemplate="confidence %{x:.0f} %, accuracy %{y:.0f} %, %{customdata:,} images<extra></extra>")
    )  # fmt: skip
    restyle(figure, "confidence (%)", "accuracy (%)")
    figure.update_xaxes(range=[0, 103])
    figure.update_yaxes(range=[0, 103])
    confidence, accuracy = 100 * found.probability.mean(), 100 * np.mean(found.label == found.predicted)
    gap = confidence - accuracy
    low, high = wilson95(accuracy, len(found.label))
    verdict = (
        f"{abs(gap):.1f} points too {'confident' if gap > 0 else 'cautious'}"
        if not low <= confidence <= high
        else "a gap that may be chance with so few images"
        if abs(gap) >= 1
        else "well calibrated on average"
    )
    caption = (
        f"The model is {confidence:.1f} % confident on average and {accuracy:.1f} % accurate: {verdict}. "
        f"The expected calibration error is {100 * result.error:.1f} points ({BINS} bins)."
    )
    rows = [
        (f"{100 * c:.0f} %", f"{100 * a:.0f} %", f"{n:,}")
        for c, a, n in zip(result.confidence, result.accuracy, result.count, strict=True)
    ]
    alt = "Accuracy against confidence; larger points stand for more images."
    return Chart(
        "calibration", "Calibration", caption, alt, figure, 400,
        table=Table(("confidence", "accuracy", "images"), rows),
    )  # fmt: skip
