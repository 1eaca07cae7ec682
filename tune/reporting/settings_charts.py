"""Which settings mattered: Optuna's own charts, over trials that compare."""

from __future__ import annotations

from collections.abc import Sequence

import optuna
import plotly.graph_objects as go
from optuna import visualization
from optuna.distributions import CategoricalDistribution
from optuna.trial import TrialState
from plotly.colors import sample_colorscale

from tune.reporting import fates, schedule, study
from tune.reporting.chart import SCALE, Chart, Item, Note, Section, Table, calm
from tune.reporting.fates import DIVERGED, FINISHED, RUNNING, STOPPED, WINNER, counted
from tune.reporting.load import Run

FEWEST = 4
"""Trials with a result below which no setting is said to matter."""

SLICES = 6
"""The most important settings, drawn one by one."""

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
        different = {trial.value for trial in done}
        items: list[Item] = []
        if len(done) >= FEWEST and len(different) > 1:
            importances = optuna.importance.get_param_importances(compared)
            items = [importance(compared, importances, len(done)), *_by_setting(run, compared, list(importances), epoch)]
        else:
            items = [Note(f"{counted(len(done), 'trial')} with a result to compare: too few to tell which settings matter.")]
        items += _over_time(run, whole)
    return Section("settings", heading, items, _what_compares(run, epoch, len(done)))


def _comparable(run: Run, whole: optuna.Study) -> tuple[int, optuna.Study]:
    """The accuracies that compare: after the first rung, which nearly all trials reach; without rungs, in the end."""
    if not run.levels:
        return run.horizon, whole
    return run.levels[0], study.at_epoch(run, run.levels[0])


def _what_compares(run: Run, epoch: int, count: int) -> str:
    finished = sum(row["status"] == "finished" for row in run.trials)
    if epoch == run.horizon:
        return f"Compared is the accuracy after the last epoch, of the {counted(count, 'trial')} that came so far."
    return (
        f"Compared is the accuracy after {fates.epochs(epoch)}, at the first rung, for {counted(count, 'trial')} came so far "
        f"and only {finished} finished, all of them good. What matters early need not matter most in the end."
    )


def importance(compared: optuna.Study, importances: dict[str, float], count: int) -> Chart:
    figure = calm(visualization.plot_param_importances(compared, target_name="importance"), "share of importance", "")
    figure.update_traces(marker_color=FINISHED.colour)
    figure.update_layout(showlegend=False)
    first, *others = importances
    second = f", then {others[0]} ({100 * importances[others[0]]:.0f} %)" if others else ""
    says = f"{first} mattered most ({100 * importances[first]:.0f} %){second}: PED-ANOVA over {counted(count, 'trial')}."
    rows = [(name, f"{100 * value:.1f} %") for name, value in importances.items()]
    return Chart(
        "importance", "Importance of each setting", says, "A bar a setting, the most important one on top.",
        figure, 80 + 28 * len(importances), table=Table(("setting", "importance"), rows),
    )  # fmt: skip


def _by_setting(run: Run, compared: optuna.Study, ranked: Sequence[str], epoch: int) -> list[Item]:
    """Parallel coordinates, slices, and a contour of the two most important numbers."""
    target = f"accuracy after {fates.epochs(epoch)} (%)"
    done = compared.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    best = max(done, key=lambda trial: trial.value or 0)
    items: list[Item] = [_parallel(compared, ranked, done, best)]
    few = list(ranked[:SLICES])
    slices = calm(visualization.plot_slice(compared, params=few, target_name=target))
    slices.update_traces(marker={"colorscale": SCALE, "size": 7, "line": {"width": 0}, "colorbar": {"title": "trial"}})
    items.append(
        Chart(
            "slice", "One setting at a time", _slices_in_words(done, few[0]),
            f"For each of the {len(few)} most important settings, a point a trial: its value and the accuracy.",
            slices, 360, 210 * len(few) + 60,
        )
    )  # fmt: skip
    if pair := _numbers(compared, ranked):
        items.append(_contour(compared, pair, target, best))
    return items


def _parallel(
    compared: optuna.Study,
    ranked: Sequence[str],
    done: Sequence[optuna.trial.FrozenTrial],
    best: optuna.trial.FrozenTrial,
) -> Chart:
    figure = calm(visualization.plot_parallel_coordinate(compared, params=[*ranked], target_name="accuracy (%)"))
    values = [trial.value or 0.0 for trial in done]
    low, high = min(values), max(values)
    # Optuna's own colours are near white for the worst, or for the best; and its order leaves the best below others.
    colours = sample_colorscale(SCALE, [(value - low) / (high - low) for value in values])
    for trace, colour, trial in zip(figure.data, colours, done, strict=False):
        top = trial is best
        trace.update(line={"color": WINNER if top else colour, "width": 3 if top else 1.4}, opacity=1 if top else 0.7)
    figure.update_traces(marker={"colorscale": SCALE, "reversescale": False}, selector={"mode": "markers"})
    figure.update_annotations(font={"color": None, "size": 11})
    figure.update_layout(plot_bgcolor=None, margin={"l": 45, "r": 10, "t": 10, "b": 10})
    values_of_best = ", ".join(f"{name} {_value(best.params.get(name))}" for name in ranked[:3])
    says = f"Each line is a trial. The best at this point (trial {best.number:04d}, the thick line) has {values_of_best}."
    alt = "Parallel axes, the accuracy first and then one a setting, with a line a trial."
    return Chart("parallel", "All settings at once", says, alt, figure, 440, 105 * (len(ranked) + 1))


def _contour(compared: optuna.Study, pair: list[str], target: str, best: optuna.trial.FrozenTrial) -> Chart:
    figure = calm(visualization.plot_contour(compared, params=pair, target_name=target))
    figure.update_traces(colorscale=SCALE, reversescale=False, selector={"type": "contour"})
    figure.update_traces(marker={"color": "#ffffff", "size": 6, "line": {"color": "#1f2430", "width": 1}},
                         selector={"type": "scatter"})  # fmt: skip
    says = f"The best trial lies at {pair[0]} {_value(best.params.get(pair[0]))}, {pair[1]} {_value(best.params.get(pair[1]))}."
    says += " Between the points the colours are only interpolated."
    alt = f"A map of the accuracy over {pair[0]} and {pair[1]}, with a point a trial."
    return Chart("contour", "Two settings together", says, alt, figure, 460)


def _numbers(compared: optuna.Study, ranked: Sequence[str]) -> list[str]:
    """The two most important settings that all trials have and that are numbers of a range; [] if there are none."""
    done = compared.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))

    def fits(name: str) -> bool:
        kinds = [trial.distributions.get(name) for trial in done]
        numbers = all(kind is not None and not isinstance(kind, CategoricalDistribution) for kind in kinds)
        return numbers and len({trial.params[name] for trial in done}) > 2

    found = [name for name in ranked if fits(name)][:2]
    return found if len(found) == 2 else []


def _slices_in_words(done: Sequence[optuna.trial.FrozenTrial], name: str) -> str:
    best = sorted((trial for trial in done if name in trial.params), key=lambda trial: -(trial.value or 0))
    quarter = [trial.params[name] for trial in best[: max(3, len(best) // 4)]]
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in quarter):
        return f"The best quarter of the trials has {name} between {_value(min(quarter))} and {_value(max(quarter))}."
    common = max(set(quarter), key=quarter.count)
    return f"{quarter.count(common)} of the best {len(quarter)} trials have {name} {common}."


def _value(value: object) -> str:
    return "–" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


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
    figure: go.Figure = calm(visualization.plot_timeline(whole), "time since the start, reconstructed (h:min)", "trial")
    for trace in figure.data:
        name, colour = _STATES.get(str(trace.name), (str(trace.name), "#8a9099"))
        trace.update(name=name, marker={"color": colour}, hovertemplate="%{text}<extra>" + name + "</extra>")
    figure.update_xaxes(tickformat="%H:%M")
    figure.update_yaxes(autorange="reversed")
    side_by_side = schedule.workers(run)
    longest = max(run.trials, key=lambda row: row["wall_s"] or 0)
    says = (
        f"{counted(side_by_side, 'trial')} ran side by side; trial {longest['trial_id']} took longest "
        f"({fates.took(longest['wall_s'] or 0)}). Times are put together from the epochs' durations, without start-up."
    )
    alt = "A bar a trial from its start to its end, by how it ended."
    return Chart("timeline", "Who ran when", says, alt, figure, min(900, 140 + 12 * len(run.trials)))
