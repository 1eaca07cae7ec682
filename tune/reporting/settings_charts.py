"""Which settings mattered: Optuna's charts, over trials with comparable accuracies."""

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
from tune.reporting.chart import GREY, SCALE, Chart, Item, Note, Section, Table, restyle, setting
from tune.reporting.load import Run
from tune.reporting.outcomes import DIVERGED, FINISHED, RUNNING, STOPPED, WINNER
from tune.wording import counted, duration

MIN_TRIALS = 10
"""With fewer results no setting is said to matter. There must also be at least as many results as settings."""

NARROW = 1 / 3
"""The best trials agree on a setting if at most this share of all trials lies within their range."""

SLICES, AXES = 5, 9
"""How many of the most important settings are drawn one at a time, and in parallel coordinates."""

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
        if why := _why_inconclusive(done, run.val_images):
            items = [Note(why)]
        else:
            chart, ranked = importance(compared, len(done))
            items = [chart, *_by_setting(compared, ranked, epoch)]
        items += _over_time(run, whole)
    return Section("settings", heading, items, _what_compares(run, epoch, len(done)))


def _comparable(run: Run, whole: optuna.Study) -> tuple[int, optuna.Study]:
    """Where accuracies are compared: at the first rung, which nearly all trials reach; without rungs, at the end."""
    if not run.levels:
        return run.horizon, whole
    return run.levels[0], study.at_epoch(run, run.levels[0])


def _why_inconclusive(done: Sequence[FrozenTrial], images: int) -> str:
    """Why these trials cannot show which settings matter; empty if they can."""
    settings = {name for trial in done for name in trial.params}
    if len(done) < max(MIN_TRIALS, len(settings)):
        few = f"{counted(len(done), 'comparable result')}: too few to tell which settings matter"
        return f"{few} (it takes {max(MIN_TRIALS, len(settings))})."
    values = [trial.value for trial in done if trial.value is not None]
    low, high = wilson95(statistics.fmean(values), images)
    # Half a 95 % interval is two standard deviations of the sampling error of an accuracy.
    if (spread := statistics.stdev(values)) > (high - low) / 2:
        return ""
    return (
        f"The accuracies of these {counted(len(done), 'trial')} differ no more than by chance: their standard "
        f"deviation is {spread:.2f} points, and the 95 % interval of each, on {images:,} images, is "
        f"±{(high - low) / 2:.2f}. So they cannot show which settings matter."
    )


def _what_compares(run: Run, epoch: int, count: int) -> str:
    finished = sum(row["status"] == "finished" for row in run.trials)
    if epoch == run.horizon:
        return f"These charts compare accuracies after the last epoch, which {counted(count, 'trial')} reached."
    return (
        f"These charts compare accuracies after {counted(epoch, 'epoch')}, at the first rung, which "
        f"{counted(count, 'trial')} reached; only {finished} finished. What matters early may not matter in the end."
    )


def importance(compared: optuna.Study, count: int) -> tuple[Chart, list[str]]:
    """The chart, and the settings, most important first."""
    figure = restyle(
        visualization.plot_param_importances(compared, target_name="importance"), "share of importance", ""
    )
    (bars,) = figure.data
    found = dict(zip(bars.y[::-1], bars.x[::-1], strict=True))
    bars.update(marker={"color": FINISHED.colour}, cliponaxis=False)
    figure.update_layout(showlegend=False, margin={"r": 40})
    first, *others = found
    second = f", then {others[0]} ({100 * found[others[0]]:.0f} %)" if others else ""
    caption = (
        f"{first} mattered most ({100 * found[first]:.0f} %){second}, by PED-ANOVA over {counted(count, 'trial')}."
    )
    table = Table(("setting", "importance"), [(name, f"{100 * value:.1f} %") for name, value in found.items()])
    alt = "One bar per setting, the most important at the top."
    height = 80 + 28 * len(found)
    return Chart("importance", "Importance of each setting", caption, alt, figure, height, table=table), list(found)


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
    figure = restyle(visualization.plot_parallel_coordinate(compared, params=[*ranked], target_name="accuracy (%)"))
    lines = sorted((trace for trace in figure.data if trace.mode == "lines"), key=lambda trace: trace.y[0])
    # Optuna's colours are nearly white at one end, and its drawing order can hide the best trial.
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
    caption = (
        f"Each line is a trial. The best one at this epoch (trial {best.number:04d}, the thick line) has {values}."
    )
    alt = "Parallel axes, first the accuracy and then one per setting, with one line per trial."
    return Chart("parallel", "All settings together", caption, alt, figure, 440, 94 * (len(ranked) + 1))


def _slices(compared: optuna.Study, names: Sequence[str], target: str, done: Sequence[FrozenTrial]) -> Chart:
    figure = restyle(visualization.plot_slice(compared, params=[*names], target_name=target))
    figure.update_traces(
        marker={"color": FINISHED.colour, "showscale": False, "size": 7, "line": {"width": 0}}, opacity=0.7
    )
    for trace in figure.data:  # Optuna puts words in quotes
        trace.x = [value.strip("'") if isinstance(value, str) else value for value in trace.x]
    for axis in figure.select_xaxes(selector={"type": "category"}):
        axis.categoryarray = [str(value).strip("'") for value in axis.categoryarray]
    figure.update_xaxes(dtick=1, selector={"type": "log"})
    alt = f"For each of the {len(names)} most important settings, accuracy against its value, one point per trial."
    width = 180 * len(names) + 60 if len(names) > 1 else 0
    return Chart("slice", "One setting at a time", _slices_in_words(done, names[0]), alt, figure, 360, width)


def _slices_in_words(done: Sequence[FrozenTrial], name: str) -> str:
    best = sorted((trial for trial in done if name in trial.params), key=lambda trial: -(trial.value or 0))
    values = [trial.params[name] for trial in best]
    top = values[: max(3, len(best) // 10)]
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in top):
        inside = sum(min(top) <= value <= max(top) for value in values)
        if inside > NARROW * len(values):
            return f"The best {len(top)} trials do not agree on {name}: their values are spread over the range tried."
        between = f"between {setting(min(top))} and {setting(max(top))}"
        return (
            f"The best {len(top)} trials have {name} {between}; {inside} of all {len(values)} trials lie in that range."
        )
    common = max(set(top), key=top.count)
    as_all = f"compared with {values.count(common)} of all {len(values)}"
    return f"{top.count(common)} of the best {len(top)} trials have {name} {setting(common)}, {as_all}."


def _contour(compared: optuna.Study, pair: list[str], target: str, best: FrozenTrial) -> Chart:
    figure = restyle(visualization.plot_contour(compared, params=pair, target_name=target))
    figure.update_traces(colorscale=SCALE, reversescale=False, colorbar=BAR, selector={"type": "contour"})
    points = {"color": "#ffffff", "size": 6, "line": {"color": "#1f2430", "width": 1}}
    hover = f"{pair[0]} %{{x:.4g}}, {pair[1]} %{{y:.4g}}<extra>a trial</extra>"
    figure.update_traces(marker=points, hovertemplate=hover, selector={"type": "scatter"})
    figure.update_xaxes(dtick=1, selector={"type": "log"})
    figure.update_yaxes(dtick=1, selector={"type": "log"})
    at = " and ".join(f"{name} {setting(best.params[name])}" for name in pair)
    caption = f"The best trial lies at {at}. Colours between the points are interpolated."
    alt = f"A contour map of the accuracy over {pair[0]} and {pair[1]}, with one point per trial."
    return Chart("contour", "The two most important ranges", caption, alt, figure, 460)


def _numbers(done: Sequence[FrozenTrial], ranked: Sequence[str]) -> list[str]:
    """The two most important settings that are numeric ranges in all trials; [] if there are not two."""

    def fits(name: str) -> bool:
        kinds = [trial.distributions.get(name) for trial in done]
        numbers = all(kind is not None and not isinstance(kind, CategoricalDistribution) for kind in kinds)
        return numbers and len({trial.params[name] for trial in done}) > 2

    found = [name for name in ranked if fits(name)][:2]
    return found if len(found) == 2 else []


def _over_time(run: Run, whole: optuna.Study) -> list[Item]:
    """The optimisation history, and the timeline."""
    done = whole.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    items: list[Item] = []
    if done:
        figure = restyle(visualization.plot_optimization_history(whole, target_name=run.metric_label), "trial")
        figure.update_traces(marker={"color": FINISHED.colour, "size": 8}, selector={"mode": "markers"})
        figure.update_traces(line={"color": WINNER}, selector={"mode": "lines"})
        names = {run.metric_label: "finished trial", "Best Value": "best so far"}
        figure.for_each_trace(lambda trace: trace.update(name=names.get(trace.name, trace.name)))
        best = max(done, key=lambda trial: trial.value or 0)
        caption = (
            f"The best accuracy is that of trial {best.number:04d}, proposal {best.number + 1} of {len(run.trials)}."
        )
        alt = "One point per finished trial, in the order of proposal, and a line of the best so far."
        items.append(Chart("history", "Best accuracy so far", caption, alt, figure, 340))
    if run.epochs:
        items.append(timeline(run, whole))
    return items


def timeline(run: Run, whole: optuna.Study) -> Chart:
    figure: go.Figure = restyle(visualization.plot_timeline(whole), "reconstructed time (UTC)", "trial")
    for trace in figure.data:
        name, colour = _STATES.get(str(trace.name), (str(trace.name), GREY))
        trace.update(name=name, marker={"color": colour}, hovertemplate="%{text}<extra>" + name + "</extra>")
    seconds = {"dtickrange": [None, 59_999], "value": "%H:%M:%S"}
    figure.update_xaxes(tickformat="%H:%M", tickformatstops=[seconds])
    figure.update_yaxes(autorange="reversed")
    longest = max(run.trials, key=lambda row: row["wall_s"] or 0)
    caption = (
        f"{_side_by_side(run)}Trial {longest['trial_id']} took longest "
        f"({duration(longest['wall_s'] or 0)}). Times are reconstructed from the durations of epochs, without start-up."
    )
    alt = "One bar per trial from its start to its end, coloured by its outcome."
    return Chart("timeline", "Timeline", caption, alt, figure, min(900, 140 + 12 * len(run.trials)))


def _side_by_side(run: Run) -> str:
    """A sentence on concurrency; empty if it is unknown."""
    if (one := schedule.one_at_a_time(run)) is None:
        return ""
    return "One trial ran at a time. " if one else f"{schedule.workers(run)} trials ran at a time. "
