"""Proposals: in the order that was promised, within the space, never twice, and better than chance."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import os
import random
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ray import tune
from ray.tune.search import Searcher

from cifar_models import NAMES
from tune import domains, space
from tune.search.proposals import RANDOM_STARTS, HeadStart, Known, ProposalSearcher, Proposer, score
from tune.settings import Method
from tune.space import SearchSpace
from tune.training.config import TrainConfig

SPACES = Path(__file__).parent.parent.parent / "search_spaces"
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


def test_the_reference_comes_first_then_the_baseline_then_the_search() -> None:
    searched = shipped("simple_cnn")
    proposer = Proposer(searched, epochs=3, seed=0)
    known: list[Known] = []
    origins = []
    for number in range(FIRST_TPE + 2):
        proposal = proposer.propose(number, known)
        assert proposal is not None
        origins.append(proposal[0])
        known.append(Known(proposal[1], 1.0))
    assert origins == ["reference", "baseline"] + ["search"] * RANDOM_STARTS + ["search"] * 2
    assert known[0].config == searched.config(searched.reference, epochs=3, seed=0)
    assert known[1].config == searched.config(searched.baselines[0], epochs=3, seed=0)


def test_proposals_carry_the_horizon_and_the_seed_of_the_search() -> None:
    proposer = Proposer(shipped("simple_cnn"), epochs=7, seed=5)
    for number in (0, 1, 2, 11):
        proposal = proposer.propose(number, [])
        assert proposal is not None
        assert (proposal[1].model, proposal[1].epochs, proposal[1].seed) == ("simple_cnn", 7, 5)


def test_a_proposal_depends_on_its_arguments_alone() -> None:
    known = search(shipped("simple_cnn"), 16)
    proposer = Proposer(shipped("simple_cnn"), epochs=3, seed=0)
    numbers = list(range(16))
    random.Random(0).shuffle(numbers)
    # One proposer asked in any order, and asked again, answers as the one that went through the search did.
    for number in [*numbers, *numbers[:4]]:
        proposal = proposer.propose(number, known[:number])
        assert proposal is not None
        assert proposal[1] == known[number].config


def test_another_process_proposes_the_same() -> None:
    program = """
import json, sys
from pathlib import Path
from tune import space
from tune.search.proposals import Known, Proposer
searched, _ = space.load(Path(sys.argv[1]))
proposer, known = Proposer(searched, epochs=3, seed=0), []
for number in range(14):
    known.append(Known(proposer.propose(number, known)[1], float(number % 5)))
print(json.dumps([item.config.to_dict() for item in known]))
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(SPACES / "resnet50.py")],
        env=os.environ | {"PYTHONHASHSEED": "12345"},
        capture_output=True,
        text=True,
        check=True,
    )
    proposer = Proposer(shipped("resnet50"), epochs=3, seed=0)
    known: list[Known] = []
    for number in range(14):
        proposal = proposer.propose(number, known)
        assert proposal is not None
        known.append(Known(proposal[1], float(number % 5)))
    assert json.loads(done.stdout) == [item.config.to_dict() for item in known]


def test_another_seed_searches_elsewhere() -> None:
    first, second = search(shipped("simple_cnn"), 14, seed=0), search(shipped("simple_cnn"), 14, seed=1)
    assert not {item.config.lr for item in first[2:]} & {item.config.lr for item in second[2:]}


def test_random_starts_do_not_depend_on_results_and_tpe_does() -> None:
    known = search(shipped("simple_cnn"), 40)
    proposer = Proposer(shipped("simple_cnn"), epochs=3, seed=0)
    # The other way round, still running, or with results of trials that came later.
    reversed_scores = [Known(item.config, -(item.score or 0)) for item in known]
    running = [Known(item.config) for item in known]
    for number in range(FIRST_TPE):
        for others in (reversed_scores[:number], running[:number], known[:number] + known[20:]):
            proposal = proposer.propose(number, others)
            assert proposal is not None
            assert proposal[1] == known[number].config
    proposal = proposer.propose(39, reversed_scores[:39])
    assert proposal is not None
    assert proposal[1] != known[39].config


@pytest.mark.parametrize("method", ["hyperopt", "random"])
@pytest.mark.parametrize("model", [*NAMES, "nested"])
def test_60_proposals_lie_in_the_space_and_none_comes_twice(model: str, method: Method) -> None:
    searched = nested() if model == "nested" else shipped(model)
    known = search(searched, 60, method=method)
    assert len({item.config for item in known}) == 60
    for item in known:
        domains.locate(searched.parameters, item.config.to_dict())
    if model == "nested":  # every branch has its turn
        places = [domains.locate(searched.parameters, item.config.to_dict()) for item in known]
        assert {place["schedule"] for place in places} == {0, 1, 2}
        assert {place.get("schedule/1/start") for place in places} == {None, 0, 1}


@pytest.mark.parametrize(
    ("name", "parameter", "value", "drawn"),
    [
        ("batch_size", tune.qrandint(8, 64, 8), 8, {8, 64}),
        ("batch_size", tune.qlograndint(8, 64, 8), 8, {8, 64}),
        ("gamma", tune.quniform(0.1, 0.3, 0.1), 0.1, {0.1, 0.1 * 3}),  # 0.30000000000000004
    ],
)
def test_a_quantised_range_is_searched_to_its_ends(name: str, parameter: Any, value: Any, drawn: set[Any]) -> None:
    searched = SearchSpace(
        model="simple_cnn",
        epochs=3,
        trials=60,
        parameters={"lr": tune.loguniform(1e-3, 0.3), "batch_size": 64} | {name: parameter},
        reference={"lr": 0.05, "batch_size": 64} | {name: value},
    )
    known = search(searched, 60)
    for item in known:
        domains.locate(searched.parameters, item.config.to_dict())
    assert drawn <= {getattr(item.config, name) for item in known}


def test_random_does_not_learn() -> None:
    known = search(shipped("simple_cnn"), 30, method="random")
    proposer = Proposer(shipped("simple_cnn"), epochs=3, seed=0, method="random")
    worst_best = [Known(item.config, -(item.score or 0)) for item in known]
    proposal = proposer.propose(29, worst_best[:29])
    assert proposal is not None
    assert proposal[1] == known[29].config


@pytest.mark.parametrize("method", ["hyperopt", "random"])
def test_a_space_of_three_ends_after_three(method: Method) -> None:
    known = search(tiny(), 10, method=method)
    assert sorted(item.config.batch_size for item in known) == [32, 64, 128]
    proposer = Proposer(tiny(), epochs=3, seed=0, method=method)
    assert proposer.propose(3, known) is None
    assert proposer.propose(50, known) is None
    assert proposer.used_up
    assert proposer.repeats_refused == 0, "nothing came in place of those repeats"


def test_a_space_of_one_is_the_reference() -> None:
    only = SearchSpace(
        model="simple_cnn",
        epochs=3,
        trials=4,
        parameters={"lr": 0.05, "batch_size": 64},
        reference={"lr": 0.05, "batch_size": 64},
    )
    assert len(search(only, 4)) == 1


def test_a_baseline_that_repeats_the_reference_makes_room_for_the_search() -> None:
    point = {"lr": 0.05, "batch_size": 64}
    parameters = {"lr": tune.loguniform(1e-3, 0.3), "batch_size": 64}
    searched = SearchSpace(
        model="simple_cnn", epochs=3, trials=4, parameters=parameters, reference=point, baselines=[point]
    )
    proposer = Proposer(searched, epochs=3, seed=0)
    first = proposer.propose(0, [])
    assert first is not None
    second = proposer.propose(1, [Known(first[1])])
    assert second is not None
    assert second[0] == "search"
    assert second[1] != first[1]


def test_tpe_learns() -> None:
    def late(seed: int, method: Method) -> float:
        known = search(shipped("simple_cnn"), 60, seed=seed, method=method)
        return statistics.mean(quality(item.config) for item in known[40:])

    # Seen over six seeds: 2.4 to 5.0 points better than chance, 3.5 on average.
    gains = [late(seed, "hyperopt") - late(seed, "random") for seed in range(3)]
    assert min(gains) > 1
    assert statistics.mean(gains) > 2.5


@pytest.mark.parametrize(
    "scores",
    [
        [None] * 30,  # all run, or failed
        [-math.inf] * 30,  # all diverged
        [None, -math.inf] * 15,
        [-math.inf] * 29 + [1020.0],
        [1020.0] * 30,  # all the same
        [None if n % 3 == 0 else -math.inf if n % 3 == 1 else 1000.0 + n for n in range(30)],
    ],
)
def test_diverged_running_and_failed_trials_do_not_break_tpe(scores: list[float | None]) -> None:
    configs = [item.config for item in search(shipped("simple_cnn"), 30, method="random")]
    known = [Known(config, how) for config, how in zip(configs, scores, strict=True)]
    proposer = Proposer(shipped("simple_cnn"), epochs=3, seed=0)
    for number in range(30, 33):
        proposal = proposer.propose(number, known)
        assert proposal is not None
        domains.locate(shipped("simple_cnn").parameters, proposal[1].to_dict())
        assert proposal[1] not in configs


def test_tpe_keeps_away_from_where_trials_diverge() -> None:
    configs = [item.config for item in search(shipped("simple_cnn"), 30, method="random")]
    known = [Known(config, score(1, 0.0, config.lr > 0.02)) for config in configs]
    proposer = Proposer(shipped("simple_cnn"), epochs=3, seed=0)
    rates = []
    for number in range(30, 50):
        proposal = proposer.propose(number, known)
        assert proposal is not None
        rates.append(proposal[1].lr)
    by_chance = sum(config.lr > 0.02 for config in configs) / len(configs)
    assert sum(rate > 0.02 for rate in rates) / len(rates) < by_chance / 2


def test_the_score_ranks_by_how_far_a_trial_was_let_go_then_by_its_metric() -> None:
    best_first = [
        score(50, 70.0, diverged=False),
        score(50, 69.9, diverged=False),
        score(10, 99.0, diverged=False),
        score(1, 0.0, diverged=False),
        score(49, 0.0, diverged=True),
    ]
    assert best_first == sorted(best_first, reverse=True)
    assert len(set(best_first)) == len(best_first)
    assert score(1, 0.0, diverged=True) == score(50, 0.0, diverged=True) == -math.inf


# With a head start.


@functools.cache
def head_start(seed: int = 0) -> HeadStart:
    """What a random search of 40 leaves to one with this seed, as `warm_start` would hand it over."""
    known = search(shipped("simple_cnn"), 40, seed=7, method="random")
    ours = [Known(dataclasses.replace(item.config, seed=seed), item.score) for item in known]
    return HeadStart(tuple(ours), max(ours[2:], key=lambda item: item.score or 0).config)


def first_draws(start: HeadStart, number: int, *, seed: int = 0, method: Method = "hyperopt") -> list[Known]:
    """The first draws of a search, one after the other, without the points before them."""
    proposer = Proposer(shipped("simple_cnn"), epochs=3, seed=seed, method=method, head_start=start)
    known: list[Known] = []
    points = 2 if start.first is None else 3
    for n in range(points + number):
        proposal = proposer.propose(n, known)
        assert proposal is not None
        known.append(Known(proposal[1], score(3, quality(proposal[1]), diverged=False)))
    return known[points:]


def test_the_best_of_a_head_start_runs_after_the_reference() -> None:
    proposer = Proposer(shipped("simple_cnn"), epochs=3, seed=0, head_start=head_start())
    known: list[Known] = []
    origins = []
    for number in range(4):
        proposal = proposer.propose(number, known)
        assert proposal is not None
        origins.append(proposal[0])
        known.append(Known(proposal[1]))
    assert origins == ["reference", "warm_start", "baseline", "search"]
    plain = Proposer(shipped("simple_cnn"), epochs=3, seed=0)
    assert [item.config for item in known[:3]] == [
        plain.propose(0, [])[1],  # type: ignore[index]
        head_start().first,
        plain.propose(1, [])[1],  # type: ignore[index]
    ], "though the head start knows all three"


@pytest.mark.parametrize("method", ["hyperopt", "optuna"])
def test_a_head_start_improves_the_first_draws(method: Method) -> None:
    def mean(start: HeadStart, seed: int) -> float:
        return statistics.mean(quality(item.config) for item in first_draws(start, 6, seed=seed, method=method))

    # Seen over ten seeds: 3.1 (HyperOpt) and 5.0 points (Optuna); 0.1 for random search, which does not learn.
    gains = [mean(head_start(seed), seed) - mean(HeadStart(), seed) for seed in range(5)]
    assert statistics.mean(gains) > 1.5


@pytest.mark.parametrize(("method", "learns"), [("hyperopt", True), ("optuna", True), ("random", False)])
def test_the_first_draw_follows_the_earlier_scores_and_nothing_else(method: Method, learns: bool) -> None:
    start = head_start()
    wrong = HeadStart(tuple(Known(item.config, -(item.score or 0)) for item in start.known), start.first)
    one, same, other = (
        Proposer(shipped("simple_cnn"), epochs=3, seed=0, method=method, head_start=given).propose(3, [])
        for given in (start, start, wrong)
    )
    assert one is not None
    assert one == same
    assert (one != other) == learns


@pytest.mark.parametrize("method", ["hyperopt", "optuna", "random"])
def test_what_is_known_from_a_head_start_is_not_proposed_again(method: Method) -> None:
    # The same seed: chance would draw the very same configurations as the earlier search.
    earlier = [item.config for item in search(shipped("simple_cnn"), 12, method=method)]
    start = HeadStart(tuple(Known(config, 1.0) for config in earlier))
    again = [item.config for item in first_draws(start, 10, method=method)]
    assert not set(again) & set(earlier)
    assert [item.config for item in first_draws(HeadStart(), 4, method=method)] == earlier[2:6], "they would have been"


def test_a_space_that_a_head_start_knows_whole_has_its_points_alone() -> None:
    known = search(tiny(), 3)
    start = HeadStart(tuple(known), next(item.config for item in known if item.config.batch_size == 128))
    proposer = Proposer(tiny(), epochs=3, seed=0, head_start=start)
    assert proposer.propose(0, []) == ("reference", known[0].config)
    assert proposer.propose(1, known[:1]) == ("warm_start", start.first)
    assert proposer.propose(2, [known[0], Known(start.first)]) is None  # type: ignore[arg-type]


def test_a_short_head_start_takes_the_place_of_as_many_random_starts() -> None:
    start = HeadStart(head_start().known[:3])
    by_chance = Proposer(shipped("simple_cnn"), epochs=3, seed=0)
    proposer = Proposer(shipped("simple_cnn"), epochs=3, seed=0, head_start=start)
    known = search(shipped("simple_cnn"), FIRST_TPE)
    same = [
        proposer.propose(number, known[:number]) == by_chance.propose(number, known[:number])
        for number in range(2, FIRST_TPE)
    ]
    assert same == [True] * (RANDOM_STARTS - 3) + [False] * 3


def test_an_earlier_score_stands_until_the_trial_has_its_own() -> None:
    start, number = head_start(), 5
    asked = Proposer(shipped("simple_cnn"), epochs=3, seed=0, head_start=start)
    reference = start.known[0]
    nothing, runs = asked.propose(number, []), asked.propose(number, [Known(reference.config)])
    again = asked.propose(number, [reference])
    worse = asked.propose(number, [Known(reference.config, -math.inf)])
    assert nothing == runs == again != worse


# What Ray Tune asks.


def searcher(searched: SearchSpace) -> ProposalSearcher:
    return ProposalSearcher(Proposer(searched, epochs=3, seed=0), "val_acc")


def result(epoch: int, val_acc: float, diverged: bool = False) -> dict[str, Any]:
    return {"epoch": epoch, "val_acc": val_acc, "diverged": diverged}


def test_suggestions_are_numbered_and_hold_a_whole_configuration() -> None:
    asked = searcher(shipped("simple_cnn"))
    suggestions = [asked.suggest(f"ray_{n}") for n in range(4)]
    ids, origins = [], []
    for suggestion in suggestions:
        assert isinstance(suggestion, dict)
        ids.append(suggestion.pop("trial_id"))
        origins.append(suggestion.pop("origin"))
        TrainConfig.from_dict(suggestion)
    assert ids == ["0000", "0001", "0002", "0003"]
    assert origins == ["reference", "baseline", "search", "search"]


def test_the_searcher_says_when_there_is_nothing_left() -> None:
    asked = searcher(tiny())
    assert all(isinstance(asked.suggest(f"ray_{n}"), dict) for n in range(3))
    assert asked.suggest("ray_3") == Searcher.FINISHED


def test_what_a_trial_reached_becomes_its_score() -> None:
    asked = searcher(shipped("simple_cnn"))
    for name in ("finished", "stopped", "diverged", "failed", "never_reported"):
        asked.suggest(name)
    asked.on_trial_result("finished", result(1, 90.0))
    assert asked.known[0].score is None  # a running trial is not ranked
    asked.on_trial_complete("finished", result(3, 40.0))
    asked.on_trial_complete("stopped", result(1, 45.0))
    asked.on_trial_complete("diverged", result(2, 0.0, diverged=True))
    asked.on_trial_complete("failed", result(2, 50.0), error=True)
    asked.on_trial_complete("never_reported", {"trial_id": "x"})
    assert {number: item.score for number, item in asked.known.items()} == {
        0: score(3, 40.0, diverged=False),
        1: score(1, 45.0, diverged=False),
        2: -math.inf,
        3: None,
        4: None,
    }


def test_the_searcher_proposes_what_the_proposer_would() -> None:
    asked = searcher(shipped("simple_cnn"))
    known = search(shipped("simple_cnn"), 14)
    for number, item in enumerate(known):
        suggestion = asked.suggest(f"ray_{number}")
        assert isinstance(suggestion, dict)
        assert suggestion == item.config.to_dict() | {"trial_id": f"{number:04d}", "origin": suggestion["origin"]}
        asked.on_trial_complete(f"ray_{number}", result(3, quality(item.config)))


def test_ray_may_set_the_metric_again_without_taking_the_space_away() -> None:
    asked = searcher(shipped("simple_cnn"))
    assert asked.set_search_properties(None, "max", {})
    assert asked.metric == "val_acc"


# The samplers.


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
        proposal = proposer.propose(number, known[:number])
        assert proposal is not None
        assert proposal[1] == known[number].config


def test_optuna_is_told_of_what_runs() -> None:
    """The constant liar: a running configuration changes the next draw."""
    known = search(shipped("simple_cnn"), 14, method="optuna")
    proposer = Proposer(shipped("simple_cnn"), epochs=3, seed=0, method="optuna")
    running = [*known[:-1], Known(known[-1].config)]
    assert proposer.propose(14, running) != proposer.propose(14, known)
