"""Stores the checkpoints of trials as `checkpoints/ID.pt` of the run, in its folder or in an object store.

A store is sent to the trial's process, which reads and writes there itself, so a trial can resume on another node.
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
        """Whether this node sees the run's folder; on a cluster some may not."""
        return self.path.is_dir()

    def load(self, trial_id: str) -> State | None:
        """The last checkpoint; None if there is none. ValueError if it is damaged."""
        path = self.path / f"{trial_id}.pt"
        return checkpoint.load(path) if path.is_file() else None

    def save(self, trial_id: str, state: State) -> None:
        """Saves atomically. Unwritable if the disk is full."""
        checkpoint.save(self.path / f"{trial_id}.pt", state)

    def remove(self, trial_id: str) -> None:
        for file in self.path.glob(f"{trial_id}.pt*"):  # including half-written ones
            file.unlink(missing_ok=True)

    def keep_only(self, trial_ids: Iterable[str]) -> None:
        """Creates the folder if need be, and removes all other checkpoints. Unwritable if that fails."""
        wanted = {f"{trial_id}.pt" for trial_id in trial_ids}
        try:
            self.path.mkdir(exist_ok=True)
            for file in self.path.iterdir():
                if file.name not in wanted and not file.is_dir():
                    file.unlink(missing_ok=True)
        except OSError as error:
            raise Unwritable(f"{short(self.path)} cannot be written: {error.strerror or error}") from error

    def remove_if_empty(self) -> None:
        self.path.rmdir()  # OSError if it is not empty


@dataclass(frozen=True)
class RemoteStore:
    """The same interface for an object store. Every call raises Unreachable if it fails."""

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
