"""Generated tables in hand-written documents, between a mark that names the command and an end mark."""

from __future__ import annotations

from pathlib import Path

END = "\n<!-- end -->\n"


def begin(command: str) -> str:
    """The mark that precedes what `command` writes."""
    return f"<!-- {command} -->\n"


def check(path: Path, command: str) -> str:
    """The text of the file. ValueError if it has no marks for the tables."""
    text = path.read_text()
    if begin(command) not in text or END not in text:
        raise ValueError(f"{path} has no marks to put the tables between: {begin(command).strip()} and {END.strip()}.")
    return text


def put(path: Path, command: str, tables: str) -> None:
    """Replaces the text between the marks. ValueError as in `check`."""
    before, mark, rest = check(path, command).partition(begin(command))
    path.write_text(before + mark + tables + END + rest.partition(END)[2])
