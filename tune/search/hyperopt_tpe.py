"""HyperOpt's TPE (Bergstra et al. 2011), as a pure function of the known results.

HyperOpt is called directly, not through Ray's HyperOptSearch. That cannot rebuild its state from results, draws
configurations repeatedly, and loops forever on the given points of a conditional space.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import hyperopt
from hyperopt.base import JOB_STATE_DONE, JOB_STATE_NEW
from ray.tune.search.hyperopt import HyperOptSearch
from ray.tune.search.sample import Domain

from tune import domains
from tune.search.proposals import Known
from tune.training.config import TrainConfig


class HyperOptSampler:
    """Draws points of a space by TPE, or at random while nothing is known."""

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        self._parameters = parameters
        self._domain = hyperopt.Domain(lambda sample: sample, _to_hyperopt(parameters))
        self._places: dict[TrainConfig, dict[str, Any]] = {}

    def draw(self, known: Sequence[Known], seed: int) -> dict[str, Any]:
        """Flat values of one point."""
        if known:
            (document,) = hyperopt.tpe.suggest(
                [len(known)], self._domain, self._trials(known), seed, n_startup_jobs=0, verbose=False
            )
        else:
            (document,) = hyperopt.rand.suggest([0], self._domain, hyperopt.Trials(), seed)
        values = {label: drawn[0] for label, drawn in document["misc"]["vals"].items() if drawn}
        # HyperOpt's quantised values may exceed the upper bound by a rounding error, or by one step.
        return domains.walk(self._parameters, lambda label, parameter: domains.quantise(parameter, values[label]))

    def _trials(self, known: Sequence[Known]) -> hyperopt.Trials:
        """The known results in HyperOpt's format. A running configuration counts as poor, so TPE looks elsewhere."""
        documents = [self._document(tid, item) for tid, item in enumerate(known)]
        trials = hyperopt.Trials()
        trials.insert_trial_docs(documents)
        trials.refresh()
        return trials

    def _document(self, tid: int, item: Known) -> dict[str, Any]:
        if item.config not in self._places:
            self._places[item.config] = domains.locate(self._parameters, item.config.to_dict())
        place = self._places[item.config]
        labels = self._domain.params
        done = item.score is not None
        return {
            "tid": tid,
            "state": JOB_STATE_DONE if done else JOB_STATE_NEW,
            "spec": None,
            "result": {"status": "ok", "loss": -item.score} if item.score is not None else {"status": "new"},
            "misc": {
                "tid": tid,
                "cmd": self._domain.cmd,
                "workdir": self._domain.workdir,
                "idxs": {label: [tid] if label in place else [] for label in labels},
                "vals": {label: [place[label]] if label in place else [] for label in labels},
            },
            "exp_key": None,
            "owner": None,
            "version": 0,
            "book_time": None,
            "refresh_time": None,
        }


def _to_hyperopt(parameters: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The parameters as HyperOpt expressions, with the labels of `domains.locate`."""
    space: dict[str, Any] = {}
    for name, parameter in parameters.items():
        label = prefix + name
        if domains.is_conditional(parameter):
            branches = [_to_hyperopt(item, f"{label}/{i}/") for i, item in enumerate(parameter.categories)]
            space[name] = hyperopt.hp.choice(label, branches)
        elif isinstance(parameter, Domain):
            space[name] = HyperOptSearch.convert_search_space({label: parameter})[label]
        else:
            space[name] = parameter
    return space
