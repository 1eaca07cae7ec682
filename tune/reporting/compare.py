"""Compares several runs: accuracy against cost, and how each arrived at its best trial."""

from __future__ import annotations

import html
from collections.abc import Mapping

import plotly.graph_objects as go
from optuna import visualization
from optuna.trial import TrialState

from tune.intervals import wilson95
from tune.reporting import study
from tune.reporting.chart import COLOURS, Chart, Item, Note, Section, Table, between, percent, restyle
from tune.reporting.load import Run
from tune.wording import duration

SYMBOLS = ("circle", "diamond", "square", "triangle-up", "star", "cross")


def section(runs: Mapping[str, Run]) -> Section:
    items: list[Item] = [_table(runs)]
    known = {label: run for label, run in runs.items() if _accuracy(run) is not None}
    items.append(accuracy_and_cost(known) if known else Note("No run has a result yet."))
    if (progress := _progress(runs)) is not None:
        items.append(progress)
    return Section("compare", "The runs compared", items, _sentence(known) if known else "")


def _accuracy(run: Run) -> tuple[float, float, float] | None:
    """Test accuracy if there is one, else validation accuracy, with its 95 % interval, in percent."""
    if (tested := run.test_accuracy) is not None:
        return tested
    value = run.validation
    return None if value is None else (value, *wilson95(value, run.val_images))


def _kind(run: Run) -> str:
    if run.test_accuracy is None:
        return "validation" if run.metric == "val_acc" else "validation under corruptions"
    return f"test of trial {run.final_of_another}" if run.final_of_another else "test"


def _metrics_differ(runs: Mapping[str, Run]) -> bool:
    return len({run.metric for run in runs.values()}) > 1


def _comparable(known: Mapping[str, Run]) -> tuple[str, dict[str, tuple[float, float, float]]]:
    """What ranks the runs, and its values with intervals: test accuracy if all have one, else validation accuracy.

    Validation accuracies on clean and on corrupted images are not comparable; then there are no values.
    """
    tested = {label: found for label, run in known.items() if (found := run.test_accuracy) is not None}
    if len(tested) == len(known):
        return "test", tested
    if _metrics_differ(known):
        return "validation", {}
    values = {label: (run.validation, run.val_images) for label, run in known.items()}
    validated = {label: (value, *wilson95(value, n)) for label, (value, n) in values.items() if value is not None}
    return "validation", validated


def _sentence(known: Mapping[str, Run]) -> str:
    kind, found = _comparable(known)
    if _metrics_differ(known) and not found:
        return "They are not ranked: some were searched for val_acc, others for val_robust_acc, which do not compare."
    if len(found) < 2:
        return "No two runs have comparable accuracies yet."
    best, second = sorted(found, key=lambda label: -found[label][0])[:2]
    value, low, high = found[best]
    text = f"{best} is the most accurate: {percent(value)} {kind} accuracy ({between(low, high)})"
    near = [label for label in found if label != best and found[label][2] >= low]
    if near:
        text += f". The {'intervals' if len(near) > 1 else 'interval'} of {', '.join(near)} overlap"
        text += f"{'' if len(near) > 1 else 's'} with it, so the order may be chance."
    else:
        text += f". Next is {second} with {percent(found[second][0])}."
    if len({(run.settings["data"], run.settings.get("train_subset")) for run in known.values()}) > 1:
        text += " The runs were not trained on the same images."
    if len({_kind(run) for run in known.values()}) > 1:
        text += " Not all runs have a final model, so they are ranked by validation accuracy."
    return text


def _table(runs: Mapping[str, Run]) -> Table:
    columns = ("run", "model", "trials", "validation", "test", "epochs trained", "search", "final training")
    rows = []
    for label, run in runs.items():
        tested, train_s = run.test_accuracy, run.metrics.get("train_s")
        rows.append(
            (
                label, run.model, str(len(run.trials)),
                percent(run.validation)
                + (" under corruptions" if run.metric != "val_acc" and run.validation is not None else ""),
                percent(tested[0] if tested else None)
                + (f" (trial {run.final_of_another})" if run.final_of_another else ""),
                f"{run.epochs_trained:,} of {run.horizon * len(run.trials):,}", duration(run.search_s),
                duration(train_s) if isinstance(train_s, int | float) else "–",
            )
        )  # fmt: skip
    return Table(columns, rows)


def accuracy_and_cost(known: Mapping[str, Run]) -> Chart:
    figure = go.Figure()
    for place, (label, run) in enumerate(known.items()):
        value, low, high = _accuracy(run) or (0.0, 0.0, 0.0)
        minutes = _cost(run) / 60
        name = html.escape(f"{label}: {run.model} ({_kind(run)})")
        figure.add_trace(
            go.Scatter(
                x=[minutes], y=[value], mode="markers", name=name,
                error_y={"type": "data", "symmetric": False, "array": [high - value], "arrayminus": [value - low]},
                marker={"size": 13, "symbol": SYMBOLS[place % len(SYMBOLS)], "color": COLOURS[place % len(COLOURS)]},
                hovertemplate="%{x:.1f} min: %{y:.2f} %<extra>" + name + "</extra>",
            )
        )  # fmt: skip
    restyle(figure, "search and final training (min)", "accuracy (%)", showlegend=True)
    costs = [_cost(run) for run in known.values()]
    if min(costs) > 0 and max(costs) / min(costs) > 20:
        figure.update_xaxes(type="log")
    cheapest = min(known, key=lambda label: known[label].search_s)
    caption = (
        f"The search of {cheapest} was the cheapest ({duration(known[cheapest].search_s)} before final training). "
        "Error bars are 95 % intervals over images. Each run's time was measured on its own machine."
    )
    if any(run.confirm for run in known.values()):
        caption += " Reruns count as if they had run one after another."
    return Chart(
        "accuracy-cost", "Accuracy against cost", caption, "One point per run: its cost and its accuracy.", figure, 380
    )


def _cost(run: Run) -> float:
    train_s = run.metrics.get("train_s")
    return run.search_s + run.rerun_s + (float(train_s) if isinstance(train_s, int | float) else 0.0)


def _progress(runs: Mapping[str, Run]) -> Chart | None:
    """Optuna's optimisation history, one line per run with a finished trial; None if the runs' metrics differ."""
    if _metrics_differ(runs):
        return None
    studies = {label: study.whole_trials(run, name=html.escape(label)) for label, run in runs.items()}
    done = [found for found in studies.values() if found.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))]
    if len(done) < 2:
        return None
    with study.quiet():
        figure = restyle(
            visualization.plot_optimization_history(done, target_name="accuracy"), "trial", "validation accuracy (%)"
        )
    for place, found in enumerate(done):
        colour, symbol = COLOURS[place % len(COLOURS)], SYMBOLS[place % len(SYMBOLS)]
        points, line = {"color": colour, "symbol": symbol, "size": 9}, {"color": colour}
        figure.update_traces(marker=points, name=found.study_name, selector={"name": f"accuracy of {found.study_name}"})
        figure.update_traces(line=line, showlegend=False, selector={"name": f"Best Value of {found.study_name}"})
    first = {label: found.best_trial.number for label, found in studies.items() if found in done}
    quick = [label for label in first if first[label] == min(first.values())]
    caption = (
        f"{' and '.join(quick)} found {'its' if len(quick) == 1 else 'their'} best trial earliest, as number "
        f"{first[quick[0]]:04d}. Only finished trials are drawn."
    )
    return Chart(
        "progress",
        "Best accuracy so far",
        caption,
        "For each run, a point per finished trial and a line of the best so far.",
        figure,
        380,
    )
