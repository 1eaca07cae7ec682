"""How a command ends: its exit code, and what it says."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import ROOT
from tune import cli


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


def test_sigterm_interrupts_unless_it_was_ignored() -> None:
    def terminated() -> None:
        signal.raise_signal(signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    assert cli.run(lambda arguments: terminated, []) == cli.INTERRUPTED
    assert signal.getsignal(signal.SIGTERM) == before
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        assert cli.run(lambda arguments: terminated, []) == cli.DONE
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize("flush", [True, False])  # in the work, or with what is left in the buffer
def test_a_reader_that_has_gone_ends_it_without_a_word(flush: bool) -> None:
    code = f"import sys; from tune import cli; sys.exit(cli.run(lambda a: lambda: print('x', flush={flush}), []))"
    own = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}  # so that something is left
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=own
    ) as gone:
        assert gone.stdout is not None
        assert gone.stderr is not None
        gone.stdout.close()
        assert gone.stderr.read() == b""
    assert gone.returncode == cli.FAILED


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no full device")
def test_output_that_does_not_fit_is_a_failure_with_a_sentence() -> None:
    code = "import sys; from tune import cli; sys.exit(cli.run(lambda a: lambda: print('x'), []))"
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, "-c", code], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.stderr == "failed: No space left on device; free some space, and start it again.\n"
    assert done.returncode == cli.FAILED


def test_an_error_of_ours_keeps_its_traceback() -> None:
    def work() -> None:
        raise ValueError("a bug, not the user's input")

    with pytest.raises(ValueError, match="a bug"):
        cli.run(lambda arguments: work, [])


@pytest.mark.parametrize("command", ["run", "finalize", "report", "predict"])
def test_help_comes_at_once(command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", f"tune.{command}", "--help"],
        cwd=ROOT,
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
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    expected = f"error: The search-space file {tmp_path}/nowhere.py cannot be read: No such file or directory.\n"
    assert done.stderr == expected
