"""Which settings mattered: Optuna's own charts, over trials that compare."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import optuna
import plotly.graph_objects as go
from optuna import visualization
from optuna.distributions import CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState
from plotly.colors import sample_colorscale

from tune.intervals import wilson95
from tune.reporting import schedule, study
from tune.reporting.chart import GREY, SCALE, Chart, Item, Note, Section, Table, calm, setting
from tune.reporting.load import Run
from tune.reporting.outcomes import DIVERGED, FINISHED, RUNNING, STOPPED, WINNER
from tune.wording import counted, duration

FEWEST = 10
"""Trials with a result below which no setting is said to matter; there must be as many as settings, too."""

NARROW = 1 / 3
"""The best trials are said to lie close together where at most this share of all lies between them."""

SHORT_S = 1200.0
"""Below it the ticks of a time axis are less than some minutes apart."""

SLICES, AXES = 5, 9
"""So many of the most important settings are drawn one by one, and side by side."""

BAR = {"title": {"text": "accuracy (%)", "side": "right"}, "thickness": 12, "outlinewidth": 0}

_STATES = {
    "COMPLETE": ("finished", FINISHED.colour),
    "PRUNED": ("stopped", STOPPED[0]),
    "FAIL": ("diverged, failed or interrupted", DIVERGED.colour),
    "RUNNING": ("running", RUNNING.colour),
}


def section(run: Run) -> Section:
    heading = "Which settings mattered"
    with study.quiet():
        whole = study.whole_trials(run)
        epoch, compared = _comparable(run, whole)
        done = compared.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        items: list[Item] = []
        if why := _untold(done, run.val_images):
            items = [Note(why)]
        else:
            chart, ranked = importance(compared, len(done))
            items = [chart, *_by_setting(compared, ranked, epoch)]
        items += _over_time(run, whole)
    return Section("settings", heading, items, _what_compares(run, epoch, len(done)))


def _comparable(run: Run, whole: optuna.Study) -> tuple[int, optuna.Study]:
    """The accuracies that compare: after the first rung, which nearly all trials reach; without rungs, in the end."""
    if not run.levels:
        return run.horizon, whole
    return run.levels[0], study.at_epoch(run, run.levels[0])


def _untold(done: Sequence[FrozenTrial], images: int) -> str:
    """Why these trials do not tell which settings matter; empty if they do."""
    settings = {name for trial in done for name in trial.params}
    if len(done) < max(FEWEST, len(settings)):
        few = f"{counted(len(done), 'trial')} with a result to compare: too few to tell which settings matter"
        return f"{few} ({counted(max(FEWEST, len(settings)), 'trial')} would do)."
    values = [trial.value for trial in done if trial.value is not None]
    low, high = wilson95(statistics.fmean(values), images)
    # Half of a 95 % interval is two standard deviations of what the choice of the images adds to an accuracy.
    if (spread := statistics.stdev(values)) > (high - low) / 2:
        return ""
    return (
        f"The accuracies of these {counted(len(done), 'trial')} differ by no more than chance: their standard "
        f"deviation is {spread:.2f} points, and one alone, on {images:,} images, is known to within "
        f"{(high - low) / 2:.2f}. So no setting can be said to matter."
    )


def _what_compares(run: Run, epoch: int, count: int) -> str:
    finished = sum(row["status"] == "finished" for row in run.trials)
    if epoch == run.horizon:
        return f"These charts compare the accuracy after the last epoch, which {counted(count, 'trial')} reached."
    return (
        f"These charts compare the accuracy after {counted(epoch, 'epoch')}, at the first rung, which "
        f"{counted(count, 'trial')} reached; only {finished} finished. What matters early need not matter in the end."
    )


def importance(compared: optuna.Study, count: int) -> tuple[Chart, list[str]]:
    """The chart, and the settings from the most important one on."""
    figure = calm(visualization.plot_param_importances(compared, target_name="importance"), "share of importance", "")
    (bars,) = figure.data
    found = dict(zip(bars.y[::-1], bars.x[::-1], strict=True))
    bars.update(marker={"color": FINISHED.colour}, cliponaxis=False)
    figure.update_layout(showlegend=False, margin={"r": 40})
    first, *others = found
    second = f", then {others[0]} ({100 * found[others[0]]:.0f} %)" if others else ""
    says = f"{first} mattered most ({100 * found[first]:.0f} %){second}: PED-ANOVA over {counted(count, 'trial')}."
    table = Table(("setting", "importance"), [(name, f"{100 * value:.1f} %") for name, value in found.items()])
    alt = "A bar a setting, the most important one on top."
    height = 80 + 28 * len(found)
    return Chart("importance", "Importance of each setting", says, alt, figure, height, table=table), list(found)


def _by_setting(compared: optuna.Study, ranked: Sequence[str], epoch: int) -> list[Item]:
    """Parallel coordinates, slices, and a contour of the two most important numbers."""
    target = f"accuracy after {counted(epoch, 'epoch')} (%)"
    done = compared.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    best = max(done, key=lambda trial: trial.value or 0)
    items: list[Item] = [_parallel(compared, ranked[:AXES], best), _slices(compared, ranked[:SLICES], target, done)]
    if pair := _numbers(done, ranked):
        items.append(_contour(compared, pair, target, best))
    return items


def _parallel(compared: optuna.Study, ranked: Sequence[str], best: FrozenTrial) -> Chart:
    figure = calm(visualization.plot_parallel_coordinate(compared, params=[*ranked], target_name="accuracy (%)"))
    lines = sorted((trace for trace in figure.data if trace.mode == "lines"), key=lambda trace: trace.y[0])
    # Optuna's own colours are near white for the worst or the best, and its order leaves the best below others.
    for trace, colour in zip(lines, sample_colorscale(SCALE, [trace.y[0] for trace in lines]), strict=True):
        trace.line.color = colour
    lines[-1].update(line={"color": WINNER, "width": 3}, opacity=1)
    figure.data = [*lines, *(trace for trace in figure.data if trace.mode != "lines")]
    figure.update_traces(
        marker={"colorscale": SCALE, "reversescale": False, "colorbar": BAR}, selector={"mode": "markers"}
    )
    figure.update_annotations(font={"color": None, "size": 11})
    figure.update_layout(plot_bgcolor=None, margin={"l": 60})
    values = ", ".join(f"{name} {setting(best.params[name])}" for name in ranked if name in best.params)
    says = f"Each line is a trial. The best at this point (trial {best.number:04d}, the thick line) has {values}."
    alt = "Parallel axes, the accuracy first and then one a setting, with a line a trial."
    return Chart("parallel", "Settings side by side", says, alt, figure, 440, 94 * (len(ranked) + 1))


def _slices(compared: optuna.Study, names: Sequence[str], target: str, done: Sequence[FrozenTrial]) -> Chart:
    figure = calm(visualization.plot_slice(compared, params=[*names], target_name=target))
    figure.update_traces(
        marker={"color": FINISHED.colour, "showscale": False, "size": 7, "line": {"width": 0}}, opacity=0.7
    )
    for trace in figure.data:  # Optuna writes words as Python does
        trace.x = [value.strip("'") if isinstance(value, str) else value for value in trace.x]
    for axis in figure.select_xaxes(selector={"type": "category"}):
        axis.categoryarray = [str(value).strip("'") for value in axis.categoryarray]
    figure.update_xaxes(dtick=1, selector={"type": "log"})
    alt = f"For each of the {len(names)} most important settings, a point a trial: its value and the accuracy."
    width = 180 * len(names) + 60 if len(names) > 1 else 0
    return Chart("slice", "One setting at a time", _slices_in_words(done, names[0]), alt, figure, 360, width)


def _slices_in_words(done: Sequence[FrozenTrial], name: str) -> str:
    best = sorted((trial for trial in done if name in trial.params), key=lambda trial: -(trial.value or 0))
    values = [trial.params[name] for trial in best]
    top = values[: max(3, len(best) // 10)]
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in top):
        inside = sum(min(top) <= value <= max(top) for value in values)
        if inside > NARROW * len(values):
            return f"The best {len(top)} trials do not agree on {name}: theirs are spread over what was tried."
        between = f"between {setting(min(top))} and {setting(max(top))}"
        return f"The best {len(top)} trials have {name} {between}, where {inside} of all {len(values)} lie."
    common = max(set(top), key=top.count)
    as_all = f"as have {values.count(common)} of all {len(values)}"
    return f"{top.count(common)} of the best {len(top)} trials have {name} {setting(common)}, {as_all}."


def _contour(compared: optuna.Study, pair: list[str], target: str, best: FrozenTrial) -> Chart:
    figure = calm(visualization.plot_contour(compared, params=pair, target_name=target))
    figure.update_traces(colorscale=SCALE, reversescale=False, colorbar=BAR, selector={"type": "contour"})
    points = {"color": "#ffffff", "size": 6, "line": {"color": "#1f2430", "width": 1}}
    figure.update_traces(marker=points, selector={"type": "scatter"})
    figure.update_xaxes(dtick=1, selector={"type": "log"})
    figure.update_yaxes(dtick=1, selector={"type": "log"})
    at = " and ".join(f"{name} {setting(best.params[name])}" for name in pair)
    says = f"The best trial lies at {at}. Between the points the colours are only interpolated."
    alt = f"A map of the accuracy over {pair[0]} and {pair[1]}, with a point a trial."
    return Chart("contour", "Two settings together", says, alt, figure, 460)


def _numbers(done: Sequence[FrozenTrial], ranked: Sequence[str]) -> list[str]:
    """The two most important settings that all trials have and that are numbers of a range; [] if there are none."""

    def fits(name: str) -> bool:
        kinds = [trial.distributions.get(name) for trial in done]
        numbers = all(kind is not None and not isinstance(kind, CategoricalDistribution) for kind in kinds)
        return numbers and len({trial.params[name] for trial in done}) > 2

    found = [name for name in ranked if fits(name)][:2]
    return found if len(found) == 2 else []


def _over_time(run: Run, whole: optuna.Study) -> list[Item]:
    """The history of the best, and who ran when."""
    done = whole.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    items: list[Item] = []
    if done:
        figure = calm(visualization.plot_optimization_history(whole, target_name=run.metric_label), "trial")
        figure.update_traces(marker={"color": FINISHED.colour, "size": 8}, selector={"mode": "markers"})
        figure.update_traces(line={"color": WINNER}, selector={"mode": "lines"})
        names = {run.metric_label: "finished trial", "Best Value": "best so far"}
        figure.for_each_trace(lambda trace: trace.update(name=names.get(trace.name, trace.name)))
        best = max(done, key=lambda trial: trial.value or 0)
        says = f"The best accuracy was found by trial {best.number:04d}, {_share(best.number, len(run.trials))}."
        alt = "A point for each finished trial, in the order of proposal, and a line of the best so far."
        items.append(Chart("history", "The best so far", says, alt, figure, 340))
    if run.epochs:
        items.append(timeline(run, whole))
    return items


def _share(number: int, count: int) -> str:
    return f"{number + 1} of {count} in the order of proposal"


def timeline(run: Run, whole: optuna.Study) -> Chart:
    figure: go.Figure = calm(visualization.plot_timeline(whole), "time of day, reconstructed (UTC)", "trial")
    for trace in figure.data:
        name, colour = _STATES.get(str(trace.name), (str(trace.name), GREY))
        trace.update(name=name, marker={"color": colour}, hovertemplate="%{text}<extra>" + name + "</extra>")
    short = max(span.end for span in schedule.spans(run).values()) < SHORT_S
    figure.update_xaxes(tickformat="%H:%M:%S" if short else "%H:%M")
    figure.update_yaxes(autorange="reversed")
    longest = max(run.trials, key=lambda row: row["wall_s"] or 0)
    says = (
        f"{_side_by_side(run)}Trial {longest['trial_id']} took longest "
        f"({duration(longest['wall_s'] or 0)}). Times are put together from the epochs' durations, without start-up."
    )
    alt = "A bar a trial from its start to its end, by how it ended."
    return Chart("timeline", "Who ran when", says, alt, figure, min(900, 140 + 12 * len(run.trials)))


def _side_by_side(run: Run) -> str:
    """A sentence; empty if it is not known."""
    if (one := schedule.one_at_a_time(run)) is None:
        return ""
    return "One trial ran at a time. " if one else f"{counted(schedule.workers(run), 'trial')} ran side by side. "
