"""What the tests of commands share."""

from __future__ import annotations

from collections.abc import Callable

from tune.training.config import TrainConfig

CONFIG = TrainConfig(model="simple_cnn", lr=0.05, batch_size=64, epochs=2)
SPACE = """
from ray import tune
from tune.space import SearchSpace

SPACE = SearchSpace(
    model="simple_cnn", epochs=2, trials=4, cpus_per_trial=1,
    parameters={"lr": tune.loguniform(1e-3, 0.3), "batch_size": 64},
    reference={"lr": 0.05, "batch_size": 64},
)
"""

Prepare = Callable[[list[str]], Callable[[], None]]
Told = Callable[..., str]


def only_checked(prepare: Prepare) -> Prepare:
    """The command without its work: what should have been refused and is not must not start Ray."""

    def checked(arguments: list[str]) -> Callable[[], None]:
        prepare(arguments)
        return lambda: None

    return checked
