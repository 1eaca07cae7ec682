"""The checkpoints of trials that have not ended: `checkpoints/ID.pt` of the result folder, at most one a trial."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from tune.files import Unwritable, short
from tune.results import RunFolder, Status
from tune.search.listener import Listener
from tune.search.past import ENDED


class Checkpoints(Listener):
    """Removes what nobody will go on from, so that no more trials are kept than run at once or were interrupted."""

    def __init__(self, folder: RunFolder) -> None:
        self.path = (folder.path / "checkpoints").absolute()  # Ray starts trials in folders of its own

    def keep_only(self, unfinished: Iterable[str]) -> None:
        """Removes what an earlier part of the search has left of other trials. Unwritable if there can be no folder."""
        wanted = {f"{trial_id}.pt" for trial_id in unfinished}
        try:
            self.path.mkdir(exist_ok=True)
            for file in self.path.iterdir():
                if file.name not in wanted and not file.is_dir():
                    file.unlink(missing_ok=True)
        except OSError as error:
            raise Unwritable(f"{short(self.path)} can not be written: {error.strerror or error}") from error

    def trial_ended(self, trial_id: str, status: Status, error: str | None) -> None:
        if status in ENDED:
            with suppress(OSError):  # it is only in the way
                for file in self.path.glob(f"{trial_id}.pt*"):  # and what a process did not write to its end
                    file.unlink(missing_ok=True)

    def close(self) -> None:
        """Removes the folder if nothing is kept in it."""
        with suppress(OSError):
            self.path.rmdir()
