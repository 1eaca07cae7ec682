"""What a user is told who asked for a final training that cannot be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from tests.commands.asking import CONFIG, Told, only_checked
from tune import cli, finalize
from tune.results import EPOCHS, RunFolder
from tune.training import looks, ood
from tune.training.final_folder import FinalFolder

# A final training.


def finalize_sound(finished: RunFolder) -> list[str]:
    return ["--storage", str(finished.path.parent)]


def test_finalize_accepts_a_finished_run(finished: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    for run_name in ([], ["one"], [str(finished.path)]):
        assert cli.run(only_checked(finalize.prepare), [*run_name, *finalize_sound(finished)]) == cli.DONE
    assert capsys.readouterr().err == ""


def test_finalize_without_any_run_says_how_to_start_one(told: Told) -> None:
    assert "There is no run in results; start one with `python -m tune.run" in told(finalize.prepare)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["two"], ["There is no run 'two'"]),
        (["s3://me:hunter2@bucket/runs/one"], ["holds credentials", "in the environment"]),
        (["one", "two"], ["unrecognized arguments: two"]),
        (["--trial", "7"], ["one has no trial 7", "0000"]),
        (["--trial", "best"], ["one has no trial best"]),
        (["--trial", ""], ["one has no trial ", "0000"]),
        (["--trial"], ["--trial", "expected one argument"]),
        (["--epochs", "0"], ["--epochs", "0 is less than 1"]),
        (["--epochs", "x"], ["--epochs", "'x'"]),
        (["--epochs", "1.5"], ["--epochs", "'1.5'"]),
        (["--epochs", "10001"], ["--epochs", "more than 10000"]),
        (["--train-on", "val"], ["--train-on", "all", "train"]),
        (["--train_on", "all"], ["--train_on"]),
        (["--over"], ["--over"]),
        (["--seeds", "0"], ["--seeds", "0 is less than 1"]),
        (["--seeds", "11"], ["--seeds", "more than 10"]),
        (["--adapt-batch-norm"], ["simple_cnn has no batch normalisation", "omit --adapt-batch-norm"]),
        (["--ood-only", "--seeds", "2"], ["--ood-only", "no options for the training"]),
        (["--resume", "--overwrite"], ["--resume", "--overwrite", "one of them"]),
        (["--resume"], ["no checkpoint", "omit --resume"]),
        (["--ood-only"], ["model.pt is not there", "without --ood-only first"]),
        (["--ood-dir", "broken"], ["distortion00.npy", "cannot be read"]),
        (["--data-dir", "empty"], ["could not be fetched", "cifar-100-python lacks files"]),
    ],
)
def test_a_wrong_option_of_finalize_is_named(
    options: list[str], words: list[str], finished: RunFolder, told: Told, tmp_path: Path
) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "distortion00.npy").write_text("nothing")
    sentence = told(finalize.prepare, *finalize_sound(finished), *options)
    for word in words:
        assert word in sentence
    assert not finished.final.exists()


def test_a_final_model_is_not_overwritten_unasked(finished: RunFolder, told: Told) -> None:
    finished.final.mkdir()
    (finished.final / "model.pt").write_bytes(b"model")
    assert "--overwrite replaces it, --ood-only only predicts." in told(finalize.prepare, *finalize_sound(finished))
    (finished.final / "checkpoint.pt").write_bytes(b"checkpoint")
    assert "--resume continues it." in told(finalize.prepare, *finalize_sound(finished))
    assert (finished.final / "model.pt").read_bytes() == b"model"


def test_the_count_of_looks_alone_is_no_final_model(finished: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    finished.final.mkdir()
    (finished.final / looks.NAME).write_text('{"looks": []}')
    assert cli.run(only_checked(finalize.prepare), finalize_sound(finished)) == cli.DONE, capsys.readouterr().err


@pytest.mark.parametrize("content", [b"", b"model", b"PK"])
def test_a_damaged_model_does_not_predict(content: bytes, finished: RunFolder, told: Told, tmp_path: Path) -> None:
    finished.final.mkdir()
    (finished.final / "model.pt").write_bytes(content)
    (tmp_path / "ood").mkdir()
    for name in ood.NAMES:
        np.save(tmp_path / "ood" / f"{name}.npy", np.zeros((5, 32, 32, 3), np.uint8))
    sentence = told(finalize.prepare, *finalize_sound(finished), "--ood-only", "--ood-dir", str(tmp_path / "ood"))
    assert "final/model.pt cannot be used; --overwrite trains a new one." in sentence


def test_a_checkpoint_of_something_else_is_not_gone_on_from(finished: RunFolder, told: Told) -> None:
    finished.final.mkdir()
    torch.save({"a": 1}, finished.final / "checkpoint.pt")
    arguments = [*finalize_sound(finished), "--resume"]
    assert "final holds no epochs.parquet" in told(finalize.prepare, *arguments)
    RunFolder(finished.final).write_table("epochs.parquet", [], EPOCHS)
    assert "checkpoint.pt is not a checkpoint of this version; --overwrite" in told(finalize.prepare, *arguments)


def test_a_checkpoint_of_the_version_before_is_not_gone_on_from(finished: RunFolder, told: Told) -> None:
    finished.final.mkdir()
    request = {"trial_id": "0000", "train_on": "all", "config": CONFIG.to_dict()}
    torch.save({"request": request, "training": {"epoch": 1}}, finished.final / "checkpoint.pt")
    RunFolder(finished.final).write_table("epochs.parquet", [], EPOCHS)
    sentence = told(finalize.prepare, *finalize_sound(finished), "--resume")
    assert "checkpoint.pt is not a checkpoint of this version; --overwrite" in sentence


def test_a_final_folder_that_is_a_file_is_told(finished: RunFolder, told: Told) -> None:
    finished.final.write_text("")
    for more in ([], ["--overwrite"]):
        assert "final cannot be written to (Not a directory)" in told(
            finalize.prepare, *finalize_sound(finished), *more
        )


def test_ood_files_that_cannot_be_had_are_named_where_nothing_else_was_asked_for(
    finished: RunFolder, told: Told, tmp_path: Path
) -> None:
    finished.final.mkdir()
    (finished.final / "model.pt").write_bytes(b"model")
    sentence = told(finalize.prepare, *finalize_sound(finished), "--ood-only", "--ood-dir", str(tmp_path / "ood"))
    assert f"Out-of-distribution files are missing in {tmp_path}/ood: all 19" in sentence
    assert "--ood-dir" in sentence


def test_finalize_without_ood_files_says_so_and_does_the_rest(
    finished: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(only_checked(finalize.prepare), finalize_sound(finished)) == cli.DONE
    said = capsys.readouterr()
    assert said.err == ""
    assert "No OOD predictions: " in said.out
    assert f"`python -m tune.finalize {finished.path} --ood-only` predicts them later." in said.out


def test_finalize_of_a_search_without_a_result(finished: RunFolder, told: Told) -> None:
    finished.write_json("best.json", {})
    assert "No trial of one has a result" in told(finalize.prepare, *finalize_sound(finished))


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("experiment.json", "{", ["experiment.json is damaged"]),
        ("experiment.json", "[]", ["experiment.json is damaged"]),
        ("experiment.json", '{"settings": {"space": "mine.py"}}', ["another version"]),
        ("experiment.json", "{}", ["experiment.json is damaged", "another version"]),
        ("experiment.json", '{"settings": null}', ["experiment.json is damaged", "another version"]),
        ("best.json", "", ["best.json is damaged"]),
        ("best.json", '{"trial_id": null, "config": {"model": null}}', ["best.json of one is damaged", "--trial"]),
        ("final/test_looks.json", "{}", ["test_looks.json is damaged"]),
        ("best.json", '{"a": 1}', ["best.json of one is damaged", "--trial"]),
        ("best.json", '{"trial_id": "0000"}', ["best.json of one is damaged", "--trial"]),
        ("best.json", '{"trial_id": "0000", "config": null}', ["best.json of one is damaged", "--trial"]),
    ],
)
def test_finalize_of_a_damaged_run(name: str, content: str, words: list[str], finished: RunFolder, told: Told) -> None:
    (finished.path / name).parent.mkdir(exist_ok=True)
    (finished.path / name).write_text(content)
    sentence = told(finalize.prepare, *finalize_sound(finished))
    for word in words:
        assert word in sentence


@pytest.mark.parametrize("name", ["best.json", "trials.parquet"])
def test_finalize_of_a_run_that_lacks_a_file(name: str, finished: RunFolder, told: Told) -> None:
    (finished.path / name).unlink()
    which = ["--trial", "0"] if name == "trials.parquet" else []
    assert f"holds no {name}" in told(finalize.prepare, *finalize_sound(finished), *which)


def test_finalize_of_another_versions_trials(finished: RunFolder, told: Told) -> None:
    pq.write_table(pa.table({"trial_id": ["0000"]}), finished.path / "trials.parquet")
    sentence = told(finalize.prepare, *finalize_sound(finished), "--trial", "0")
    assert "trials.parquet was written by another version" in sentence


def test_another_versions_trials_do_not_matter_to_the_best_one(
    finished: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    pq.write_table(pa.table({"a": [1]}), finished.path / "trials.parquet")
    assert cli.run(only_checked(finalize.prepare), finalize_sound(finished)) == cli.DONE, capsys.readouterr().err


def test_what_continues_it_depends_on_how_far_it_came(finished: RunFolder) -> None:
    final, given = FinalFolder(finished, torch.device("cpu")), ["one", "--tta", "--ood-dir", "d"]
    finished.final.mkdir()
    assert finalize.how_to_continue(final, given).endswith(" tune.finalize one --tta --ood-dir d")
    final.model.touch()
    assert finalize.how_to_continue(final, given).endswith(f" {finished.path} --ood-dir d --ood-only --tta")
    final.checkpoint.touch()
    assert finalize.how_to_continue(final, given).endswith(f" {finished.path} --ood-dir d --resume")
