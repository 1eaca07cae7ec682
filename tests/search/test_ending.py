"""How a search ends early, and what is said then."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from tests.a_search import settings
from tests.search.a_view import log, text_of
from tune import cli, results
from tune.files import Unwritable
from tune.results import TRIALS, RunFolder, create
from tune.search import ending
from tune.search.history import History
from tune.search.watchdog import RayDied

HINT = "To resume: python -m tune.run --resume one --storage "


def searched(how: BaseException, storage: Path, console: Console) -> None:
    """A search that ends so."""
    folder = create(storage, "one")

    def search(*given: object) -> None:
        folder.write_table("trials.parquet", [], TRIALS)
        for name in ("best.json", "experiment.json"):
            folder.write_json(name, {})
        raise how

    def report(folder: RunFolder, console: Console) -> str:
        assert not results.is_locked(folder), "it would say that the search is still running"
        return "report.html"

    plan: Any = SimpleNamespace(settings=settings())
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ending, "search", search)
        patched.setattr(ending.write, "try_write", report)
        ending.searched(plan, folder, History(), console, results.lock(folder), " --then-finalize")


@pytest.mark.parametrize("how", [RayDied("Ray's raylet has died"), Unwritable("disk full")], ids=repr)
def test_a_search_that_something_ended_is_reported_as_one_that_can_go_on(how: BaseException, tmp_path: Path) -> None:
    console = log(500)
    with pytest.raises(cli.WorkFailed) as caught:
        searched(how, tmp_path, console)
    assert str(caught.value) == f"{how}. {HINT}{tmp_path} --then-finalize"
    assert "Report: report.html" in text_of(console)


def test_so_is_one_that_the_user_ended(tmp_path: Path) -> None:
    console = log(500)
    with pytest.raises(KeyboardInterrupt):
        searched(KeyboardInterrupt(), tmp_path, console)
    assert "Report: report.html" in text_of(console)
    assert f"Interrupted. {HINT}{tmp_path} --then-finalize" in text_of(console)


def test_where_the_output_was_closed_the_other_one_says_how_to_go_on(tmp_path: Path) -> None:
    console = log(500)
    with pytest.raises(cli.WorkFailed, match=f"^the output was closed. {HINT}"):
        searched(SystemExit(1), tmp_path, console)
    assert text_of(console) == ""
