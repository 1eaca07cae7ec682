"""Spaces to propose from, and a made-up search in them, for the tests of proposals."""

from __future__ import annotations

import functools
import math

from ray import tune

from tests import ROOT
from tune import space
from tune.search.proposals import RANDOM_STARTS, Known, Proposer, score
from tune.settings import Method
from tune.space import SearchSpace
from tune.training.config import TrainConfig

SPACES = ROOT / "search_spaces"
FIRST_TPE = 2 + RANDOM_STARTS
"""Number of the first configuration that depends on results, where a reference and one baseline come first."""


@functools.cache
def shipped(model: str) -> SearchSpace:
    return space.load(SPACES / f"{model}.py")[0]


def nested() -> SearchSpace:
    """A conditional in a conditional, and branches that share a key."""
    warm = tune.choice([{"warmup": 0.0}, {"warmup": tune.uniform(0.1, 0.5), "mixup": tune.choice([0.1, 0.2])}])
    return SearchSpace(
        model="simple_cnn",
        epochs=3,
        trials=60,
        parameters={
            "lr": tune.loguniform(1e-3, 0.3),
            "batch_size": tune.choice([32, 64]),
            "schedule": tune.choice(
                [
                    {"scheduler": "step", "gamma": tune.uniform(0.5, 0.9)},
                    {"scheduler": "cosine", "start": warm},
                    {"scheduler": "step", "gamma": 0.99},
                ]
            ),
            "freeze_epochs": tune.randint(0, 3),
        },
        reference={"lr": 0.05, "batch_size": 64, "scheduler": "cosine", "warmup": 0.0, "freeze_epochs": 0},
        baselines=[{"lr": 0.1, "batch_size": 32, "scheduler": "step", "gamma": 0.99, "freeze_epochs": 2}],
    )


def tiny() -> SearchSpace:
    """Three configurations and no more."""
    return SearchSpace(
        model="simple_cnn",
        epochs=3,
        trials=10,
        parameters={"lr": 0.05, "batch_size": tune.choice([32, 64, 128])},
        reference={"lr": 0.05, "batch_size": 64},
    )


def quality(config: TrainConfig) -> float:
    """A made-up accuracy with its best at lr 0.05, batch 128, one-cycle, crop and flip, no dropout."""
    return (
        50
        - 8 * abs(math.log10(config.lr / 0.05))
        - 3 * (config.augmentation != "crop_flip")
        - 2 * (config.scheduler != "one_cycle")
        - 4 * config.dropout
        - 0.01 * abs(config.batch_size - 128)
    )


def proposed(proposer: Proposer, number: int, known: list[Known]) -> TrainConfig:
    """What it proposes where the space is not used up."""
    proposal = proposer.propose(number, known)
    assert proposal is not None
    return proposal[1]


def search(searched: SearchSpace, number: int, *, seed: int = 0, method: Method = "hyperopt") -> list[Known]:
    """A search, one configuration after the other, judged by `quality`."""
    proposer = Proposer(searched, epochs=3, seed=seed, method=method)
    known: list[Known] = []
    for n in range(number):
        proposal = proposer.propose(n, known)
        if proposal is None:
            break
        known.append(Known(proposal[1], score(3, quality(proposal[1]), diverged=False)))
    return known
