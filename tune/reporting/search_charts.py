"""The search as it went: learning curves by outcome, the rungs, what stopping saved, reruns."""

from __future__ import annotations

import statistics
from typing import Any

import plotly.graph_objects as go

from tune.reporting import outcomes
from tune.reporting.answer import paid
from tune.reporting.chart import BLUE, GREY, ORANGE, Chart, Item, Note, Section, Table, calm, percent
from tune.reporting.load import Run
from tune.reporting.outcomes import WINNER, Outcome, by_outcome
from tune.results import Row, saved_epochs
from tune.wording import counted, duration


def section(run: Run) -> Section:
    items: list[Item] = []
    if any(row[run.metric] is not None for row in run.epochs):
        items.append(learning_curves(run))
    else:
        items.append(Note("No epoch has ended with an accuracy yet, so there are no learning curves."))
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
    calm(
        figure, "epoch (dotted lines: rungs)", run.metric_label, hovermode="closest", legend={"traceorder": "reversed"}
    )
    figure.update_yaxes(rangemode="tozero")
    columns = ("trial", "origin", "end", "epochs", "accuracy", "best", "time")
    return Chart(
        "learning-curves", "Learning curves", _outcomes_in_words(run),
        f"Lines of {run.metric_label.lower()} over epochs, one a trial, by how the trial ended.",
        figure, 460, table=Table(columns, [_trial(run, row) for row in run.trials]),
    )  # fmt: skip


def _measured(run: Run, trial: Row) -> list[Row]:
    """A trial's epochs at which the metric was measured; the accuracy under corruption is only at rungs."""
    return [row for row in run.curves[trial["trial_id"]] if row[run.metric] is not None]


def _curves(run: Run, outcome: Outcome, rows: list[Row]) -> go.Scatter:
    """All curves of a outcome in one trace, with gaps between them."""
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
    """The last epoch of each curve, by marker: a outcome can be told without its colour."""
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
        text += f" Those that finished ended between {min(finished):.2f} and {max(finished):.2f} %."
    return text


def _trial(run: Run, row: Row) -> tuple[str, ...]:
    end = outcomes.outcome_of(row, run.levels).name + (f" ({row['error']})" if row["error"] else "")
    figures = (percent(row[run.metric]), percent(row["best_val_acc"]), duration(row["wall_s"] or 0))
    return (row["trial_id"], row["origin"], end, str(row["epochs"] or 0), *figures)


def rungs(run: Run) -> list[Item]:
    if not run.levels:
        why = "ASHA had no rung in trials so short" if run.rungs else "The search ran without ASHA"
        return [Note(f"{why}: no trial was stopped for its accuracy.")]
    rows, known = [], {row["trial_id"]: row for row in run.trials}
    for level in run.levels:
        there = run.rungs["rungs"][str(level)]
        values = [value for value in there.values() if value is not None]
        # By what followed: a trial may also have diverged on the rung, or been interrupted there.
        went_on = sum((known[trial_id]["epochs"] or 0) > level for trial_id in there if trial_id in known)
        stopped = sum(row["status"] == "stopped" and row["epochs"] == level for row in run.trials)
        share = f"{100 * went_on / len(there):.0f} %" if there else "–"
        figures = (percent(max(values, default=None)), percent(statistics.median(values) if values else None))
        rows.append((f"after {counted(level, 'epoch')}", str(len(there)), str(went_on), share, str(stopped), *figures))
    columns = ("rung", "reached it", "went on", "share", "stopped there", "best", "median")
    first = sum(row["status"] == "stopped" and row["epochs"] == run.levels[0] for row in run.trials)
    stopped = sum(row["status"] == "stopped" for row in run.trials)
    says = f"{counted(stopped, 'trial')} stopped, {first} of them at the first rung. The first one on a rung goes on."
    table = Table(columns, rows, "The rungs", says)
    return [table, saved(run)] if paid(run) else [table]


def saved(run: Run) -> Chart:
    """Epochs paid, by outcome, beside those that stopping spared. What an unfinished trial still lacks is not saved."""
    figure = go.Figure()
    spared = saved_epochs(run.trials, run.horizon)
    total = paid(run) + spared
    rows = []
    for outcome, trials in reversed(by_outcome(run)):
        epochs = sum(row["epochs"] or 0 for row in trials)
        figure.add_trace(_bar(outcome.name, epochs, outcome.colour, ""))
        rows.append((outcome.name, str(len(trials)), f"{epochs:,}"))
    figure.add_trace(_bar("saved", spared, "rgba(138,144,153,0.25)", "/"))
    calm(figure, "epochs", barmode="stack", bargap=0.5, legend={"traceorder": "normal"})
    figure.update_yaxes(showticklabels=False)
    says = (
        f"{paid(run):,} of {total:,} epochs were trained ({100 * paid(run) / total:.0f} %), as much as "
        f"{paid(run) / run.horizon:.1f} whole trials; {spared:,} were saved by stopping the poor trials early."
    )
    table = Table(("outcome", "trials", "epochs"), [*rows, ("saved", "", f"{spared:,}")])
    alt = "One bar of all epochs, in parts by how their trials ended, and those saved."
    return Chart("saved", "What stopping saved", says, alt, figure, 270, table=table)


def _bar(name: str, value: int, colour: str, pattern: str) -> go.Bar:
    return go.Bar(
        x=[value], y=[""], orientation="h", name=name, marker={"color": colour, "pattern": {"shape": pattern}},
        hovertemplate="%{x:,} epochs<extra>" + name + "</extra>",
    )  # fmt: skip


def reruns(run: Run) -> Chart:
    """The best trials on other seeds, beside the accuracy that each was picked for."""
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
    calm(figure, None, run.metric_label)
    figure.update_xaxes(type="category")
    rows = [
        (r["trial_id"], str(r["seed"]), r["status"], percent(r.get(run.metric)), duration(r["wall_s"] or 0))
        for r in run.confirm
    ]
    lost = [first[r["trial_id"]] - r[run.metric] for r in done if first.get(r["trial_id"]) is not None]
    says = f"{len(done)} of {counted(len(run.confirm), 'rerun')} finished."
    if lost:
        mean = statistics.fmean(lost)
        side = "below" if mean >= 0 else "above"
        says += f" On average they are {abs(mean):.2f} points {side} what the search saw of the same trials."
    alt = "For each of the best trials, points for its reruns and one for its accuracy in the search."
    return Chart(
        "reruns", "The best again, on other seeds", says, alt, figure, 340,
        table=Table(("trial", "seed", "end", "accuracy", "time"), rows),
    )  # fmt: skip
