"""A search as an Optuna study, for Optuna's charts and dashboard."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import StorageInternalError
from optuna.trial import TrialState
from sqlalchemy import URL
from sqlalchemy.exc import DBAPIError

from tune.files import Unwritable, atomic_path, short
from tune.reporting.distributions import parameters
from tune.reporting.load import Run
from tune.reporting.schedule import Span, spans
from tune.results import Row

_STATES = {
    "finished": TrialState.COMPLETE,
    "stopped": TrialState.PRUNED,
    "running": TrialState.RUNNING,
    "diverged": TrialState.FAIL,
    "failed": TrialState.FAIL,
    "interrupted": TrialState.FAIL,
}
"""An interrupted trial does not count as running: it continues only with `--resume`."""

_USER_ATTRS = ("trial_id", "status", "origin", "epochs", "wall_s", "error")


def whole_trials(run: Run, storage: Any = None, name: str | None = None) -> optuna.Study:
    """All trials with all their epochs; the value of a finished trial is its last accuracy."""
    value = {row["trial_id"]: row[run.metric] for row in run.trials if row["status"] == "finished"}

    def state(row: Row) -> TrialState:
        known = _STATES.get(row["status"], TrialState.FAIL)
        return TrialState.FAIL if known == TrialState.COMPLETE and value[row["trial_id"]] is None else known

    return _study(run, value, state, storage, name)


def at_epoch(run: Run, epoch: int) -> optuna.Study:
    """All trials, with the accuracy after `epoch` as their value, so that those that reached it are comparable."""
    reached = {row["trial_id"]: row[run.metric] for row in run.epochs if row["epoch"] == epoch}

    def state(row: Row) -> TrialState:
        return TrialState.FAIL if reached.get(row["trial_id"]) is None else TrialState.COMPLETE

    return _study(replace(run, epochs=[]), reached, state)  # no intermediate values: Optuna would copy them often


def _study(
    run: Run,
    value: Mapping[str, float | None],
    state_of: Callable[[Row], TrialState],
    storage: Any = None,
    name: str | None = None,
) -> optuna.Study:
    with quiet():
        study = optuna.create_study(study_name=name or run.name, direction="maximize", storage=storage)
        study.add_trials(_trials(run, value, state_of))
    return study


def _trials(
    run: Run, value: Mapping[str, float | None], state_of: Callable[[Row], TrialState]
) -> list[optuna.trial.FrozenTrial]:
    if not run.trials:
        return []
    distributions, values = parameters(run.trials)
    when, trials = spans(run), []
    for row, params in zip(run.trials, values, strict=True):
        trial_id, state = row["trial_id"], state_of(row)
        known = {epoch["epoch"]: epoch[run.metric] for epoch in run.curves[trial_id]}
        trial = optuna.trial.create_trial(
            state=state,
            value=value[trial_id] if state == TrialState.COMPLETE else None,
            params=params,
            distributions={name: distributions[name] for name in params},
            user_attrs={name: row[name] for name in _USER_ATTRS if row[name] is not None},
            intermediate_values={epoch: accuracy for epoch, accuracy in known.items() if accuracy is not None},
        )
        _date(trial, when[trial_id], _started(run))
        trials.append(trial)
    return trials


def _date(trial: optuna.trial.FrozenTrial, span: Span, started: datetime) -> None:
    trial.datetime_start = started + timedelta(seconds=span.start)
    if trial.state.is_finished():
        trial.datetime_complete = started + timedelta(seconds=span.end)


def _started(run: Run) -> datetime:
    try:
        return datetime.fromisoformat(str(run.about.get("started"))).replace(tzinfo=None)
    except ValueError:
        return datetime(2000, 1, 1)


@contextmanager
def quiet() -> Iterator[None]:
    """Silences Optuna, which otherwise logs a line per trial."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


def write(runs: Mapping[str, Run], path: Path) -> None:
    """Writes an SQLite file for optuna-dashboard, atomically, with one study per run under its label.

    Unwritable if the file cannot be written.
    """
    try:
        with atomic_path(path) as unfinished:
            _write(runs, unfinished)
    except (OSError, DBAPIError, StorageInternalError) as error:
        raise Unwritable(f"{short(path)} cannot be written: {error.__cause__ or error}") from error


def _write(runs: Mapping[str, Run], path: Path) -> None:
    storage = optuna.storages.RDBStorage(URL.create("sqlite", database=str(path)).render_as_string())
    try:
        for label, run in runs.items():
            whole_trials(run, storage, label)
    finally:
        storage.engine.dispose()
