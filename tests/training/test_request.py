"""On which seeds a final model is trained."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from tune.training.config import MAX_SEED, TrainConfig
from tune.training.request import Request

FOUND = TrainConfig(model="simple_cnn", lr=0.1, batch_size=8, epochs=5)


def test_the_seeds_follow_the_searchs_own() -> None:
    request = Request(FOUND, "0007", "all", "synthetic", Path("data"), 0.2, 0, None, seeds=3)
    assert [config.seed for config in request.configs()] == [42, 43, 44]
    assert {dataclasses.replace(config, seed=42) for config in request.configs()} == {FOUND}
    last = dataclasses.replace(request, config=dataclasses.replace(FOUND, seed=MAX_SEED))
    assert [config.seed for config in last.configs()] == [MAX_SEED, 0, 1]
