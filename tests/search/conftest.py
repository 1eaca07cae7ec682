"""What the tests of searches share."""

from __future__ import annotations

import pytest

from tune.search import launch


@pytest.fixture
def in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """One trial at a time: in a known order, and in one process, which takes seconds to start."""
    monkeypatch.setattr(launch, "_at_once", lambda share: 1)
