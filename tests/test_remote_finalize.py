"""A final training whose run lies in an object store: interrupted on one machine, ended on another. No Ray."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from tests.an_s3 import Bucket
from tests.small_data import small
from tests.test_finalize import searched
from tune import cli, finalize, storage
from tune.search.mirror import mirrored
from tune.training import checkpoint


def test_a_final_training_goes_from_machine_to_machine(
    s3: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    uri, data_dir = s3.uri("trained"), small(tmp_path / "data")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "searched"))
    made = storage.resolve(uri).create("run")
    for file in searched(tmp_path / "local", data_dir).path.iterdir():
        file.rename(made.path / file.name)
    with mirrored(made, Console()):
        pass

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "first"))
    save = checkpoint.save

    def interrupted(path: Path, state: dict[str, Any]) -> None:
        save(path, state)
        if path.name == "checkpoint.pt":
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(checkpoint, "save", interrupted)
        given = ["--storage", uri, "--epochs", "2", "--ood-dir", str(data_dir)]
        assert cli.run(finalize.prepare, given) == cli.INTERRUPTED
    assert {"run/final/checkpoint.pt", "run/final/epochs.parquet"} <= s3.names("trained")
    _, _, to_resume = capsys.readouterr().out.partition("Interrupted. To resume: python -m tune.finalize ")
    again = shlex.split(to_resume)
    assert again == [uri.replace("trained", "trained/run"), "--ood-dir", str(data_dir), "--resume"]

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "second"))
    assert cli.run(finalize.prepare, [*again, "--wandb", "offline"]) == cli.DONE
    assert any(name.startswith("run/wandb/offline-run-") and name.endswith(".wandb") for name in s3.names("trained"))
    said = capsys.readouterr().out
    assert "epoch 1:" not in said
    assert f"Model: s3://bucket/trained/run/final/model.pt?endpoint_override={s3.endpoint}" in said
    finals = {name.removeprefix("run/final/") for name in s3.names("trained") if "final/" in name}
    assert finals == {
        "epochs.parquet", "metrics.json", "model.pt", "submission_ood.csv", "test_looks.json",
        "test_predictions.parquet", "ood_predictions.parquet", "wandb.json",
    }  # fmt: skip

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "first"))
    assert cli.run(finalize.prepare, again) == cli.WRONG_INPUT
    assert "holds no checkpoint to resume from" in capsys.readouterr().err, "it was ended elsewhere"
