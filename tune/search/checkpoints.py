"""The checkpoints of trials that have not ended: `checkpoints/ID.pt` of the result folder, at most one a trial."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tune.results import RunFolder, Status
from tune.search.listener import Listener
from tune.search.past import ENDED


class Checkpoints(Listener):
    """Removes what nobody will go on from, so that no more trials are kept than run at once or were interrupted."""

    def __init__(self, folder: RunFolder) -> None:
        self.path = (folder.path / "checkpoints").absolute()  # Ray starts trials in folders of its own
        self.path.mkdir(exist_ok=True)

    def keep_only(self, unfinished: Iterable[str]) -> None:
        """What an earlier part of the search has left of other trials is removed, half files too."""
        wanted = {self._of(trial_id) for trial_id in unfinished}
        for file in self.path.iterdir():
            if file not in wanted:
                file.unlink()

    def trial_ended(self, trial_id: str, status: Status, error: str | None) -> None:
        if status in ENDED:
            self._of(trial_id).unlink(missing_ok=True)

    def close(self) -> None:
        """Removes the folder if nothing is kept in it."""
        if not any(self.path.iterdir()):
            self.path.rmdir()

    def _of(self, trial_id: str) -> Path:
        return self.path / f"{trial_id}.pt"
