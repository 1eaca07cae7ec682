"""The searcher: proposals as Ray Tune asks for them."""

from __future__ import annotations

import math
from typing import Any

from ray.tune.search import Searcher

from tests.search.proposing import quality, search, shipped, tiny
from tune.search.proposals import ProposalSearcher, Proposer, score
from tune.space import SearchSpace
from tune.training.config import TrainConfig


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
    assert asked.suggest("ray_3") is None, "one that runs may have to be handed out again"
    for number in range(3):
        asked.on_trial_complete(f"ray_{number}", result(3, 40.0))
    assert asked.suggest("ray_3") == Searcher.FINISHED


def test_no_more_trials_are_handed_out_than_there_are_to_be() -> None:
    proposer = Proposer(shipped("simple_cnn"), epochs=3, seed=0)
    asked = ProposalSearcher(proposer, "val_acc", trials=2)
    assert [isinstance(asked.suggest(name), dict) for name in ("a", "b", "c")] == [True, True, False]
    asked.on_trial_complete("a", result(3, 40.0))
    asked.on_trial_complete("b", result(3, 40.0))
    assert asked.suggest("c") == Searcher.FINISHED


def test_a_trial_that_failed_is_handed_out_once_more_before_anything_new() -> None:
    asked = searcher(shipped("simple_cnn"))
    first = asked.suggest("a")
    asked.suggest("b")
    asked.on_trial_complete("a", error=True)
    assert asked.note_failure("0000", for_memory=False)
    assert not asked.note_failure("0001", for_memory=False)
    assert asked.suggest("c") == first
    assert not asked.note_failure("0000", for_memory=False)
    asked.on_trial_complete("c", result(2, 30.0), error=True)
    assert not asked.note_failure("0000", for_memory=False), "once"
    assert asked.known[0].score is None
    following = asked.suggest("d")
    assert isinstance(following, dict)
    assert following["trial_id"] == "0002"


def test_a_lost_node_is_not_the_trials_failure_until_three_are_lost() -> None:
    asked = searcher(shipped("simple_cnn"))
    for number in range(3):
        asked.suggest(f"a{number}")
        asked.on_trial_complete(f"a{number}", error=True)
        assert asked.note_failure("0000", for_memory=False, node_lost=True)
    asked.suggest("b")
    asked.on_trial_complete("b", error=True)
    assert asked.note_failure("0000", for_memory=False, node_lost=True), "the attempt that any failure has"
    asked.suggest("c")
    asked.on_trial_complete("c", error=True)
    assert not asked.note_failure("0000", for_memory=False, node_lost=True)


def test_the_last_trial_too_is_handed_out_again() -> None:
    asked = searcher(tiny())
    for name in ("a", "b", "c"):
        asked.suggest(name)
    asked.on_trial_complete("a", result(3, 40.0))
    asked.on_trial_complete("b", result(3, 40.0))
    assert asked.suggest("d") is None
    asked.on_trial_complete("c", error=True)
    again = asked.suggest("d")
    assert isinstance(again, dict)
    assert again["trial_id"] == "0002"
    asked.on_trial_complete("d", result(3, 40.0))
    assert asked.suggest("e") == Searcher.FINISHED


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
    asked.suggest("failed again")
    asked.on_trial_complete("failed again", error=True)
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
