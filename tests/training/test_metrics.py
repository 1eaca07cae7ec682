"""Figures of a finished model, against the formulas in the books."""

from __future__ import annotations

import math

import pytest
import torch

from tune.training.metrics import Predictions, ensemble_mean, over_seeds


def test_over_seeds_is_students_interval() -> None:
    told = over_seeds([60.0, 61.0, 62.5])
    mean, sd = 61.166_667, 1.258_306
    assert told["mean"] == pytest.approx(mean)
    assert told["sd"] == pytest.approx(sd, rel=1e-6)
    half = 4.302_653 * sd / math.sqrt(3)  # t of 2 degrees of freedom, as tables have it
    assert told["interval95"] == pytest.approx([mean - half, mean + half], rel=1e-6)


def test_an_interval_over_seeds_stays_where_values_can_lie() -> None:
    assert over_seeds([99.0, 99.9, 96.0], 100.0)["interval95"] == [pytest.approx(93.2, abs=0.1), 100.0]
    assert over_seeds([0.0, 1.0, 4.0], 100.0)["interval95"] == [0.0, pytest.approx(6.8, abs=0.1)]
    low, high = over_seeds([0.1, 9.0])["interval95"]
    assert low == 0.0
    assert high > 50


def test_the_mean_of_an_ensembles_members_is_of_probabilities() -> None:
    labels = torch.tensor([0, 1])
    one = Predictions(labels, torch.tensor([[0.9, 0.1], [0.6, 0.4]]).log())
    other = Predictions(labels, torch.tensor([[0.2, 0.8], [0.1, 0.9]]).log())
    both = ensemble_mean([one, other])
    assert both.log_probabilities.exp().flatten().tolist() == pytest.approx([0.55, 0.45, 0.35, 0.65])
    assert (one.accuracy, other.accuracy, both.accuracy) == (50.0, 50.0, 100.0)
    assert both.losses.tolist() == pytest.approx([-math.log(0.55), -math.log(0.65)])
    assert ensemble_mean([one]) is one
