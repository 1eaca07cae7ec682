"""Mirrors a run's folder to its URI, a few seconds behind, so that another machine can resume it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from tune import storage, wording
from tune.files import Unwritable, short
from tune.remote import RemoteFolder, Unreachable
from tune.results import RunFolder
from tune.search.listener import Listener
from tune.search.watchdog import RayDied

UPLOAD_EVERY_S = 5.0
"""The mirror lags by at most this, plus the duration of an upload."""


Identity = tuple[int, int]
"""Inode and modification time. They identify a file's content, as files are only replaced, never modified."""


@dataclass(frozen=True)
class Snapshot:
    """A file at one moment."""

    name: str
    identity: Identity
    content: bytes


class Mirror(Listener):
    """Uploads changed files in a thread, so that Ray's loop does not wait for the network. Must be the last listener.

    All files are read at one moment of the loop, when the journal is consistent, and uploaded in the journal's order.
    """

    def __init__(self, folder: RunFolder, there: RemoteFolder, console: Console) -> None:
        self._folder, self._there, self._console = folder, there, console
        self._uploaded: dict[str, Identity] = {}
        self._thread = ThreadPoolExecutor(1)
        self._upload: Future[None] | None = None
        self._began = time.monotonic()
        self._warned = False
        (folder.path / storage.COPY).unlink(missing_ok=True)  # from now on this folder is the origin

    def epoch_ended(self, trial_id: str, metrics: dict[str, Any]) -> None:
        if metrics["checkpoint_late"]:
            self._warn(metrics["checkpoint_late"])

    def tick(self) -> None:
        if time.monotonic() - self._began < UPLOAD_EVERY_S or (self._upload and not self._upload.done()):
            return
        if self._upload and (error := self._upload.exception()):
            self._warn(str(error))
        self._began, self._upload = time.monotonic(), None
        if changed := self._changed():
            self._upload = self._thread.submit(self._put, changed)

    def finish(self) -> None:
        """Uploads everything that is missing, including W&B's files. Unwritable if that fails."""
        try:
            self._thread.submit(self._put_rest).result()
        except Unreachable as error:
            local = short(self._folder.path)
            raise Unwritable(f"{error}; the search's results are in {local}, but not all were uploaded") from error
        finally:
            self._thread.shutdown()

    def _put_rest(self) -> None:
        self._put(self._changed())
        if self._uploaded:
            storage.upload_newer(self._folder.path / "wandb", self._there.inside("wandb"))

    def _changed(self) -> list[Snapshot]:
        """Files that differ from their mirror; [] until the search has started and there is an experiment.json."""
        if not (self._folder.path / "experiment.json").is_file():
            return []
        changed = []
        for name in storage.MIRRORED:
            path = self._folder.path / name
            with suppress(FileNotFoundError):
                status = path.stat()
                identity = (status.st_ino, status.st_mtime_ns)
                if self._uploaded.get(name) != identity:
                    changed.append(Snapshot(name, identity, path.read_bytes()))
        return changed

    def _put(self, files: list[Snapshot]) -> None:
        for file in files:
            self._there.write(file.name, file.content)
            self._uploaded[file.name] = file.identity

    def _warn(self, why: str) -> None:
        """Warns only once; the end of the search reports the outcome."""
        if not self._warned:
            self._warned = True
            text = f"Warning: {why}; the search continues in {short(self._folder.path)}, and uploads when it can."
            wording.printer(self._console)(text)


@contextmanager
def mirrored(folder: RunFolder, console: Console) -> Iterator[list[Listener]]:
    """Yields the listener that mirrors the run to its URI, [] if it has none, and completes the mirror at the end.

    Unwritable if the final upload fails.
    """
    if folder.remote is None:
        yield []
        return
    mirror = Mirror(folder, folder.remote, console)
    try:
        yield [mirror]
    except (RayDied, Unwritable) as error:
        try:
            mirror.finish()
        except Unwritable as also:
            raise Unwritable(f"{error}; {also}") from error
        raise
    except (KeyboardInterrupt, SystemExit):
        mirror.finish()
        raise
    except BaseException:
        with suppress(Unwritable):  # a bug: its traceback matters more
            mirror.finish()
        raise
    mirror.finish()
