"""What a search says of Ray's dashboard before Ray starts."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from tests.a_search import settings
from tests.search.a_view import log, text_of
from tune.search import session


def test_where_the_dashboards_packages_are_nothing_is_said() -> None:
    console = log()
    assert session._has_dashboard(console)
    assert text_of(console) == ""


def test_without_its_packages_a_sentence_says_how_to_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray's own check, on a Python that cannot import them."""
    monkeypatch.setitem(sys.modules, "ray.dashboard.optional_deps", None)
    console = log()
    assert not session._has_dashboard(console)
    (line,) = text_of(console).splitlines()
    assert line.startswith("No Ray dashboard, as packages are missing (")
    assert line.endswith("`pip install 'ray[default]'` installs them.")


def test_the_dashboards_address_is_one_line_however_narrow_the_terminal() -> None:
    console = log(40)
    session._tell_dashboard(settings(dashboard=True), SimpleNamespace(dashboard_url="127.0.0.1:8265"), console)
    assert text_of(console) == "Ray dashboard: http://127.0.0.1:8265 (its token: `ray get-auth-token`)\n"
