"""docs/reliability.md holds what was measured."""

from __future__ import annotations

import json

from benchmarks import marks
from benchmarks.survival import table
from tests import ROOT


def test_a_search_of_many_trials_leaves_no_more_than_the_bound() -> None:
    disk = json.loads((ROOT / "results" / "survival.json").read_text())["disk"]
    epochs = 2  # of each trial, at most; see `endings.on_disk`
    assert disk["all_mb"] <= disk["trials"] * (table.TRIAL_KB + epochs * table.EPOCH_KB) / 1000
    assert disk["kept_files"] == 1, "one trial at a time ran"
    assert disk["checkpoints"] == 0


def test_the_document_shows_the_figures_that_were_measured() -> None:
    found = json.loads((ROOT / "results" / "survival.json").read_text())
    text = (ROOT / "docs" / "reliability.md").read_text()
    assert marks.begin(table.COMMAND) + table.render(found) + marks.END in text
