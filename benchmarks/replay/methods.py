"""Search methods for the simulator: this project's own, and the peers' as their users set them up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import optuna
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher
from ray.tune.search.hyperopt import HyperOptSearch

from benchmarks.peers import plain_optuna, plain_ray_tune
from benchmarks.replay.simulate import Method
from tune.results import Status
from tune.search.asha import Asha, AshaScheduler
from tune.search.proposals import ProposalSearcher, Proposer
from tune.settings import Method as Proposals
from tune.space import SearchSpace
from tune.training.config import TrainConfig

METRIC = "val_acc"

Maker = Callable[[SearchSpace, int, int], Method]
"""Space, horizon and seed -> a method that has not started."""


class RayMethod:
    """A Ray Tune searcher and scheduler, called as Ray Tune's controller calls them."""

    def __init__(self, searcher: Searcher, scheduler: TrialScheduler) -> None:
        self.searcher = searcher
        self.scheduler = scheduler
        scheduler.set_search_properties(METRIC, "max")
        self.trials: dict[str, SimpleNamespace] = {}

    def suggest(self, trial_id: str | None = None) -> tuple[str, TrainConfig] | None:
        if trial_id is None:
            trial_id = f"{len(self.trials):04d}"
        config = self.searcher.suggest(trial_id)
        if config is None or config == Searcher.FINISHED:
            return None
        assert isinstance(config, dict)
        self.trials[trial_id] = SimpleNamespace(trial_id=trial_id, config=config)
        self.scheduler.on_trial_add(None, self.trials[trial_id])
        return trial_id, self.config(config)

    def config(self, values: dict[str, Any]) -> TrainConfig:
        return TrainConfig.from_dict({k: v for k, v in values.items() if k not in ("trial_id", "origin")})

    def report(self, trial_id: str, epoch: int, value: float) -> bool:
        result = {"epoch": epoch, METRIC: value, "diverged": False}
        goes_on: bool = self.scheduler.on_trial_result(None, self.trials[trial_id], result) == TrialScheduler.CONTINUE
        if goes_on:
            self.searcher.on_trial_result(trial_id, result)
        return goes_on

    def ended(self, trial_id: str, epoch: int, value: float, status: Status) -> None:
        result = {"epoch": epoch, METRIC: value, "diverged": status == "diverged"}
        self.scheduler.on_trial_complete(None, self.trials[trial_id], result)
        self.searcher.on_trial_complete(trial_id, result)


def ours(space: SearchSpace, epochs: int, seed: int, proposals: Proposals = "hyperopt") -> RayMethod:
    """This project's search as `tune.run` sets it up."""
    proposer = Proposer(space, epochs=epochs, seed=seed, method=proposals)
    return RayMethod(ProposalSearcher(proposer, METRIC), AshaScheduler(Asha(epochs)))


class Listed(RayMethod):
    """ASHA over given configurations, in their order, regardless of results."""

    def __init__(self, configs: Sequence[TrainConfig], asha: Asha, reference: TrainConfig | None = None) -> None:
        """The `reference` is never stopped, as in a search."""
        super().__init__(_Listing(configs, reference), AshaScheduler(asha))


class _Listing(Searcher):  # type: ignore[misc]  # Ray ships no types for it
    def __init__(self, configs: Sequence[TrainConfig], reference: TrainConfig | None) -> None:
        super().__init__(metric=METRIC, mode="max")
        self.configs = configs
        self.reference = reference

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        if int(trial_id) == len(self.configs):
            return None
        config = self.configs[int(trial_id)]
        origin = "reference" if config == self.reference else "search"
        return {**config.to_dict(), "trial_id": trial_id, "origin": origin}

    def on_trial_complete(self, *_: Any, **__: Any) -> None: ...


def random_whole(space: SearchSpace, epochs: int, seed: int) -> RayMethod:
    """Random search that trains every configuration to the end."""
    proposer = Proposer(space, epochs=epochs, seed=seed, method="random")
    return RayMethod(ProposalSearcher(proposer, METRIC), FIFOScheduler())


class PlainRayTune(RayMethod):
    """HyperOptSearch and ASHAScheduler with their defaults: benchmarks/peers/plain_ray_tune.py."""

    def __init__(self, space: SearchSpace, epochs: int, seed: int) -> None:
        np.random.seed(seed)  # noqa: NPY002  # Ray's ASHA draws brackets from it
        self.fixed = {"model": space.model, "epochs": epochs, "momentum": 0.9}
        first = plain_ray_tune.FIRST if space.points() else None
        searcher = HyperOptSearch(points_to_evaluate=first, random_state_seed=seed)
        searcher.set_search_properties(METRIC, "max", plain_ray_tune.SPACE)
        super().__init__(searcher, ASHAScheduler(time_attr="epoch", max_t=epochs))

    def config(self, values: dict[str, Any]) -> TrainConfig:
        kept = {name: value for name, value in values.items() if name not in ("cosine_warmup", "one_cycle_warmup")}
        if kept["scheduler"] != "step":
            del kept["gamma"]
            kept["warmup"] = values[f"{kept['scheduler']}_warmup"]
        return TrainConfig.from_dict(kept | self.fixed)


class PlainOptuna:
    """TPE and a pruner with their defaults, through ask and tell: benchmarks/peers/plain_optuna.py."""

    def __init__(self, space: SearchSpace, epochs: int, seed: int, pruner: optuna.pruners.BasePruner) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.fixed = {"model": space.model, "epochs": epochs, "momentum": 0.9}
        sampler = optuna.samplers.TPESampler(seed=seed)
        self.study = optuna.create_study(study_name=f"{seed}", sampler=sampler, pruner=pruner, direction="maximize")
        for point in plain_optuna.FIRST if space.points() else []:
            self.study.enqueue_trial(point)
        self.trials: dict[str, optuna.Trial] = {}

    def suggest(self) -> tuple[str, TrainConfig]:
        trial = self.study.ask()
        trial_id = f"{trial.number:04d}"
        self.trials[trial_id] = trial
        return trial_id, TrainConfig.from_dict(plain_optuna.suggest(trial) | self.fixed)

    def report(self, trial_id: str, epoch: int, value: float) -> bool:
        self.trials[trial_id].report(value, epoch)
        return not self.trials[trial_id].should_prune()

    def ended(self, trial_id: str, epoch: int, value: float, status: Status) -> None:
        if status == "stopped":
            self.study.tell(self.trials[trial_id], state=optuna.trial.TrialState.PRUNED)
        else:
            self.trials[trial_id].report(value, epoch)
            self.study.tell(self.trials[trial_id], value)


def optuna_halving(space: SearchSpace, epochs: int, seed: int) -> PlainOptuna:
    return PlainOptuna(space, epochs, seed, optuna.pruners.SuccessiveHalvingPruner())


def optuna_hyperband(space: SearchSpace, epochs: int, seed: int) -> PlainOptuna:
    return PlainOptuna(space, epochs, seed, optuna.pruners.HyperbandPruner(max_resource=epochs))
