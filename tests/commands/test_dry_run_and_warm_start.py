"""A dry run and a warm start, as commands: what is told, and that nothing starts that was not asked for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import cifar_models
from tests import ROOT
from tests.an_s3 import Bucket
from tests.commands.asking import Told, only_checked
from tune import cli, remote, run
from tune.results import TRIALS, RunFolder

# A dry run.


def test_a_dry_run_starts_nothing_loads_nothing_and_writes_nothing(space: Path, tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    before = sorted(tmp_path.rglob("*"))
    code = (
        "import sys\n"
        "from tune import cli, run\n"
        "code = cli.run(run.prepare)\n"
        "import ray\n"
        "heavy = {'torch', 'torchvision', 'hyperopt', 'optuna'} & sys.modules.keys()\n"
        "sys.exit(f'{heavy} {ray.is_initialized()}' if heavy or ray.is_initialized() else code)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "--space", str(space), "--dry-run", "--name", "one"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "Warning: data does not hold cifar100 yet; it will be downloaded." in done.stdout
    assert "Trials: 4 " in done.stdout
    assert done.stdout.endswith("Nothing was started. Without --dry-run the search goes to results/one.\n")
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("model", cifar_models.NAMES)
def test_a_dry_run_takes_what_a_search_takes(
    model: str, sound: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shipped = str(ROOT / "search_spaces" / f"{model}.py")
    assert cli.run(run.prepare, [*sound, "--space", shipped, "--dry-run"]) == cli.DONE
    output = capsys.readouterr()
    assert output.err == ""
    assert f"Space: {shipped}, {model}\n" in output.out
    assert "does not hold" not in output.out  # the data are
    assert ("Warning: ResNet-50 at 224 px on" in output.out) == (model == "resnet50")
    assert not (tmp_path / "results").exists()


# A warm start: "one" of the fixture `finished` is the earlier run, and a search "two" begins.


def test_a_warm_start_is_told_and_kept(
    finished: RunFolder, sound: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = finished.read_rows("trials.parquet")
    more = [{"trial_id": "0001", "config.lr": 0.1, "val_acc": 30.0}, {"trial_id": "0002", "config.lr": 0.9}]
    finished.write_table("trials.parquet", [rows[0] | {"val_acc": 20.0} | values for values in ({}, *more)], TRIALS)
    lines = [
        "Warm start: one, its best, trial 0001, runs right after the reference",
        "  It was trained on 40,000 images for 2 epochs, this search on 40,000 for 3: "
        "its accuracies are not comparable, so only its best trial is taken over",
        "  1 of 3 trials do not fit: lr outside log-uniform 0.001 to 0.3 (1)",
    ]
    arguments = [*sound, "--name", "two", "--warm-start", "one", "--max-epochs", "3"]
    finished.write_json("best.json", {"trial_id": "0001"})

    assert cli.run(run.prepare, [*arguments, "--dry-run"]) == cli.DONE
    foretold = capsys.readouterr().out.splitlines()
    assert [line for line in foretold if line in lines] == lines
    assert "Trials: 4 (1 reference, 1 warm start, 2 proposed by hyperopt)" in foretold
    assert not (tmp_path / "results" / "two").exists()

    assert cli.run(only_checked(run.prepare), arguments) == cli.DONE
    assert capsys.readouterr().out.splitlines() == lines
    (kept,) = RunFolder(tmp_path / "results" / "two").read_rows("warm_start.parquet")
    assert (kept["trial_id"], kept["config.epochs"], kept["known"], kept["first"]) == ("0001", 3, False, True)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("experiment.json", '{"settings": {"model": "resnet18"}}', ["experiment.json does not hold data"]),
        ("experiment.json", "{", ["experiment.json is damaged"]),
        ("trials.parquet", "PAR1", ["trials.parquet is damaged"]),
        ("best.json", "[]", ["best.json is damaged"]),
    ],
)
def test_a_warm_start_that_is_damaged_is_told(
    name: str, content: str, words: list[str], finished: RunFolder, sound: list[str], told: Told, tmp_path: Path
) -> None:
    (finished.path / name).write_text(content)
    arguments = [*sound, "--name", "two", "--warm-start", str(finished.path)]
    sentence = told(run.prepare, *arguments)
    for word in words:
        assert word in sentence
    assert told(run.prepare, *arguments, "--dry-run") == sentence
    assert not (tmp_path / "results" / "two").exists()


def test_a_run_in_a_store_is_learnt_from_and_told_of(
    finished: RunFolder, sound: list[str], s3: Bucket, tmp_path: Path, told: Told, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    uri = s3.uri("learnt")
    there = remote.connect(uri)
    for file in finished.path.iterdir():
        there.inside("one").write(file.name, file.read_bytes())
    for warm_start in ("one", remote.join(uri, "one")):
        asked = [*sound, "--storage", uri, "--name", "two", "--warm-start", warm_start]
        assert cli.run(run.prepare, [*asked, "--dry-run"]) == cli.DONE
        foretold = capsys.readouterr().out.splitlines()
        assert any(line.startswith("Warm start: one, ") for line in foretold)
        assert f"Time: unknown, as {uri} holds no run" in "\n".join(foretold)
        assert foretold[-1].endswith(f"the search goes to {remote.join(uri, 'two')}.")
    assert not s3.names("learnt/two")
    assert cli.run(only_checked(run.prepare), asked) == cli.DONE
    assert "Warm start: one" in capsys.readouterr().out
    assert "two?endpoint" in (sentence := told(run.prepare, *asked))
    assert "already exists; give another --name" in sentence
