"""The elements of a report: sections with charts, tables, images and code, each with a caption."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import plotly.graph_objects as go

BLUE, ORANGE, GREEN, PURPLE, RED, GREY = COLOURS = ("#3a7bd5", "#d9822b", "#2f9e6b", "#a65bc4", "#d8453e", "#8a9099")
"""Legible on light and dark backgrounds."""

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


@dataclass(frozen=True)
class Table:
    """Rows of text under headings; the first column names the row."""

    kind: ClassVar[str] = "table"
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    heading: str = ""
    caption: str = ""


@dataclass(frozen=True)
class Chart:
    """A Plotly figure with heading, caption, and a text alternative."""

    kind: ClassVar[str] = "chart"
    name: str
    """Of its HTML anchor and its PNG file; unique within a run."""

    heading: str
    caption: str
    """The finding, computed from the data."""

    alt: str
    """Describes the drawing to screen readers."""

    figure: go.Figure
    height: int = 420
    min_width: int = 0
    """In pixels; on narrower screens the chart scrolls horizontally."""

    table: Table | None = None
    """The numbers behind the drawing."""


@dataclass(frozen=True)
class Picture:
    """An image of the test set, as a data URI."""

    source: str
    alt: str
    caption: str


@dataclass(frozen=True)
class Gallery:
    """Rows of pictures, each under a line of text."""

    kind: ClassVar[str] = "gallery"
    heading: str
    caption: str
    rows: Sequence[tuple[str, Sequence[Picture]]]


@dataclass(frozen=True)
class Note:
    """A sentence in place of a chart that cannot be drawn."""

    kind: ClassVar[str] = "note"
    text: str


@dataclass(frozen=True)
class KeyFigure:
    """A key number with its label above and details below."""

    label: str
    value: str
    detail: str


@dataclass(frozen=True)
class KeyFigures:
    """Key numbers side by side."""

    kind: ClassVar[str] = "key-figures"
    items: Sequence[KeyFigure]


@dataclass(frozen=True)
class Code:
    """A command or code to copy."""

    kind: ClassVar[str] = "code"
    caption: str
    text: str


Item = Chart | Table | Gallery | Note | KeyFigures | Code


@dataclass(frozen=True)
class Section:
    """A section of the page, listed in its navigation."""

    name: str
    heading: str
    items: Sequence[Item] = field(default_factory=list)
    lead: str = ""
    """A sentence or two below the heading."""


def theme(ink: str, muted: str, grid: str, ground: str) -> dict[str, Any]:
    """A Plotly template. Figures hold no theme colours of their own, so the page can switch between themes."""
    axis = {
        "gridcolor": grid, "zerolinecolor": grid, "linecolor": muted, "tickcolor": muted, "automargin": True,
        "title": {"standoff": 10}, "tickfont": {"color": muted},
    }  # fmt: skip
    return {
        "layout": {
            "font": {"family": FONT, "size": 13, "color": ink},
            "paper_bgcolor": ground,
            "plot_bgcolor": ground,
            "xaxis": axis,
            "yaxis": axis,
            "coloraxis": {"colorbar": {"outlinewidth": 0, "tickfont": {"color": muted}}},
            "hoverlabel": {"bgcolor": ground, "bordercolor": muted, "font": {"family": FONT, "color": ink}},
            "annotationdefaults": {"bgcolor": ground, "font": {"color": muted}},
            "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "font": {"size": 12}},
            "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": muted, "activecolor": ink},
            "colorway": list(COLOURS),
        }
    }


THEMES = {
    "light": theme("#1f2430", "#5b6472", "#e4e7ec", "#ffffff"),
    "dark": theme("#e7eaf0", "#a3acba", "#323a47", "#171b22"),
}

SCALE = "Viridis"
"""Colour scale of accuracies: readable on light and dark backgrounds, and with colour blindness."""


def restyle(figure: go.Figure, x: str | None = None, y: str | None = None, **layout: Any) -> go.Figure:
    """Removes the title, theme colours and fixed size of a figure, and labels its axes `x` and `y`."""
    margin = {"l": 10, "r": 10, "t": 10, "b": 10}
    figure.update_layout(template=None, title=None, width=None, height=None, margin=margin, **layout)
    if x is not None:
        figure.update_xaxes(title_text=x)
    if y is not None:
        figure.update_yaxes(title_text=y)
    return figure


def percent(value: float | None) -> str:
    """`42.17 %`; a dash if there is no value."""
    return "–" if value is None else f"{value:.2f} %"


def between(low: float, high: float) -> str:
    """A 95 % interval, in percent."""
    return f"95 % interval {low:.2f} to {high:.2f}"


def setting(value: Any) -> str:
    """A value of a TrainConfig; floats have four significant digits."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
