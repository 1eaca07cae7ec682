"""Charts as PNG, where they cannot be written."""

from __future__ import annotations

from pathlib import Path

import pytest

from tune.files import Unwritable
from tune.reporting import png


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "charts").touch()
    with pytest.raises(Unwritable, match="charts cannot be created: File exists"):
        png.write([], tmp_path / "charts")
