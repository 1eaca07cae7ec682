"""The course of the search: learning curves by outcome, the rungs, the epochs saved, the reruns."""

from __future__ import annotations

import statistics
from typing import Any

import plotly.graph_objects as go

from tune.reporting import outcomes
from tune.reporting.chart import BLUE, GREY, ORANGE, Chart, Item, Note, Section, Table, percent, restyle
from tune.reporting.load import Run
from tune.reporting.outcomes import WINNER, Outcome, by_outcome
from tune.results import Row, saved_epochs
from tune.wording import counted, duration


def section(run: Run) -> Section:
    items: list[Item] = []
    if any(row[run.metric] is not None for row in run.epochs):
        items.append(learning_curves(run))
    else:
        items.append(Note("No epoch has produced an accuracy yet, so there are no learning curves."))
    items += rungs(run)
    if run.confirm:
        items += [reruns(run)]
    return Section("search", "How the search went", items)


def learning_curves(run: Run) -> Chart:
    figure = go.Figure()
    for outcome, rows in by_outcome(run):
        figure.add_trace(_curves(run, outcome, rows))
    for outcome, rows in by_outcome(run):
        figure.add_trace(_ends(run, outcome, rows))
    if run.chosen is not None and (best := _measured(run, run.chosen)):
        figure.add_trace(
            go.Scatter(
                x=[row["epoch"] for row in best], y=[row[run.metric] for row in best], mode="lines",
                name=f"chosen: trial {run.chosen['trial_id']}", line={"color": WINNER, "width": 3.5},
                hovertemplate="chosen trial, epoch %{x}: %{y:.2f} %<extra></extra>",
            )
        )  # fmt: skip
    for level in run.levels:
        figure.add_vline(x=level, line={"color": GREY, "width": 1, "dash": "dot"}, opacity=0.5)
    restyle(
        figure, "epoch (dotted lines: rungs)", run.metric_label, hovermode="closest", legend={"traceorder": "reversed"}
    )
    figure.update_yaxes(rangemode="tozero")
    if run.horizon <= 10:
        figure.update_xaxes(dtick=1)  # no half epochs
    columns = ("trial", "origin", "outcome", "epochs", "accuracy", "best", "time")
    return Chart(
        "learning-curves", "Learning curves", _outcomes_in_words(run),
        f"One line per trial: {run.metric_label.lower()} over epochs, by the trial's outcome.",
        figure, 460, table=Table(columns, [_trial(run, row) for row in run.trials]),
    )  # fmt: skip


def _measured(run: Run, trial: Row) -> list[Row]:
    """The trial's epochs at which the metric was measured: val_robust_acc is measured at rungs only."""
    return [row for row in run.curves[trial["trial_id"]] if row[run.metric] is not None]


def _curves(run: Run, outcome: Outcome, rows: list[Row]) -> go.Scatter:
    """All curves of an outcome in one trace, with gaps between them."""
    x: list[Any] = []
    y: list[Any] = []
    ids: list[Any] = []
    for trial in rows:
        own = _measured(run, trial)
        x += [*(row["epoch"] for row in own), None]
        y += [*(round(row[run.metric], 2) for row in own), None]
        ids += [trial["trial_id"]] * (len(own) + 1)
    return go.Scatter(
        x=x, y=y, customdata=ids, mode="lines", name=f"{outcome.name} ({len(rows)})", legendgroup=outcome.name,
        line={"color": outcome.colour, "dash": outcome.dash, "width": 1.6}, opacity=0.9,
        hovertemplate="trial %{customdata}, epoch %{x}: %{y:.2f} %<extra>" + outcome.name + "</extra>",
    )  # fmt: skip


def _ends(run: Run, outcome: Outcome, rows: list[Row]) -> go.Scatter:
    """Markers at the end of each curve, so that outcomes do not differ by colour alone."""
    last = []
    for trial in rows:
        own = _measured(run, trial)
        last += own[-1:]
    return go.Scatter(
        x=[row["epoch"] for row in last], y=[row[run.metric] for row in last], mode="markers", legendgroup=outcome.name,
        marker={"color": outcome.colour, "symbol": outcome.symbol, "size": 7, "line": {"width": 1.5}}, showlegend=False,
        hoverinfo="skip", name=outcome.name,
    )  # fmt: skip


def _outcomes_in_words(run: Run) -> str:
    parts = [f"{len(rows)} {outcome.name}" for outcome, rows in reversed(by_outcome(run))]
    text = f"Of {counted(len(run.trials), 'trial')}: {', '.join(parts)}."
    finished = [row[run.metric] for row in run.trials if row["status"] == "finished" and row[run.metric] is not None]
    if len(finished) > 1:
        text += f" The finished trials reached {min(finished):.2f} to {max(finished):.2f} %."
    return text


def _trial(run: Run, row: Row) -> tuple[str, ...]:
    end = outcomes.outcome_of(row, run.levels).name + (f" ({row['error']})" if row["error"] else "")
    best = max((epoch[run.metric] for epoch in _measured(run, row)), default=None)
    figures = (percent(row[run.metric]), percent(best), duration(row["wall_s"] or 0))
    return (row["trial_id"], row["origin"], end, str(row["epochs"] or 0), *figures)


def rungs(run: Run) -> list[Item]:
    if not run.levels:
        why = "The trials were too short for ASHA to have a rung" if run.rungs else "The search ran without ASHA"
        return [Note(f"{why}, so no trial was stopped early.")]
    rows, known = [], {row["trial_id"]: row for row in run.trials}
    for level in run.levels:
        there = run.rungs["rungs"][str(level)]
        values = [value for value in there.values() if value is not None]
        # Counted by later epochs: a trial may also have diverged at the rung, or been interrupted there.
        went_on = sum((known[trial_id]["epochs"] or 0) > level for trial_id in there if trial_id in known)
        stopped = sum(row["status"] == "stopped" and row["epochs"] == level for row in run.trials)
        share = f"{100 * went_on / len(there):.0f} %" if there else "–"
        figures = (percent(max(values, default=None)), percent(statistics.median(values) if values else None))
        rows.append((f"after {counted(level, 'epoch')}", str(len(there)), str(went_on), share, str(stopped), *figures))
    columns = ("rung", "reached", "continued", "share", "stopped", "best", "median")
    first = sum(row["status"] == "stopped" and row["epochs"] == run.levels[0] for row in run.trials)
    stopped = sum(row["status"] == "stopped" for row in run.trials)
    caption = f"{counted(stopped, 'trial')} stopped, {first} of them at the first rung. "
    caption += "The first trial at a rung always continues."
    table = Table(columns, rows, "The rungs", caption)
    return [table, saved(run)] if run.epochs_trained else [table]


def saved(run: Run) -> Chart:
    """Epochs trained, by outcome, and epochs saved by stopping. What unfinished trials still lack is no saving."""
    figure = go.Figure()
    trained, unspent = run.epochs_trained, saved_epochs(run.trials, run.horizon)
    total = trained + unspent
    rows = []
    for outcome, trials in reversed(by_outcome(run)):
        epochs = sum(row["epochs"] or 0 for row in trials)
        figure.add_trace(_bar(outcome.name, epochs, outcome.colour, ""))
        rows.append((outcome.name, str(len(trials)), f"{epochs:,}"))
    figure.add_trace(_bar("saved", unspent, GREY, "/", opacity=0.3))
    restyle(figure, "epochs", barmode="stack", bargap=0.5, legend={"traceorder": "normal"})
    figure.update_yaxes(showticklabels=False)
    caption = (
        f"{trained:,} of {total:,} epochs were trained ({100 * trained / total:.0f} %), the cost of "
        f"{trained / run.horizon:.1f} full trials. Stopping poor trials early saved {unspent:,}."
    )
    table = Table(("outcome", "trials", "epochs"), [*rows, ("saved", "", f"{unspent:,}")])
    alt = "A single bar of all epochs, divided by the outcome of their trials and the epochs saved."
    return Chart("saved", "Epochs saved by stopping early", caption, alt, figure, 270, table=table)


def _bar(name: str, value: int, colour: str, pattern: str, opacity: float = 1.0) -> go.Bar:
    return go.Bar(
        x=[value], y=[""], orientation="h", name=name, opacity=opacity,
        marker={"color": colour, "pattern": {"shape": pattern}},
        hovertemplate="%{x:,} epochs<extra>" + name + "</extra>",
    )  # fmt: skip


def reruns(run: Run) -> Chart:
    """The best trials retrained on other seeds, beside the accuracy for which each was selected."""
    first = {row["trial_id"]: row[run.metric] for row in run.trials}
    done = [row for row in run.confirm if row["status"] == "finished" and row.get(run.metric) is not None]
    ids = sorted({row["trial_id"] for row in run.confirm})
    figure = go.Figure()
    figure.add_trace(
        go.Scatter(
            x=[f"trial {row['trial_id']}" for row in done], y=[row[run.metric] for row in done], mode="markers",
            name="reruns on other seeds", marker={"color": BLUE, "size": 9}, customdata=[r["seed"] for r in done],
            hovertemplate="seed %{customdata}: %{y:.2f} %<extra></extra>",
        )
    )  # fmt: skip
    figure.add_trace(
        go.Scatter(
            x=[f"trial {trial_id}" for trial_id in ids], y=[first.get(trial_id) for trial_id in ids], mode="markers",
            name="in the search",
            marker={"color": ORANGE, "size": 11, "symbol": "diamond-open", "line": {"width": 2}},
            hovertemplate="in the search: %{y:.2f} %<extra></extra>",
        )
    )  # fmt: skip
    restyle(figure, None, run.metric_label)
    figure.update_xaxes(type="category")
    rows = [
        (r["trial_id"], str(r["seed"]), r["status"], percent(r.get(run.metric)), duration(r["wall_s"] or 0))
        for r in run.confirm
    ]
    lost = [first[r["trial_id"]] - r[run.metric] for r in done if first.get(r["trial_id"]) is not None]
    caption = f"{len(done)} of {counted(len(run.confirm), 'rerun')} finished."
    if lost:
        mean = statistics.fmean(lost)
        side = "below" if mean >= 0 else "above"
        caption += f" On average they are {abs(mean):.2f} points {side} the accuracy of the same trials in the search."
    alt = "For each of the best trials, a point per rerun and one for its accuracy in the search."
    return Chart(
        "reruns", "The best trials on other seeds", caption, alt, figure, 340,
        table=Table(("trial", "seed", "outcome", "accuracy", "time"), rows),
    )  # fmt: skip
