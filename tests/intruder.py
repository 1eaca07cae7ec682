"""Code in the place of data."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any


class Intruder:
    """Pickled, it makes a folder where it is loaded."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)
