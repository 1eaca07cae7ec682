"""What a page is made of: sections of charts, tables and pictures, each with a sentence that says what to read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import plotly.graph_objects as go

BLUE, ORANGE, GREEN, PURPLE, RED, GREY = COLOURS = ("#3a7bd5", "#d9822b", "#2f9e6b", "#a65bc4", "#d8453e", "#8a9099")
"""Legible on light and on dark ground."""

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


@dataclass(frozen=True)
class Table:
    """Rows of text under headings; the first column names the row."""

    kind: ClassVar[str] = "table"
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    heading: str = ""
    says: str = ""


@dataclass(frozen=True)
class Chart:
    """A figure and what it says to those who do not see it, too."""

    kind: ClassVar[str] = "chart"
    name: str
    """Of its anchor and its PNG; unique in a run."""

    heading: str
    says: str
    """What to read from it, computed from the data."""

    alt: str
    """What is drawn."""

    figure: go.Figure
    height: int = 420
    least_width: int = 0
    """In pixels; what is narrower scrolls within the chart's own frame."""

    table: Table | None = None
    """The numbers drawn."""


@dataclass(frozen=True)
class Picture:
    """An image of the test set, as a data URI."""

    source: str
    alt: str
    caption: str


@dataclass(frozen=True)
class Gallery:
    """Rows of pictures, each row under a sentence."""

    kind: ClassVar[str] = "gallery"
    heading: str
    says: str
    rows: Sequence[tuple[str, Sequence[Picture]]]


@dataclass(frozen=True)
class Note:
    """A sentence where there is nothing to draw."""

    kind: ClassVar[str] = "note"
    text: str


@dataclass(frozen=True)
class Figure:
    """A number that people look for, and what stands below it."""

    label: str
    value: str
    detail: str


@dataclass(frozen=True)
class Figures:
    """Some of them side by side."""

    kind: ClassVar[str] = "figures"
    items: Sequence[Figure]


@dataclass(frozen=True)
class Code:
    """What to type."""

    kind: ClassVar[str] = "code"
    says: str
    text: str


Item = Chart | Table | Gallery | Note | Figures | Code


@dataclass(frozen=True)
class Section:
    """A heading of the page, and of its navigation."""

    name: str
    heading: str
    items: Sequence[Item] = field(default_factory=list)
    says: str = ""


def theme(ink: str, muted: str, grid: str, ground: str) -> dict[str, Any]:
    """A Plotly template, so that figures themselves hold no colours of a theme."""
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
            "colorway": list(COLOURS),
        }
    }


THEMES = {
    "light": theme("#1f2430", "#5b6472", "#e4e7ec", "#ffffff"),
    "dark": theme("#e7eaf0", "#a3acba", "#323a47", "#171b22"),
}

SCALE = "Viridis"
"""Of accuracies; its ends can be told apart on light and dark ground, and by those who see few colours."""


def calm(figure: go.Figure, x: str | None = None, y: str | None = None, **layout: Any) -> go.Figure:
    """The figure without title, colours of a theme and fixed size; axes with their units."""
    margin = {"l": 10, "r": 10, "t": 10, "b": 10}
    figure.update_layout(template=None, title=None, width=None, height=None, margin=margin, **layout)
    if x is not None:
        figure.update_xaxes(title_text=x)
    if y is not None:
        figure.update_yaxes(title_text=y)
    return figure


def percent(value: float | None) -> str:
    """`42.17 %`; a dash for a value that is missing."""
    return "–" if value is None else f"{value:.2f} %"


def setting(value: Any) -> str:
    """A configuration's value: floats to four significant digits."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
