"""The second command with seeds and views; and what its model does afterwards, without being asked for them again."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.small_data import small
from tests.test_finalize import finish, searched
from tune import cli, finalize
from tune.results import RunFolder
from tune.training import checkpoint


def about(final: Path) -> dict[str, object]:
    told: dict[str, object] = json.loads(pq.read_schema(final / "ood_predictions.parquet").metadata[b"about"])
    return told


def test_two_seeds_with_views_then_the_challenge_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data_dir = small(tmp_path / "data")
    folder = searched(tmp_path / "results", data_dir)
    places = ["--ood-dir", str(data_dir)]
    assert finish(folder, "--seeds", "2", "--tta", "--epochs", "1", *places) == cli.DONE
    said = capsys.readouterr().out
    assert "1 epoch on 2 seeds" in said
    assert said.index("seed 3, epoch 1:") < said.index("seed 4, epoch 1:") < said.index("Single seeds:")
    assert "Test accuracy of the ensemble of seeds" in said
    metrics = RunFolder(folder.final).read_json("metrics.json")
    assert (metrics["seeds"], metrics["tta"], metrics["test_opened"]) == ([3, 4], True, 1)
    expected = {"seeds": [3, 4], "tta": True, "adapt_batch_norm": False}
    assert about(folder.final) == expected

    submitted = (folder.final / "submission_ood.csv").read_bytes()
    for name in ("submission_ood.csv", "ood_predictions.parquet", "metrics.json"):
        (folder.final / name).unlink()
    assert finish(folder, "--ood-only", *places) == cli.DONE
    assert about(folder.final) == expected, "the model itself knows how it was tested"
    assert (folder.final / "submission_ood.csv").read_bytes() == submitted


def test_an_interruption_of_the_report_is_none_of_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And the same command with --overwrite is another look at the test set."""
    data_dir = small(tmp_path / "data")
    folder = searched(tmp_path / "results", data_dir)
    given = ["--epochs", "1", "--ood-dir", str(data_dir)]

    def interrupted(*given: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(finalize.write, "write_and_announce", interrupted)
        assert finish(folder, *given) == cli.INTERRUPTED
    assert "To resume" not in capsys.readouterr().out, "all is done"
    first = checkpoint.load_model(folder.final / "model.pt").training_id
    assert finish(folder, *given, "--overwrite") == cli.DONE
    assert checkpoint.load_model(folder.final / "model.pt").training_id != first
    assert RunFolder(folder.final).read_json("metrics.json")["test_opened"] == 2
