"""A bar in a terminal, plain lines elsewhere."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from tune import progress


def test_a_terminal_shows_how_far_it_is_and_how_fast() -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=100)
    with progress.shown("OOD", "images", console) as work:
        for _ in range(4):
            work.advance(250, 1000)
        work.say("file 1 [done]")
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.getvalue())
    assert re.search(r"OOD ━+ 1000/1000 [\d,]+ images/s \d:\d\d:\d\d", shown)
    assert "file 1 [done]" in shown
    assert screen.getvalue().count("\x1b[?25l") == screen.getvalue().count("\x1b[?25h"), "the cursor is back"


def test_epochs_that_were_trained_before_tell_nothing_of_the_speed() -> None:
    screen = io.StringIO()
    with progress.shown("training", "epochs", Console(file=screen, force_terminal=True, width=100)) as work:
        work.reached(40, 50, "900 images/s")
        (task,) = work.bar.tasks
        assert (task.completed, task.total) == (40, 50)
        assert task.speed is None or task.speed < 1e6, "one epoch, not forty, since it began"
        work.reached(41, 50, "901 images/s")
    assert "41/50 901 images/s" in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.getvalue())


def test_a_pipe_gets_a_plain_line_now_and_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (tmp_path / "out").open("w") as file, progress.shown("OOD", "images", Console(file=file)) as work:
        work.advance(250, 1000)  # too soon to say anything
        monkeypatch.setattr(progress, "LINE_EVERY_S", 0.0)
        work.advance(250, 1000)
        work.reached(501, 1000, "5 images/s")
    (line,) = (tmp_path / "out").read_text().splitlines()
    assert re.fullmatch(r"OOD: 500 of 1,000 images, [\d,]+ images/s", line)
