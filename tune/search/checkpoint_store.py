"""Where trials are kept: `checkpoints/ID.pt` of the run, in its folder or in an object store.

Either travels to the trial's process, which reads and writes there itself: one whose node has died goes on elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tune.files import Unwritable, short
from tune.remote import RemoteFolder
from tune.training import checkpoint

State = dict[str, Any]


@dataclass(frozen=True)
class FolderStore:
    path: Path
    """Absolute: Ray starts trials in folders of its own."""

    def has_place(self) -> bool:
        """Whether it is there: on another node of a cluster only if that sees the run's folder."""
        return self.path.is_dir()

    def load(self, trial_id: str) -> State | None:
        """What was saved last; None if nothing was. ValueError if it is damaged."""
        path = self.path / f"{trial_id}.pt"
        return checkpoint.load(path) if path.is_file() else None

    def save(self, trial_id: str, state: State) -> None:
        """Whole or not at all. Unwritable if the disk is full."""
        checkpoint.save(self.path / f"{trial_id}.pt", state)

    def remove(self, trial_id: str) -> None:
        for file in self.path.glob(f"{trial_id}.pt*"):  # and what a process did not write to its end
            file.unlink(missing_ok=True)

    def keep_only(self, trial_ids: Iterable[str]) -> None:
        """Removes all others. Unwritable if there can be no folder."""
        wanted = {f"{trial_id}.pt" for trial_id in trial_ids}
        try:
            self.path.mkdir(exist_ok=True)
            for file in self.path.iterdir():
                if file.name not in wanted and not file.is_dir():
                    file.unlink(missing_ok=True)
        except OSError as error:
            raise Unwritable(f"{short(self.path)} can not be written: {error.strerror or error}") from error

    def remove_if_empty(self) -> None:
        self.path.rmdir()  # OSError if it is not


@dataclass(frozen=True)
class RemoteStore:
    """The same there; each call raises Unreachable if it fails."""

    remote: RemoteFolder

    def has_place(self) -> bool:
        return True

    def load(self, trial_id: str) -> State | None:
        content = self.remote.read(f"{trial_id}.pt")
        return None if content is None else checkpoint.unpacked(content, f"{trial_id}.pt")

    def save(self, trial_id: str, state: State) -> None:
        self.remote.write(f"{trial_id}.pt", checkpoint.packed(state))

    def remove(self, trial_id: str) -> None:
        self.remote.delete(f"{trial_id}.pt")

    def keep_only(self, trial_ids: Iterable[str]) -> None:
        wanted = {f"{trial_id}.pt" for trial_id in trial_ids}
        for name in self.remote.files().keys() - wanted:
            self.remote.delete(name)

    def remove_if_empty(self) -> None:
        if self.remote.exists() and not self.remote.files():
            self.remote.remove()


CheckpointStore = FolderStore | RemoteStore
