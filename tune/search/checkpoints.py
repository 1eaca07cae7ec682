"""Removes checkpoints that are no longer needed; there is at most one per unfinished trial."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from tune.results import ENDED, RunFolder, Status
from tune.search.checkpoint_store import CheckpointStore, FolderStore, RemoteStore
from tune.search.listener import Listener


class Checkpoints(Listener):
    """Removes the checkpoints of trials that will not resume; those of running and interrupted trials remain."""

    def __init__(self, folder: RunFolder) -> None:
        self.store: CheckpointStore = FolderStore((folder.path / "checkpoints").absolute())
        self._later: ThreadPoolExecutor | None = None
        if folder.remote is not None:
            self.store = RemoteStore(folder.remote.inside("checkpoints"))
            self._later = ThreadPoolExecutor(1)  # so that Ray's loop does not wait for the network

    def keep_only(self, unfinished: Iterable[str]) -> None:
        """Removes the checkpoints of all other trials, left by an earlier session. Unwritable if that fails."""
        self.store.keep_only(unfinished)

    def drop_ahead(self, known: Mapping[str, int]) -> None:
        """Removes checkpoints that are ahead of the epochs recorded for their trial. Unwritable if that fails.

        They exist if a machine was lost before it mirrored its last seconds. Resuming from them would skip epochs and
        rungs.
        """
        for trial_id, epochs in known.items():
            with suppress(ValueError):  # a damaged checkpoint is not resumed from anyway
                state = self.store.load(trial_id)
                if state is not None and state.get("epoch", 0) > epochs:
                    self.store.remove(trial_id)

    def trial_ended(self, trial_id: str, status: Status, error: str | None) -> None:
        if status in ENDED:
            self._tidy(lambda: self.store.remove(trial_id))

    def close(self) -> None:
        """Removes the folder if it is empty."""
        self._tidy(self.store.remove_if_empty)
        if self._later is not None:
            self._later.shutdown()

    def _tidy(self, what: Callable[[], None]) -> None:
        """Does a clean-up that may fail: what it leaves does no harm."""

        def tried() -> None:
            with suppress(OSError):
                what()

        if self._later is None:
            tried()
        else:
            self._later.submit(tried)
