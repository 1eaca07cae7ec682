"""What several rooms' tests share: the real data where it is, an S3 server, a W&B that never answers, one Ray."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.a_deaf_server import DeafServer, deaf
from tests.an_s3 import Bucket, served

# Before anything imports torch or Ray: the tests share two cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112  # else trials would wait for the tests that run beside them
os.environ["WANDB_MODE"] = "offline"
os.environ.pop("WANDB_API_KEY", None)
# For an S3 server of the tests' own; before Ray starts, whose workers inherit them.
for name in [name for name in os.environ if name.startswith("AWS_")]:
    del os.environ[name]
os.environ |= {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_EC2_METADATA_DISABLED": "true"}


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Of the session, not the user's: nothing that was measured before decides."""
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files that start Ray come first: they take the longest, and a long one at the end would run alone."""
    slow = {item.location[0] for item in items if uses_ray(item)}
    items.sort(key=lambda item: item.location[0] not in slow)


def uses_ray(item: pytest.Item) -> bool:
    return "one_ray" in getattr(item, "fixturenames", ()) or item.get_closest_marker("starts_ray") is not None


@pytest.fixture(scope="session")
def cifar100_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A --data-dir with the real CIFAR-100, whose parsed files go to a temporary folder."""
    root = os.environ.get("CIFAR100_ROOT")
    if not root or not (Path(root) / "cifar-100-python" / "train").is_file():
        pytest.skip("the real CIFAR-100 is not here: set CIFAR100_ROOT to a folder that holds cifar-100-python/")
    here = tmp_path_factory.mktemp("cifar100") / "cifar-100-python"
    here.mkdir()
    for name in ("train", "test", "meta"):
        (here / name).symlink_to(Path(root).absolute() / "cifar-100-python" / name)
    return here.parent


@pytest.fixture(scope="session")
def resnet50_weights() -> Path:
    """ImageNet weights of ResNet-50."""
    path = os.environ.get("RESNET50_WEIGHTS")
    if not path or not Path(path).is_file():
        pytest.skip("ResNet-50's weights are not here: set RESNET50_WEIGHTS to a state_dict's file")
    return Path(path)


@pytest.fixture(scope="session")
def synthetic_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A --data-dir for `--data synthetic`, drawn once a session."""
    return tmp_path_factory.mktemp("synthetic")


@pytest.fixture(scope="session")
def s3() -> Iterator[Bucket]:
    """An S3 server with a bucket."""
    with served() as bucket:
        yield bucket


@pytest.fixture
def deaf_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[DeafServer]:
    """W&B's server takes connections, and never answers; and there is a key for it."""
    with deaf() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        yield server


@pytest.fixture(scope="session")
def one_ray() -> Iterator[None]:
    """Ray, started once: `tune.run` uses the one that is there. Two cores and a GPU that exists on paper only."""
    import ray

    ray.init(num_cpus=2, num_gpus=1, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()
