"""Charts as PNG, for README and papers. kaleido draws them in the machine's own Chrome or Chromium."""

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
MEND = "install Chrome or Chromium, or leave --png out"


def check() -> None:
    """ValueError if nothing here can draw."""
    if importlib.util.find_spec("kaleido") is None:
        raise ValueError("--png needs kaleido; `pip install kaleido`, or leave --png out.")
    from choreographer.browsers.chromium import Chromium

    if not Chromium.find_browser(skip_local=False):
        raise ValueError(f"--png needs a browser, and none was found; {MEND}.")


def write(charts: Sequence[tuple[str, Chart]], folder: Path) -> list[Path]:
    """A file a chart, in light colours at twice the size; returns them. WorkFailed if the browser does not do it.

    Unwritable if the folder can not be made, or the disk is full.
    """
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise Unwritable(f"{short(folder)} can not be made: {error.strerror}") from error
    figures, paths, widths = [], [], []
    for anchor, chart in charts:
        figure = go.Figure(chart.figure)
        figure.update_layout(template=THEMES["light"])
        figures.append(figure)
        paths.append(folder / f"{anchor}.png")
        widths.append(max(WIDTH, chart.least_width))
    heights = [chart.height for _, chart in charts]
    try:
        plotly.io.write_images(figures, [str(path) for path in paths], width=widths, height=heights, scale=SCALE)
    except Exception as error:  # whatever a browser can die of
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise Unwritable(f"{short(folder)} can not be written to: {error.strerror}") from error
        raise WorkFailed(f"the charts could not be drawn as PNG ({error}); {MEND}") from error
    return paths
