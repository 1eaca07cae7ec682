"""The state of the code that figures were measured with. Imports neither torch nor Ray."""

from __future__ import annotations

import subprocess
from pathlib import Path


def commit() -> str | None:
    """What `git describe` says of this checkout; None without git or outside a repository."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent)
    except OSError:
        return None
    return done.stdout.strip() or None
