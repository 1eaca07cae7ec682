"""The samplers: HyperOpt and Optuna draw within the space, and Optuna learns."""

from __future__ import annotations

import statistics

import pytest
from ray import tune

from tests.search.proposing import nested, proposed, quality, search, shipped
from tune import domains
from tune.search.proposals import Known, Proposer
from tune.settings import Method
from tune.space import SearchSpace


@pytest.mark.parametrize("method", ["hyperopt", "optuna"])
@pytest.mark.parametrize("name", ["shipped", "nested", "quantised"])
def test_a_sampler_draws_within_the_space_whatever_it_knows(method: Method, name: str) -> None:
    searched = {"shipped": shipped("resnet50"), "nested": nested(), "quantised": quantised()}[name]
    known = search(searched, 30, method=method)
    for item in known:
        domains.locate(searched.parameters, item.config.to_dict())
    assert len({item.config for item in known}) == len(known)


def quantised() -> SearchSpace:
    return SearchSpace(
        model="simple_cnn",
        epochs=3,
        trials=60,
        parameters={
            "lr": tune.qloguniform(0.01, 0.3, 0.01),
            "batch_size": tune.qrandint(16, 128, 16),
            "dropout": tune.quniform(0.0, 0.5, 0.1),
            "freeze_epochs": tune.lograndint(1, 3),
        },
        reference={"lr": 0.05, "batch_size": 64, "dropout": 0.2, "freeze_epochs": 1},
    )


def test_steps_are_kept_by_optuna_too() -> None:
    for item in search(quantised(), 25, method="optuna"):
        assert item.config.batch_size % 16 == 0
        assert item.config.lr * 100 == pytest.approx(round(item.config.lr * 100))
        assert item.config.dropout * 10 == pytest.approx(round(item.config.dropout * 10))


def test_optuna_proposes_better_than_chance() -> None:
    """The mean of the last ten of thirty, over five seeds."""

    def late(method: Method) -> float:
        found = [search(shipped("simple_cnn"), 30, seed=seed, method=method)[20:] for seed in range(5)]
        return statistics.fmean(quality(item.config) for items in found for item in items)

    assert late("optuna") > late("random") + 2


def test_optuna_s_proposal_depends_on_its_arguments_alone() -> None:
    known = search(shipped("simple_cnn"), 14, method="optuna")
    proposer = Proposer(shipped("simple_cnn"), epochs=3, seed=0, method="optuna")
    for number in (13, 11, 12, 11):
        assert proposed(proposer, number, known[:number]) == known[number].config


def test_optuna_is_told_of_what_runs() -> None:
    """The constant liar takes what runs for poor: where that was the best, the next draw is another one."""
    known = search(shipped("simple_cnn"), 14, method="optuna")
    proposer = Proposer(shipped("simple_cnn"), epochs=3, seed=0, method="optuna")
    best = max(range(14), key=lambda number: known[number].score or 0.0)
    running = [*known[:best], Known(known[best].config), *known[best + 1 :]]
    assert proposer.propose(14, running) != proposer.propose(14, known)
