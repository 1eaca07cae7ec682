"""The commands' edges: exit codes, and the options that people rely on."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.commands.asking import HERE, Prepare
from tune import cli, finalize, predict, run

# Exit codes.


def test_work_that_ends_well_is_0(capsys: pytest.CaptureFixture[str]) -> None:
    given: list[list[str]] = []

    def prepare(arguments: list[str]) -> Callable[[], None]:
        given.append(arguments)
        return lambda: print("worked")

    assert cli.run(prepare, ["--x"]) == cli.DONE == 0
    assert given == [["--x"]]
    assert capsys.readouterr() == ("worked\n", "")


def test_without_arguments_a_command_takes_those_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["tune/run.py", "--x", "1"])
    given: list[list[str]] = []

    def prepare(arguments: list[str]) -> Callable[[], None]:
        given.append(arguments)
        return lambda: None

    cli.run(prepare)
    assert given == [["--x", "1"]]


def test_work_that_failed_is_1_and_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> None:
        raise cli.WorkFailed("no trial finished")

    assert cli.run(lambda arguments: work, []) == cli.FAILED == 1
    assert capsys.readouterr().err == "failed: no trial finished\n"


def test_wrong_input_is_2_and_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    def prepare(arguments: list[str]) -> Callable[[], None]:
        raise ValueError("--trials is 0; it must be more.")

    assert cli.run(prepare, []) == cli.WRONG_INPUT == 2
    assert capsys.readouterr().err == "error: --trials is 0; it must be more.\n"


@pytest.mark.parametrize("when", ["prepare", "work"])
def test_an_interruption_is_130_without_a_traceback(when: str, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    def prepare(arguments: list[str]) -> Callable[[], None]:
        if when == "prepare":
            interrupt()
        return interrupt

    assert cli.run(prepare, []) == cli.INTERRUPTED == 130
    assert capsys.readouterr().err == ""


def test_an_error_of_ours_keeps_its_traceback() -> None:
    def work() -> None:
        raise ValueError("a bug, not the user's input")

    with pytest.raises(ValueError, match="a bug"):
        cli.run(lambda arguments: work, [])


# The surface: what scripts and people rely on. To take an option away breaks them; to add one is to add it here.


def options_of(prepare: Prepare, capsys: pytest.CaptureFixture[str]) -> set[str]:
    with pytest.raises(SystemExit) as ended:
        prepare(["--help"])
    assert ended.value.code == 0
    declared = (line for line in capsys.readouterr().out.splitlines() if re.match(r"  -", line))
    return {option for line in declared for option in re.findall(r"(?<![\w-])--?[a-z][a-z-]*", line.split("   ")[0])}


def test_the_options_of_a_search(capsys: pytest.CaptureFixture[str]) -> None:
    assert options_of(run.prepare, capsys) == {
        "-h", "--help",
        "--space", "--trials", "--max-epochs", "--time-budget", "--search", "--scheduler", "--metric", "--seed",
        "--resume", "--warm-start", "--confirm", "--seeds",
        "--data", "--data-dir", "--train-subset", "--val-fraction", "--weights",
        "--gpus-per-trial", "--cpus-per-trial", "--address",
        "--storage", "--name", "--wandb", "--wandb-project", "--dashboard", "--no-dashboard",
        "--dry-run", "--then-finalize",
    }  # fmt: skip


def test_the_options_of_finalize(capsys: pytest.CaptureFixture[str]) -> None:
    assert options_of(finalize.prepare, capsys) == {
        "-h", "--help",
        "--trial", "--epochs", "--seeds", "--train-on", "--tta", "--adapt-batch-norm",
        "--ood-dir", "--ood-only", "--resume", "--overwrite",
        "--data-dir", "--wandb", "--storage",
    }  # fmt: skip


def test_the_options_of_predict(capsys: pytest.CaptureFixture[str]) -> None:
    assert options_of(predict.prepare, capsys) == {
        "-h",
        "--help",
        "--json",
        "--tta",
        "--no-tta",
        "--export",
        "--storage",
    }


@pytest.mark.parametrize("command", ["run", "finalize", "predict"])
def test_help_comes_at_once(command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", f"tune.{command}", "--help"],
        cwd=HERE,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0
    assert done.stdout.startswith(f"usage: python -m tune.{command} ")
    imported = set(re.findall(r"\| +(\S+)$", done.stderr, re.MULTILINE))
    assert "tune.cli" in imported
    # What takes seconds is left until the arguments are known to be right.
    assert not imported & {"torch", "torchvision", "hyperopt", "wandb"}


def test_a_process_ends_with_the_code_and_the_sentence(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tune.run", "--space", str(tmp_path / "nowhere.py")],
        cwd=HERE,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    expected = f"error: The search-space file {tmp_path}/nowhere.py can not be read: No such file or directory.\n"
    assert done.stderr == expected
