"""What a study takes the parameters' spaces to be."""

from __future__ import annotations

from typing import Any

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from tune.reporting.distributions import distribution, parameters
from tune.reporting.load import load
from tune.results import RunFolder


def test_a_conditional_parameter_is_there_only_where_it_means_something(big: RunFolder) -> None:
    run = load(big)
    found, values = parameters(run.trials)
    for row, own in zip(run.trials, values, strict=True):
        assert ("gamma" in own) == (row["config.scheduler"] == "step")
        assert ("warmup" in own) == (row["config.scheduler"] != "step")
    assert isinstance(found["lr"], FloatDistribution)
    assert found["lr"].log
    assert found["scheduler"] == CategoricalDistribution(("cosine", "one_cycle", "step"))
    assert found["batch_size"] == CategoricalDistribution((8, 32, 64, 128, 256))
    assert found["dropout"] == FloatDistribution(0.0, max(row["config.dropout"] for row in run.trials))
    assert "momentum" not in found, "it is the same in every trial"


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.1], FloatDistribution(0.1, 0.1)),
        ([1, 2, 3], IntDistribution(1, 3)),
        ([1, 100, 7], IntDistribution(1, 100, log=True)),
        ([True, False], CategoricalDistribution((False, True))),
        ([0.0, 0.2] * 3, CategoricalDistribution((0.0, 0.2))),
    ],
)
def test_a_distribution_is_what_the_values_look_like(values: list[Any], expected: Any) -> None:
    assert distribution(values) == expected
