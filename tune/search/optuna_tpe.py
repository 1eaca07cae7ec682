"""Optuna's TPE: multivariate, with groups for conditional spaces and a constant liar (optuna.samplers.TPESampler).

Each draw uses a new study, so that it depends on the known results alone and a crash loses nothing.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState
from ray.tune.search.sample import Categorical, Domain, Integer

from tune import domains
from tune.search.proposals import Known


class OptunaSampler:
    """Draws points of a space by TPE, or at random while nothing is known."""

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        self._parameters = parameters
        self._trials: dict[Known, optuna.trial.FrozenTrial] = {}

    def draw(self, known: Sequence[Known], seed: int) -> dict[str, Any]:
        """Flat values of one point."""
        before = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        try:
            study = optuna.create_study(direction="maximize", sampler=_sampler(known, seed))
            study.add_trials([self._trial(item) for item in known])
            trial = study.ask()
            return domains.walk(self._parameters, lambda label, parameter: _suggest(trial, label, parameter))
        finally:
            optuna.logging.set_verbosity(before)

    def _trial(self, item: Known) -> optuna.trial.FrozenTrial:
        """A known configuration as an Optuna trial; one without a score counts as running, for the constant liar."""
        if item not in self._trials:
            place = domains.locate(self._parameters, item.config.to_dict())
            distributions: dict[str, BaseDistribution] = {}
            domains.walk(self._parameters, lambda label, parameter: _note(distributions, place, label, parameter))
            self._trials[item] = optuna.trial.create_trial(
                state=TrialState.RUNNING if item.score is None else TrialState.COMPLETE,
                value=item.score,
                params={label: place[label] for label in distributions},
                distributions=distributions,
            )
        return self._trials[item]


def _sampler(known: Sequence[Known], seed: int) -> optuna.samplers.BaseSampler:
    if not known:
        return optuna.samplers.RandomSampler(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.TPESampler(
            n_startup_trials=0, multivariate=True, group=True, constant_liar=True, seed=seed
        )


def _suggest(trial: optuna.Trial, label: str, parameter: Domain) -> Any:
    match _distribution(parameter):
        case CategoricalDistribution(choices=choices):
            return trial.suggest_categorical(label, choices)
        case IntDistribution(low=low, high=high, log=log):
            return domains.quantise(parameter, trial.suggest_int(label, low, high, log=log))
        case FloatDistribution(low=low, high=high, log=log):
            return domains.quantise(parameter, trial.suggest_float(label, low, high, log=log))


def _note(distributions: dict[str, BaseDistribution], place: Mapping[str, Any], label: str, parameter: Domain) -> Any:
    distributions[label] = _distribution(parameter)
    return place[label]


def _distribution(parameter: Domain) -> IntDistribution | FloatDistribution | CategoricalDistribution:
    """The distribution without steps, which Optuna lacks on a logarithmic scale; `_suggest` rounds the draw instead."""
    if isinstance(parameter, Categorical):
        return CategoricalDistribution(range(len(parameter.categories)))
    low, high = domains.extremes(parameter)
    kind = IntDistribution if isinstance(parameter, Integer) else FloatDistribution
    return kind(low, high, log=domains.is_log(parameter))
