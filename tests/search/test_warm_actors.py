"""A trial in an actor that has trained others before: warm, and otherwise as in a fresh one. Real Ray, no Tune."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
from ray import tune

from tune.search.checkpoint_store import FolderStore
from tune.search.devices import Share
from tune.search.trial import Task, Trial
from tune.training import sources
from tune.training.config import TrainConfig

pytestmark = pytest.mark.usefixtures("one_ray")

EPOCHS = 2
TOLD = ("epoch", "train_loss", "train_acc", "val_loss", "val_acc", "lr", "diverged", "steps", "batch_loss")
"""All that a trial reports but what the clock and the machine say."""

# Everything random that there is, dropout's global generator included, and another optimiser's state.
RANDOM = {"augmentation": "randaugment", "random_erasing": 0.3, "mixup": 0.4, "cutmix": 1.0, "dropout": 0.3}
OTHER = {"optimizer": "adamw", "lr": 0.001, "batch_size": 100, "seed": 7, **RANDOM}
CONFIGS = [
    {"model": "resnet18", "lr": 0.02, "batch_size": 50, "freeze_epochs": 1, "image_size": 16},
    {"lr": 0.02, "batch_size": 8, **RANDOM},
]


def told(config: dict[str, Any]) -> dict[str, Any]:
    """A configuration as the searcher hands it to Ray."""
    full = TrainConfig.from_dict({"model": "simple_cnn", "epochs": EPOCHS, **config}).to_dict()
    return {**full, "trial_id": "0000", "origin": "search"}


def trained(actor: Any) -> list[dict[str, Any]]:
    """What a trial reports of its epochs."""
    results = ray.get([actor.train.remote() for _ in range(EPOCHS)])
    return [{name: result[name] for name in TOLD} for result in results]


@pytest.fixture(scope="module")
def task(synthetic_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Task:
    return Task(
        arrow=sources.prepare("synthetic", synthetic_root, "train").absolute(),
        val_fraction=0.01,
        split_seed=0,
        train_subset=100,
        weights=None,
        share=Share(1, 0.0),
        checkpoints=FolderStore(tmp_path_factory.mktemp("checkpoints")),
        checkpoint_every_s=3600.0,
    )


def start(config: dict[str, Any], task: Task) -> Any:
    return ray.remote(num_cpus=1)(tune.with_parameters(Trial, task=task)).remote(told(config))


@pytest.fixture(scope="module")
def used(task: Task) -> Iterator[Any]:
    """An actor that has trained another configuration, and left a second one after an epoch."""
    actor = start(OTHER, task)
    trained(actor)
    assert ray.get(actor.reset.remote(told({**OTHER, "optimizer": "sgd"})))
    ray.get(actor.train.remote())
    yield actor
    ray.kill(actor)


@pytest.mark.parametrize(
    "config",
    [pytest.param(CONFIGS[0], id="resnet18", marks=pytest.mark.slow), pytest.param(CONFIGS[1], id="everything random")],
)
def test_a_used_actor_reports_what_a_fresh_one_does(config: dict[str, Any], used: Any, task: Task) -> None:
    fresh = start(config, task)
    try:
        expected = trained(fresh)
    finally:
        ray.kill(fresh)
    assert [row["epoch"] for row in expected] == [1, 2]
    assert ray.get(used.reset.remote(told(config)))
    assert trained(used) == expected


def test_a_used_actor_opens_the_images_once(used: Any, task: Task) -> None:
    """Its next trial must not find the file again, or read it again."""
    hidden = task.arrow.rename(task.arrow.with_suffix(".hidden"))
    try:
        assert ray.get(used.reset.remote(told(CONFIGS[0])))
        assert ray.get(used.train.remote())["epoch"] == 1
    finally:
        hidden.rename(task.arrow)
