"""The page: the sections of one or several runs, as a single self-contained HTML file."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

import jinja2
import plotly.io
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from tune.reporting import answer, compare, final_charts, ood_charts, search_charts, settings_charts
from tune.reporting.chart import THEMES, Chart, Section
from tune.reporting.load import Run
from tune.results import now
from tune.wording import counted, duration


@dataclass(frozen=True)
class Part:
    """The sections of one run, or of the comparison of several."""

    prefix: str
    """Of all its anchors."""

    sections: Sequence[Section]
    heading: str = ""
    about: str = ""

    def charts(self) -> dict[str, Chart]:
        """All charts by anchor."""
        items = [item for section in self.sections for item in section.items]
        return {f"{self.prefix}{item.name}": item for item in items if isinstance(item, Chart)}


def parts(runs: Mapping[str, Run]) -> list[Part]:
    """What the page of these runs shows, in order."""
    if len(runs) == 1:
        return [Part("", of_run(run)) for run in runs.values()]
    own = [Part(f"run{n}-", of_run(run), label, about(run)) for n, (label, run) in enumerate(runs.items(), 1)]
    return [Part("", [compare.section(runs)]), *own]


def of_run(run: Run) -> list[Section]:
    found = [answer.section(run), search_charts.section(run)]
    if run.trials:
        found.append(settings_charts.section(run))
    found.append(final_charts.section(run))
    ood = ood_charts.section(run)
    return found if ood is None else [*found, ood]


def about(run: Run) -> str:
    """A line that describes the search."""
    settings = run.settings
    subset = settings.get("train_subset")
    images = f"{subset:,} images of {settings['data']}" if isinstance(subset, int) else str(settings["data"])
    state = "in progress" if run.about.get("ended") is None else f"{duration(run.search_s)} of search"
    if run.in_progress and run.about.get("ended") is not None:
        state += ", interrupted"
    started = str(run.about.get("started", ""))[:16].replace("T", " ")
    return (
        f"{run.model} on {images}, {counted(len(run.trials), 'trial')} of at most {counted(run.horizon, 'epoch')}, "
        f"seed {settings.get('seed')}; started {started} UTC; {state}"
    )


def render(runs: Mapping[str, Run], shown: Sequence[Part], command: str) -> str:
    """The page as HTML. `command`: what writes it again, for the footer."""
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    charts = {anchor: chart for part in shown for anchor, chart in part.charts().items()}
    single = next(iter(runs.values())) if len(runs) == 1 else None
    return environment.from_string(_packaged("page.html")).render(
        title=f"{counted(len(runs), 'run')} compared" if single is None else single.name,
        about=", ".join(runs) if single is None else about(single),
        parts=shown,
        style=Markup(_packaged("page.css")),
        script=Markup(_packaged("page.js")),
        plotly=Markup(get_plotlyjs()),
        themes=htmlsafe_json_dumps(THEMES),
        figures=htmlsafe_json_dumps({anchor: chart.figure.to_dict() for anchor, chart in charts.items()}, dumps=_dumps),
        written=now().replace("T", " ").replace("Z", " UTC"),
        command=command,
    )


def _dumps(value: Any, **_: Any) -> str:
    return str(plotly.io.json.to_json_plotly(value))


@functools.cache
def _packaged(name: str) -> str:
    return (resources.files("tune.reporting") / name).read_text(encoding="utf-8")
