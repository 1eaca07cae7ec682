"""A cluster whose trials are kept in an object store: what a lost node had trained goes on elsewhere."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import ROOT
from tests.a_cluster import Cluster
from tests.an_s3 import Bucket
from tests.search.on_a_cluster import Search, trials_of, until
from tune import cli


@pytest.fixture
def cluster(synthetic_root: Path, tmp_path: Path) -> Iterator[Cluster]:
    running = Cluster(cpus=1, hidden=[ROOT / "tune", ROOT / "cifar_models", synthetic_root, tmp_path])
    try:
        running.start(2, Path("/"))
        yield running
    finally:
        running.stop()


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_trial_of_a_lost_node_goes_on_from_the_store(cluster: Cluster, synthetic_root: Path, s3: Bucket) -> None:
    """Two trials, three nodes. The node writes there by itself, once a minute, with the key of its `ray start`."""
    uri = s3.uri("cluster")
    search = Search(cluster, synthetic_root, "kept", "--storage", uri, "--trials", "2", "--max-epochs", "9999")
    until(lambda: {f"kept/checkpoints/000{trial}.pt" for trial in range(2)} <= s3.names("cluster"), within_s=200)
    away = max(trials_of(cluster))
    assert away != "0", "two trials on three nodes"
    cluster.kill_node(int(away))

    def goes_on() -> list[int]:
        """The epochs that were told of the lost trial after its node's death."""
        said = "".join(search.lines)
        found = re.search(r"trial (\d+) failed and is tried once more: its node died", said)
        return (
            []
            if found is None
            else [int(e) for e in re.findall(rf"trial {found[1]} epoch (\d+)/", said[found.end() :])]
        )

    until(lambda: len(goes_on()) >= 2)
    first, second = goes_on()[:2]
    assert first > 1, "it started anew"
    assert second == first + 1
    search.process.send_signal(signal.SIGINT)
    assert search.code() == cli.INTERRUPTED
    assert not search.told("Warning"), "".join(search.lines)
