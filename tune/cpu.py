"""The name of this machine's processor. Imports neither torch nor Ray."""

from __future__ import annotations

import platform
from pathlib import Path


def name() -> str:
    """As Linux names it, for example `AMD EPYC 9R14`; elsewhere what Python's `platform` knows."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
