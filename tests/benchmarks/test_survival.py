"""docs/reliability.md holds what was measured."""

from __future__ import annotations

import json

from benchmarks import marks
from benchmarks.compare import ROOT
from benchmarks.survival import table


def test_the_document_shows_the_figures_that_were_measured() -> None:
    found = json.loads((ROOT / "results" / "survival.json").read_text())
    text = (ROOT / "docs" / "reliability.md").read_text()
    assert marks.begin(table.COMMAND) + table.render(found) + marks.END in text
