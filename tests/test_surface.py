"""What scripts and people rely on: options, exit codes, columns and keys. It changes on purpose, or not at all."""

from __future__ import annotations

from difflib import unified_diff

from tests.surface import FILE, surface


def test_the_public_surface_is_as_recorded() -> None:
    recorded, found = FILE.read_text().splitlines(), surface().splitlines()
    changes = "\n".join(unified_diff(recorded, found, "tests/surface.txt", "the code", lineterm="", n=2))
    assert not changes, (
        f"\n{changes}\nThe public surface has changed. If that was not meant, undo it: somebody's script breaks. "
        "If it was, record it with `python -m tests.surface`, and say so in CHANGELOG.md."
    )
