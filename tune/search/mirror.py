"""Keeps a run's URI up to date with its folder, some seconds behind, so that another machine can go on with it."""

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
"""The mirror is at most so far behind, and what an upload takes."""


Identity = tuple[int, int]
"""Of a file's content, as files are replaced and never changed: its inode and time."""


@dataclass(frozen=True)
class Snapshot:
    """A file as it was in one moment."""

    name: str
    identity: Identity
    content: bytes


class Mirror(Listener):
    """Uploads what has changed, in a thread: Ray's loop does not wait for a network. To be the last of the listeners.

    All files are read in one moment of the loop, in which the journal is whole, and uploaded in the journal's order.
    """

    def __init__(self, folder: RunFolder, there: RemoteFolder, console: Console) -> None:
        self._folder, self._there, self._console = folder, there, console
        self._uploaded: dict[str, Identity] = {}
        self._thread = ThreadPoolExecutor(1)
        self._upload: Future[None] | None = None
        self._began = time.monotonic()
        self._warned = False
        (folder.path / storage.COPY).unlink(missing_ok=True)  # from now on the search goes on here

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
        """Uploads all that is not there yet, W&B's files too. Unwritable if that fails."""
        try:
            self._thread.submit(self._put_rest).result()
        except Unreachable as error:
            local = short(self._folder.path)
            raise Unwritable(f"{error}; what the search has found lies in {local}, and not all of it there") from error
        finally:
            self._thread.shutdown()

    def _put_rest(self) -> None:
        self._put(self._changed())
        if self._uploaded:
            storage.upload_newer(self._folder.path / "wandb", self._there.inside("wandb"))

    def _changed(self) -> list[Snapshot]:
        """Empty as long as there is no experiment.json: nothing has begun."""
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
        """Once: the end of the search says what has become of it."""
        if not self._warned:
            self._warned = True
            text = f"Warning: {why}; the search goes on in {short(self._folder.path)}, and uploads when it can."
            wording.printer(self._console)(text)


@contextmanager
def mirrored(folder: RunFolder, console: Console) -> Iterator[list[Listener]]:
    """Who is to listen in the block, so that all lies at the run's URI when it ends, whatever way; nobody for a folder.

    Unwritable if it can not be uploaded in the end.
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
        with suppress(Unwritable):  # a mistake of ours, whose traceback is needed
            mirror.finish()
        raise
    mirror.finish()
