"""A good search space, and what is said of one that is not."""

from __future__ import annotations

from typing import Any

import pytest
from ray import tune

from tune.space import SearchSpace

GOOD: dict[str, Any] = {
    "model": "simple_cnn",
    "epochs": 3,
    "trials": 4,
    "parameters": {"lr": tune.loguniform(1e-3, 0.3), "batch_size": 64},
    "reference": {"lr": 0.05, "batch_size": 64},
}


def make(**changes: Any) -> SearchSpace:
    return SearchSpace(**GOOD | changes)


def make_with(parameters: dict[Any, Any], reference: dict[Any, Any] | None = None) -> SearchSpace:
    """The good space with more parameters."""
    return make(parameters=GOOD["parameters"] | parameters, reference=GOOD["reference"] | (reference or {}))


def refusal(**changes: Any) -> str:
    """The sentence a space is refused with."""
    with pytest.raises(ValueError, match=r".") as caught:
        make(**changes)
    return str(caught.value)
