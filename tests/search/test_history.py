"""What a search finds when it comes back to its folder."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from tests.a_search import settings
from tests.search.a_killed_search import killed
from tune.results import RunFolder
from tune.search import history
from tune.search.asha import Asha
from tune.search.proposals import Known, score
from tune.training.config import TrainConfig


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return killed(tmp_path)


def test_a_trial_is_known_up_to_a_rung_that_it_is_missing_on(folder: RunFolder) -> None:
    """Trial 2 was seen after three epochs, but its judgement after the second was not in the mirror yet."""
    assert history.load(folder, "val_acc", "abc").known_epochs() == {"0002": 1, "0005": 0}
    everyone = Asha(8, 1)
    for epoch in (1, 2):
        everyone.report("0002", epoch, 30.0)
    folder.write_json("rungs.json", everyone.to_json())
    assert history.load(folder, "val_acc", "abc").known_epochs()["0002"] == 3
    folder.write_json("rungs.json", {})
    assert history.load(folder, "val_acc", "abc").known_epochs()["0002"] == 3, "nobody is stopped"


def test_a_diverged_trial_stands_on_its_rung_though_the_crash_came_between_two_files(folder: RunFolder) -> None:
    rungs = folder.read_json("rungs.json")
    del rungs["rungs"]["1"]["0003"]
    folder.write_json("rungs.json", rungs)
    found = history.load(folder, "val_acc", "abc")
    assert found.asha is not None
    assert found.asha.rungs[1]["0003"] == -math.inf


def test_what_has_ended_stays_and_what_ran_is_run_again(folder: RunFolder) -> None:
    found = history.load(folder, "val_acc", "abc")
    statuses = {trial_id: item["status"] for trial_id, item in found.trials.items()}
    assert statuses == {
        "0000": "finished", "0001": "stopped", "0002": "interrupted",
        "0003": "diverged", "0005": "interrupted", "0006": "failed",
    }  # fmt: skip
    assert sorted(found.unfinished) == [2, 5]
    assert {number: item.score for number, item in found.known.items()} == {
        0: score(8, 40.0, False), 1: score(1, 10.0, False), 2: None, 3: -math.inf, 5: None, 6: None,
    }  # fmt: skip
    assert found.known[1] == Known(TrainConfig(model="simple_cnn", lr=0.2, batch_size=64, epochs=8), 1010.0)
    assert found.asha is not None
    assert found.asha.rungs[1] == {"0000": 20.0, "0001": 10.0, "0002": 30.0, "0003": -math.inf}
    assert (found.about["started"], found.about["spent_s"]) == ("then", 5.0)


def test_a_search_without_asha_comes_back_without(folder: RunFolder) -> None:
    folder.write_json("rungs.json", {})
    assert history.load(folder, "val_acc", "abc").asha is None


def test_other_images_are_refused(folder: RunFolder) -> None:
    with pytest.raises(ValueError, match="different images"):
        history.load(folder, "val_acc", "xyz")


def test_other_weights_are_refused(folder: RunFolder) -> None:
    with pytest.raises(ValueError, match="started with different weights"):
        history.load(folder, "val_acc", "abc", "0123")
    folder.write_json("experiment.json", folder.read_json("experiment.json") | {"weights_sha256": "0123"})
    history.load(folder, "val_acc", "abc", "0123")
    with pytest.raises(ValueError, match="started with different weights"):
        history.load(folder, "val_acc", "abc", "4567")


@pytest.mark.parametrize("name", ["experiment.json", "rungs.json", "trials.parquet", "epochs.parquet"])
@pytest.mark.parametrize("content", [None, b"", b"{", b"PAR1"])
def test_a_damaged_folder_is_told(folder: RunFolder, name: str, content: bytes | None) -> None:
    path = folder.path / name
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=name.replace(".", r"\.")):
        history.load(folder, "val_acc", "abc")


def test_a_file_that_cannot_be_opened_is_told(folder: RunFolder) -> None:
    (folder.path / "rungs.json").unlink()
    (folder.path / "rungs.json").mkdir()
    with pytest.raises(ValueError, match=r"rungs\.json cannot be read: Is a directory"):
        history.load(folder, "val_acc", "abc")


def test_a_search_knows_when_it_has_nothing_to_do(folder: RunFolder) -> None:
    found = history.load(folder, "val_acc", "abc")
    assert "All 4 trials have ended" in history.nothing_to_do(found, settings(trials=4))
    assert history.nothing_to_do(found, settings(trials=5)) == ""
    assert "time budget of 5 s is used up" in history.nothing_to_do(found, settings(trials=9, time_budget_s=5.0))
    assert history.nothing_to_do(found, settings(trials=9, time_budget_s=6.0)) == ""
