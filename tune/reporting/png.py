"""Charts as PNG, for READMEs and papers; kaleido draws them in the installed Chrome or Chromium."""

from __future__ import annotations

import errno
import importlib.util
from collections.abc import Sequence
from pathlib import Path

import plotly.graph_objects as go
import plotly.io

from tune.cli import WorkFailed
from tune.files import Unwritable, short
from tune.reporting.chart import THEMES, Chart

WIDTH, SCALE = 900, 2
REMEDY = "install Chrome or Chromium, or omit --png"


def check() -> None:
    """ValueError if kaleido or a browser is missing."""
    if importlib.util.find_spec("kaleido") is None:
        raise ValueError("--png needs kaleido; run `pip install kaleido`, or omit --png.")
    from choreographer.browsers.chromium import Chromium

    if not Chromium.find_browser(skip_local=False):
        raise ValueError(f"--png needs a browser, but none was found; {REMEDY}.")


def write(charts: Sequence[tuple[str, Chart]], folder: Path) -> list[Path]:
    """Writes one file per chart, in light colours at double resolution; returns the paths.

    Unwritable if the folder cannot be created or the disk is full, WorkFailed if the browser fails.
    """
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise Unwritable(f"{short(folder)} cannot be created: {error.strerror}") from error
    figures, paths, widths = [], [], []
    for anchor, chart in charts:
        figure = go.Figure(chart.figure)
        figure.update_layout(template=THEMES["light"])
        figures.append(figure)
        paths.append(folder / f"{anchor}.png")
        widths.append(max(WIDTH, chart.min_width))
    heights = [chart.height for _, chart in charts]
    try:
        plotly.io.write_images(figures, [str(path) for path in paths], width=widths, height=heights, scale=SCALE)
    except Exception as error:  # there is no list of the ways a browser can fail
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise Unwritable(f"{short(folder)} cannot be written to: {error.strerror}") from error
        raise WorkFailed(f"the charts could not be drawn as PNG ({error}); {REMEDY}") from error
    return paths
