"""The final model on the test images: its training, each class, what it takes for what, its confidence."""

from __future__ import annotations

import html
from typing import Any

import numpy as np
import plotly.graph_objects as go

from tune.intervals import wilson95
from tune.reporting import pictures
from tune.reporting.answer import between, test_accuracy
from tune.reporting.chart import BLUE, GREY, ORANGE, Chart, Gallery, Item, Note, Picture, Section, Table, calm, percent
from tune.reporting.load import Run
from tune.reporting.prediction_files import BINS, CleanPredictions, calibration
from tune.results import Row
from tune.wording import counted, duration

PAIRS, EXAMPLES = 6, 5
"""So many confusions are shown, with at most so many images each."""


def section(run: Run) -> Section:
    items: list[Item] = []
    if not run.final_epochs and not run.metrics:
        items.append(Note("There is no final model yet; `python -m tune.finalize` trains and tests it."))
        return Section("final", "The final model", items)
    if run.final_epochs:
        items.append(training(run))
    if (found := run.tested) is None:
        items.append(Note("final/ holds no test_predictions.parquet, so there is nothing to say of single classes."))
    else:
        items += [by_class(found), confusions(run, found), reliability(found)]
    return Section("final", "The final model", items, _sentence(run))


def _sentence(run: Run) -> str:
    if (tested := test_accuracy(run)) is None:
        return "It is in training, or was not tested."
    value, low, high = tested
    metrics = run.metrics
    took_s = metrics.get("train_s")
    time = f" in {duration(took_s)} on {metrics.get('device')}" if isinstance(took_s, int | float) else ""
    of = f" of trial {run.final_of_another}" if run.final_of_another else ""
    seeds = f" on each of {len(run.final_seeds)} seeds" if len(run.final_seeds) > 1 else ""
    return (
        f"The model{of} was trained for {metrics.get('epochs')} epochs on {metrics.get('train_on')} images"
        f"{seeds}{time}; "
        f"test accuracy {percent(value)} ({between(low, high)})." + _views(metrics.get("validation"))
    )


def _views(validation: Any) -> str:
    """What test-time augmentation did to the accuracy on the validation images, where that was measured."""
    if not isinstance(validation, dict) or "val_acc_tta" not in validation:
        return ""
    return (
        f" On the validation images it is right in {percent(validation['val_acc_tta'])} with test-time augmentation, "
        f"in {percent(validation['val_acc'])} without."
    )


def training(run: Run) -> Chart:
    """A line a seed; `says` tells of the last one."""
    by_seed: dict[Any, list[Row]] = {}
    for row in run.final_epochs:
        by_seed.setdefault(row.get("seed"), []).append(row)
    figure = go.Figure()
    for seed, rows in by_seed.items():
        figure.add_traces(_curves(rows, f", seed {seed}" if len(by_seed) > 1 else ""))
    calm(figure, "epoch", "accuracy (%)", showlegend=True)
    figure.update_traces(marker={"size": 5})
    figure.update_yaxes(rangemode="tozero")
    last = run.final_epochs[-1]
    on_seed = f"On seed {last['seed']}: after" if len(by_seed) > 1 else "After"
    says = (
        f"{on_seed} {counted(last['epoch'], 'epoch')} {percent(last['train_acc'])} of the augmented images are right."
    )
    if last["val_acc"] is not None:
        says += f" Of the validation images {percent(last['val_acc'])}."
    else:
        says += " It learns from the validation images too, so there is no curve of them."
    columns: tuple[str, ...] = ("epoch", "training", "validation")
    figures: list[tuple[str, ...]]
    figures = [(str(row["epoch"]), percent(row["train_acc"]), percent(row["val_acc"])) for row in run.final_epochs]
    if len(by_seed) > 1:
        columns = ("seed", *columns)
        figures = [(str(row["seed"]), *cells) for row, cells in zip(run.final_epochs, figures, strict=True)]
    table = Table(columns, figures)
    return Chart("final-training", "Its training", says, "Accuracy over epochs.", figure, 340, table=table)


def _curves(rows: list[Row], which: str) -> list[go.Scatter]:
    """Of one training; validation only where it was measured."""
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
    calm(figure, "classes, the hardest first", "test accuracy (%)", bargap=0.15)
    figure.update_yaxes(range=[0, 100])
    told = [f"{name} ({value:.0f} %)" for name, value in zip(names, values, strict=True)]
    widest = max(high - low for low, high in ends) / 2
    says = f"Hardest: {', '.join(told[:3])}; easiest: {', '.join(told[:-4:-1])}. "
    says += f"One class alone is known to within {widest:.0f} points, as it has few images."
    rows = [(name, f"{value:.1f} %", between(*end)) for name, value, end in zip(names, values, ends, strict=True)]
    alt = "A bar a class with its test accuracy and 95 % interval, from the lowest to the highest."
    table = Table(("class", "accuracy", ""), rows)
    return Chart("classes", "Accuracy of each class", says, alt, figure, 340, table=table)


def confusions(run: Run, found: CleanPredictions) -> Item:
    """The pairs most often mixed up, with the mistakes that the model was surest of."""
    confusion = found.confusion()
    np.fill_diagonal(confusion, 0)
    flat = np.argsort(-confusion, axis=None, kind="stable")[:PAIRS]
    pairs = [(int(label), int(said)) for label, said in zip(*np.unravel_index(flat, confusion.shape), strict=True)]
    pairs = [pair for pair in pairs if confusion[pair]]
    if not pairs:
        return Note("The final model takes no class for another.")
    totals = np.bincount(found.label, minlength=len(found.classes))
    lines, wanted = [], []
    for label, said in pairs:
        lines.append(
            f"{_name(found, label)} taken for {_name(found, said)}: {confusion[label, said]} of {totals[label]}"
        )
        mistakes = np.flatnonzero((found.label == label) & (found.predicted == said))
        wanted.append(mistakes[np.argsort(-found.probability[mistakes], kind="stable")][:EXAMPLES])
    heading = "Most confused classes"
    says = f"{_name(found, pairs[0][0])} is taken for {_name(found, pairs[0][1])} most often. "
    sources = pictures.data_uris(run.test_images(), [int(row) for rows in wanted for row in rows], len(found.label))
    if sources is None:
        table = [tuple(line.rsplit(": ", 1)) for line in lines]
        says += "This machine does not keep the test images, so none are shown."
        return Table(("confusion", "images"), table, heading, says)
    shown, left = [], iter(sources)
    for (label, said), rows, line in zip(pairs, wanted, lines, strict=True):
        alt = f"test image of the class {_name(found, label)}, taken for {_name(found, said)}"
        shown.append((line, [Picture(next(left), alt, f"{100 * found.probability[row]:.0f} %") for row in rows]))
    says += "Shown are the mistakes that the model was surest of, with the probability that it claimed."
    return Gallery(heading, says, shown)


def _name(found: CleanPredictions, label: int) -> str:
    return found.classes[label].replace("_", " ")


def reliability(found: CleanPredictions) -> Chart:
    result = calibration(found)
    figure = go.Figure()
    figure.add_trace(
        go.Scatter(x=[0, 100], y=[0, 100], mode="lines", name="as claimed", line={"color": GREY, "dash": "dash"},
                   hoverinfo="skip")
    )  # fmt: skip
    figure.add_trace(
        go.Scatter(x=100 * result.confidence, y=100 * result.accuracy, mode="lines+markers", name="final model",
                   line={"color": BLUE}, customdata=result.count,
                   marker={"size": 6 + 14 * np.sqrt(result.count / result.count.max()), "opacity": 1},
                   hovertemplate="claimed %{x:.0f} %, right %{y:.0f} %, %{customdata:,} images<extra></extra>")
    )  # fmt: skip
    calm(figure, "probability claimed (%)", "right (%)")
    figure.update_xaxes(range=[0, 103])
    figure.update_yaxes(range=[0, 103])
    claimed, right = 100 * found.probability.mean(), 100 * float(np.mean(found.label == found.predicted))
    off = claimed - right
    low, high = wilson95(right, len(found.label))
    verdict = (
        f"{abs(off):.1f} points too {'sure' if off > 0 else 'modest'}"
        if not low <= claimed <= high
        else "no more apart than so few images explain"
        if abs(off) >= 1
        else "about as sure as it may be"
    )
    says = (
        f"The model claims {claimed:.1f} % on average and is right in {right:.1f} %: {verdict}. "
        f"Expected calibration error {100 * result.error:.1f} points ({BINS} bins)."
    )
    rows = [
        (f"{100 * c:.0f} %", f"{100 * a:.0f} %", f"{n:,}")
        for c, a, n in zip(result.confidence, result.accuracy, result.count, strict=True)
    ]
    alt = "How often the model is right against the probability that it claims; larger points stand for more images."
    return Chart(
        "calibration", "What its confidence is worth", says, alt, figure, 400,
        table=Table(("claimed", "right", "images"), rows),
    )  # fmt: skip
