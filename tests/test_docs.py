"""What README and docs/ say is true where code can tell: links, files, commands, examples."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import ROOT
from tune import finalize, predict, report, run, space

PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
CODE = ("tune", "cifar_models", "search_spaces", "benchmarks", "tests")
HISTORY = ROOT / "docs" / "log.md"
"""It tells what was true on its days."""

PARSERS: dict[str, Callable[[list[str]], object]] = {
    "run": lambda arguments: run.parser().parse_args(arguments),
    "finalize": finalize.parse,
    "report": report.parse,
    "predict": predict.parse,
}


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(), re.DOTALL)


def prose(page: Path) -> str:
    return re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)


def anchors(page: Path) -> set[str]:
    """The names by which a page's headings are linked to."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def commands() -> Iterator[tuple[str, str]]:
    """Each line that starts one of the commands, with its page."""
    for page in PAGES:
        text = "\n".join(blocks(page, "sh")).replace("\\\n", " ")
        inline = re.findall(r"`(python -m tune\.[^`\n]+)`", prose(page)) if page != HISTORY else []
        for line in [*text.splitlines(), *inline]:
            if line.startswith("python -m tune.") and "..." not in line:
                yield page.name, line


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", prose(page)):
        if target.startswith(("https://", "http://")):
            continue
        name, _, anchor = target.partition("#")
        linked = (page.parent / name).resolve() if name else page
        assert linked.exists(), f"{page.name} links to {target}"
        assert not anchor or anchor in anchors(linked), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", [page for page in PAGES if page != HISTORY], ids=lambda page: page.name)
def test_files_that_are_named_are_there(page: Path) -> None:
    folders = "tune|search|training|reporting|cifar_models|search_spaces|tests|benchmarks|docs|results"
    for name in re.findall(rf"`((?:{folders})/[\w/]+\.(?:py|md|sh|json|parquet))`", page.read_text()):
        if page.name == "new-architecture.md" and name.endswith("/wide_cnn.py"):
            continue  # what the reader is to write
        assert "NAME" in name or any((ROOT / folder / name).is_file() for folder in (".", "tune")), name
    modules = {path.name for folder in CODE for path in (ROOT / folder).rglob("*.py")} | {"mine.py"}  # the reader's own
    assert set(re.findall(r"`(\w+\.py)`", page.read_text())) <= modules


@pytest.mark.parametrize(("page", "line"), list(commands()))
def test_commands_are_understood(page: str, line: str) -> None:
    words = shlex.split(line, comments=True)
    PARSERS[words[2].removeprefix("tune.")](words[3:])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_examples_are_python(page: Path) -> None:
    for block in blocks(page, "python"):
        ast.parse(block)


def test_the_example_of_a_space_is_one(tmp_path: Path) -> None:
    (example,) = [block for block in blocks(ROOT / "docs" / "search-space.md", "python") if "SPACE" in block]
    path = tmp_path / "mine.py"
    path.write_text(example)
    loaded, _ = space.load(path)
    assert len(loaded.points()) == 2


def test_pages_that_errors_name_are_there() -> None:
    """And each page that is there to fix something is named by some error."""
    named = {
        page
        for path in (ROOT / "tune").rglob("*.py")
        for page in re.findall(r"\(docs/([\w-]+)\.md\)", path.read_text())
    }
    assert named >= {"search-space", "data", "cluster", "troubleshooting"}
    assert all((ROOT / "docs" / f"{page}.md").is_file() for page in named)
