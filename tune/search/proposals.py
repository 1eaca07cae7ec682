"""Which configuration comes next: the reference, the baselines, random starts, then HyperOpt's TPE.

What `Proposer.propose` answers depends on (space, seed, number, what is known) alone, so it can be asked again after
a crash or replayed without training. HyperOpt is called directly rather than through Ray's HyperOptSearch, whose
state can not be rebuilt from results, which draws configurations again, and which loops for ever on the given
points of a conditional space.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import hyperopt
import numpy as np
from hyperopt.base import JOB_STATE_DONE, JOB_STATE_NEW
from hyperopt.fmin import space_eval
from ray.tune.search import Searcher
from ray.tune.search.hyperopt import HyperOptSearch
from ray.tune.search.sample import Domain

from tune import domains
from tune.results import Origin
from tune.settings import Method
from tune.space import SearchSpace
from tune.training.config import TrainConfig

RANDOM_STARTS = 8
"""Random draws before TPE has enough to model. Ray's default of 20 would make most searches purely random."""

ATTEMPTS = 50
"""Draws that may repeat an earlier configuration before the space counts as used up."""


@dataclass(frozen=True)
class Known:
    """A configuration that was proposed, and how it did."""

    config: TrainConfig
    score: float | None = None
    """Larger is better, comparable between trials (see `score`); None: it runs, or it failed for other reasons."""


def score(epoch: int, value: float, diverged: bool) -> float:
    """How good a trial is, for TPE, which only ranks: first how far it was let go, then the metric there.

    An early-stopped trial lost to others at its rung, so it ranks below all that went further; plain last values
    would rank an epoch-1 accuracy against an epoch-50 one.
    """
    return -np.inf if diverged else 1000.0 * epoch + value


class Proposer:
    """Proposes configurations of one space, none of them twice."""

    def __init__(self, space: SearchSpace, *, epochs: int, seed: int, method: Method = "hyperopt") -> None:
        self.space = space
        self.epochs = epochs
        self.seed = seed
        self.method = method
        self.repeats_refused = 0
        self._hyperopt_space = _to_hyperopt(space.parameters)
        self._domain = hyperopt.Domain(lambda sample: sample, self._hyperopt_space)

    def propose(self, number: int, known: Sequence[Known]) -> tuple[Origin, TrainConfig] | None:
        """Configuration `number` (from 0), given all that were proposed before. None: nothing new is left."""
        points = self.space.points()
        taken = {item.config for item in known}
        if number < len(points):
            origin, values = points[number]
            config = self._config(values)
            if config not in taken:
                return origin, config
        random = self.method == "random" or number < len(points) + RANDOM_STARTS
        trials = self._trials([] if random else known)
        for attempt in range(ATTEMPTS):
            config = self._draw(number, attempt, trials)
            if config not in taken:
                return "search", config
            self.repeats_refused += 1
            if attempt == ATTEMPTS // 2:  # TPE insists on what it knows; chance may still find something new
                trials = self._trials([])
        return None

    def _config(self, values: Mapping[str, Any]) -> TrainConfig:
        return self.space.config(values, epochs=self.epochs, seed=self.seed)

    def _draw(self, number: int, attempt: int, trials: hyperopt.Trials) -> TrainConfig:
        """One draw: TPE's where `trials` holds any, else a random one. Its seed depends on its arguments alone."""
        seed = int(np.random.SeedSequence([self.seed, number, attempt]).generate_state(1)[0] % 2**31)
        suggest = hyperopt.tpe.suggest if len(trials.trials) else hyperopt.rand.suggest
        options = {"n_startup_jobs": 0, "verbose": False} if len(trials.trials) else {}
        (document,) = suggest([number], self._domain, trials, seed, **options)
        values = {label: drawn[0] for label, drawn in document["misc"]["vals"].items() if drawn}
        return self._config(domains.flatten(space_eval(self._hyperopt_space, values)))

    def _trials(self, known: Sequence[Known]) -> hyperopt.Trials:
        """What is known, as HyperOpt keeps it; a running configuration counts as a poor one, so TPE looks elsewhere."""
        documents = []
        for tid, item in enumerate(known):
            place = domains.locate(self.space.parameters, item.config.to_dict())
            labels = self._domain.params
            misc = {
                "tid": tid,
                "cmd": self._domain.cmd,
                "workdir": self._domain.workdir,
                "idxs": {label: [tid] if label in place else [] for label in labels},
                "vals": {label: [place[label]] if label in place else [] for label in labels},
            }
            done = item.score is not None
            result = {"status": "ok", "loss": -item.score} if item.score is not None else {"status": "new"}
            documents.append(
                {
                    "tid": tid,
                    "state": JOB_STATE_DONE if done else JOB_STATE_NEW,
                    "spec": None,
                    "result": result,
                    "misc": misc,
                    "exp_key": None,
                    "owner": None,
                    "version": 0,
                    "book_time": None,
                    "refresh_time": None,
                }
            )
        trials = hyperopt.Trials()
        trials.insert_trial_docs(documents)
        trials.refresh()
        return trials


def _to_hyperopt(parameters: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The parameters as HyperOpt expressions, labelled as `domains.locate` labels them."""
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


class ProposalSearcher(Searcher):  # type: ignore[misc]  # Ray ships no types for it
    """Lets Ray Tune ask a `Proposer`. A trial's id is its number; it travels in the trial's config."""

    def __init__(self, proposer: Proposer, metric: str) -> None:
        super().__init__(metric=metric, mode="max")
        self.proposer = proposer
        self.known: dict[str, Known] = {}

    def set_search_properties(self, metric: str | None, mode: str | None, config: dict[str, Any], **spec: Any) -> bool:
        return True  # the proposer has its space already, and Ray asks a second time with no metric

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        number = len(self.known)
        proposal = self.proposer.propose(number, list(self.known.values()))
        if proposal is None:
            finished: str = Searcher.FINISHED
            return finished
        origin, config = proposal
        self.known[trial_id] = Known(config)
        return {**config.to_dict(), "trial_id": f"{number:04d}", "origin": origin}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        if result is not None and not error and "epoch" in result:
            how = score(result["epoch"], result[self.metric], result["diverged"])
            self.known[trial_id] = Known(self.known[trial_id].config, how)

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        pass  # a running trial is not ranked: its metric would be that of an early epoch

    def save(self, checkpoint_path: str) -> None:
        pass  # nothing to keep: what is known lies in trials.parquet

    def restore(self, checkpoint_path: str) -> None:
        raise AssertionError("a search is not restored through Ray's own state")
