"""One command from the space to the submission: real Ray, real trials, and the ways in which it ends early."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.commands.asking import SPACE
from tests.small_data import small
from tests.test_finalize import searched
from tune import cli, final_checks, run
from tune.results import RunFolder
from tune.training import checkpoint


@pytest.mark.usefixtures("one_ray")
def test_a_search_then_its_final_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(final_checks, "FINAL_EPOCHS", 2)
    data_dir, storage = small(tmp_path / "data"), tmp_path / "results"
    (tmp_path / "space.py").write_text(SPACE)
    given = ["--space", str(tmp_path / "space.py"), "--data", "synthetic", "--data-dir", str(data_dir), "--name", "one"]
    given += ["--storage", str(storage), "--trials", "1", "--max-epochs", "1", "--train-subset", "200"]
    given += ["--val-fraction", "0.1", "--gpus-per-trial", "0", "--wandb", "disabled", "--no-dashboard"]

    save = checkpoint.save

    def interrupted(path: Path, state: dict[str, object]) -> None:
        save(path, state)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(checkpoint, "save", interrupted)
        assert cli.run(run.prepare, [*given, "--then-finalize"]) == cli.INTERRUPTED
    folder = RunFolder(storage / "one")
    said = capsys.readouterr().out
    assert said.index("Best: trial 0000") < said.index("Final model of one: trial 0000")
    assert f"To resume: python -m tune.finalize {folder.path} --resume" in said
    assert folder.read_json("experiment.json")["ended"]

    assert cli.run(run.prepare, ["--resume", str(folder.path), "--then-finalize"]) == cli.WRONG_INPUT
    told = capsys.readouterr().err
    assert f"{folder.final} already exists; omit --then-finalize" in told
    assert f"`python -m tune.finalize {folder.path} --resume`" in told
    (folder.final / "checkpoint.pt").unlink()
    (folder.final / "epochs.parquet").unlink()
    assert cli.run(run.prepare, ["--resume", str(folder.path), "--then-finalize"]) == cli.DONE
    assert RunFolder(folder.final).read_json("metrics.json")["epochs"] == 2
    assert (folder.final / "submission_ood.csv").is_file()


def test_a_search_whose_final_model_cannot_be_made_has_failed(tmp_path: Path) -> None:
    folder = searched(tmp_path, small(tmp_path / "data"))
    folder.write_json("best.json", {})
    with pytest.raises(cli.WorkFailed, match=r"the search is complete, but .* No trial of run has a result"):
        run._then_finalize(lambda: None, lambda: None, folder)


def test_an_interrupted_search_is_not_finished(tmp_path: Path) -> None:
    folder = searched(tmp_path, small(tmp_path / "data"))

    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run._then_finalize(interrupted, lambda: None, folder)
    assert not folder.final.exists()


def test_an_interruption_after_the_search_names_what_is_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = searched(tmp_path, small(tmp_path / "data"))

    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run._then_finalize(lambda: None, interrupted, folder)
    assert f"Interrupted. To resume: python -m tune.finalize run --storage {tmp_path}" in capsys.readouterr().out


PREPARED = """
import sys, torch
from tune import run
torch.set_num_threads(2)
run.prepare(sys.argv[1:])
from tune.training import host
with host.at_full_speed():
    print((torch.full((1 << 22,), 2e-38) / 4 > 0).sum().item())
"""


@pytest.mark.slow
def test_what_follows_a_search_trains_at_full_speed_on_every_thread(tmp_path: Path) -> None:
    """Subnormal numbers are zero on the threads, too, that the search's data have started before."""
    (tmp_path / "space.py").write_text(SPACE)
    given = ["--space", str(tmp_path / "space.py"), "--data", "synthetic", "--data-dir", str(small(tmp_path / "data"))]
    given += ["--storage", str(tmp_path / "results"), "--name", "one", "--gpus-per-trial", "0", "--then-finalize"]
    done = subprocess.run([sys.executable, "-c", PREPARED, *given], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "0"
