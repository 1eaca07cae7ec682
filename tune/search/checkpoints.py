"""The checkpoints of trials that have not ended: `checkpoints/ID.pt` of the run, at most one a trial."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from tune.results import RunFolder, Status
from tune.search.checkpoint_store import CheckpointStore, FolderStore, RemoteStore
from tune.search.history import ENDED
from tune.search.listener import Listener


class Checkpoints(Listener):
    """Removes what nobody will go on from, so that no more trials are kept than run at once or were interrupted."""

    def __init__(self, folder: RunFolder) -> None:
        self.store: CheckpointStore = FolderStore((folder.path / "checkpoints").absolute())
        self._later: ThreadPoolExecutor | None = None
        if folder.remote is not None:
            self.store = RemoteStore(folder.remote.inside("checkpoints"))
            self._later = ThreadPoolExecutor(1)  # Ray's loop does not wait for a network

    def keep_only(self, unfinished: Iterable[str]) -> None:
        """Removes what an earlier part of the search has left of other trials. Unwritable if that can not be."""
        self.store.keep_only(unfinished)

    def drop_ahead(self, known: Mapping[str, int]) -> None:
        """Removes those of more epochs than are known of their trial.

        There are some where a machine was lost and its last seconds were not in the mirror: going on from there would
        leave epochs out, and pass over rungs. Unwritable if that can not be.
        """
        for trial_id, epochs in known.items():
            with suppress(ValueError):  # a damaged one is no start either
                state = self.store.load(trial_id)
                if state is not None and state.get("epoch", 0) > epochs:
                    self.store.remove(trial_id)

    def trial_ended(self, trial_id: str, status: Status, error: str | None) -> None:
        if status in ENDED:
            self._tidy(lambda: self.store.remove(trial_id))

    def close(self) -> None:
        """Removes the folder if nothing is kept in it."""
        self._tidy(self.store.remove_if_empty)
        if self._later is not None:
            self._later.shutdown()

    def _tidy(self, what: Callable[[], None]) -> None:
        """Does what is not needed: what it fails to remove is only in the way."""

        def tried() -> None:
            with suppress(OSError):
                what()

        if self._later is None:
            tried()
        else:
            self._later.submit(tried)
