"""Tables that a program keeps in a document of people: between a mark that names its command, and an end mark."""

from __future__ import annotations

from pathlib import Path

END = "\n<!-- end -->\n"


def begin(command: str) -> str:
    """The mark before what `command` writes."""
    return f"<!-- {command} -->\n"


def check(path: Path, command: str) -> str:
    """The file's text. ValueError if it has no marks to put the tables between."""
    text = path.read_text()
    if begin(command) not in text or END not in text:
        raise ValueError(f"{path} has no marks to put the tables between: {begin(command).strip()} and {END.strip()}.")
    return text


def put(path: Path, command: str, tables: str) -> None:
    """Replaces what lies between the marks in the file. ValueError as of `check`."""
    before, mark, rest = check(path, command).partition(begin(command))
    path.write_text(before + mark + tables + END + rest.partition(END)[2])
