"""Where runs are: in a folder, or at the URI of an object store, which mirrors a local folder.

Commands always work in the local folder, because atomic and ordered writes need a local disk. No torch, no Ray.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tune import remote, results
from tune.files import Unwritable, cache, short
from tune.remote import RemoteFolder, Unreachable
from tune.results import RunFolder, replace_file

MIRRORED = (
    "epochs.parquet", "trials.parquet", "best.json", "rungs.json", "confirm.parquet", "warm_start.parquet",
    "experiment.json",
)  # fmt: skip
"""The small files of a run, in the order in which the journal writes them. The last one makes a folder a run."""

COPY = ".copy"
"""Marks a folder that was only fetched: the run may have continued elsewhere."""

AT_ONCE = 16
"""Number of concurrent requests."""


@dataclass(frozen=True)
class Storage:
    """The place that --storage names."""

    root: Path
    """Parent of the local folders of runs."""

    remote: RemoteFolder | None = None
    """Where they are mirrored, with a URI."""

    @classmethod
    def of(cls, folder: RunFolder) -> Storage:
        """The storage of a run."""
        return cls(folder.path.parent, None if folder.remote is None else folder.remote.above())

    @property
    def address(self) -> str:
        """For other commands: an absolute path, or the URI."""
        return str(self.root.absolute()) if self.remote is None else self.remote.uri

    @property
    def place(self) -> str:
        """For messages: a short path, or the URI."""
        return short(self.root) if self.remote is None else self.remote.uri

    def folder(self, name: str) -> RunFolder:
        return RunFolder(self.root / name, None if self.remote is None else self.remote.inside(name))

    def check_free(self, name: str) -> None:
        """ValueError if the name is taken or invalid. Writes nothing."""
        results.check_name(name)
        if self.remote is not None and self.remote.inside(name).exists():
            raise ValueError(f"{remote.join(self.remote.uri, name)} already exists; give another --name, or remove it.")
        results.check_place(self.root, name)

    def create(self, name: str) -> RunFolder:
        """Creates a result folder. ValueError as in `check_free`, or if it cannot be written."""
        self.check_free(name)
        folder = RunFolder(results.create(self.root, name).path, self.folder(name).remote)
        if folder.remote is not None:
            try:
                folder.remote.make()
            except Unreachable as error:
                folder.path.rmdir()
                raise ValueError(f"{error}; fix that, or choose another --storage.") from error
        return folder

    def runs(self) -> list[tuple[RunFolder, dict[str, Any]]]:
        """All undamaged runs, with their experiment.json."""
        if self.remote is None:
            names = [path.parent.name for path in self.root.glob("*/experiment.json")]
            found = []
            for name in names:
                with suppress(ValueError, OSError):
                    found.append((self.folder(name), self.folder(name).read_json("experiment.json")))
            return found
        folders = [self.folder(name) for name in self.remote.folders()]
        with ThreadPoolExecutor(AT_ONCE) as threads:
            abouts = list(threads.map(_about, folders))
        return [(folder, about) for folder, about in zip(folders, abouts, strict=True) if about]

    def find(self, run: str | None) -> RunFolder:
        """A run by name, path or URI, or the newest for None; fetched if it is remote. ValueError if there is none."""
        if run is not None and remote.is_uri(run):
            place, name = remote.split(run)
            return resolve(place).find(name)
        if self.remote is None:
            return results.find(run, self.root)
        if run is None:
            runs = self.runs()
            if not runs:
                raise ValueError(
                    f"There is no run in {self.remote.uri}; start one with `python -m tune.run --space FILE`."
                )
            run = max(runs, key=lambda found: str(found[1].get("started")))[0].name
        if run and run not in (".", "..") and "/" not in run:
            folder = self.folder(run)
            about = _about(folder)
            if about is not None:
                fetch(folder, about)
            if (folder.path / "experiment.json").is_file():  # fetched, or never uploaded
                return folder
        with suppress(ValueError):
            return results.find(run, Path())  # by path
        raise ValueError(f"There is no run {run!r} in {self.remote.uri}.")

    def addresses(self, run: str) -> list[str]:
        """The addresses that a run of this name or path may have been recorded under."""
        if self.remote is None:
            return [str(path) for path in results.places(run, self.root)]
        return [run, remote.join(self.remote.uri, run)]


def resolve(given: str) -> Storage:
    """The storage that --storage names. ValueError within seconds if it is an unusable URI."""
    if not remote.is_uri(given):
        return Storage(Path(given))
    there = remote.connect(given)
    if there.filesystem.type_name == "local":
        return Storage(Path(there.path))
    there.check()
    return Storage(cache() / "runs" / _short_hash(given), there)


def _short_hash(uri: str) -> str:
    """A hash of the URI, and of its server if the environment names one."""
    place, mark, parameters = uri.partition("?")
    named = [place.rstrip("/"), mark, parameters, os.environ.get("AWS_ENDPOINT_URL", "")]
    return hashlib.sha256(" ".join(named).encode()).hexdigest()[:12]


def _about(folder: RunFolder) -> dict[str, Any] | None:
    """The remote experiment.json; None if there is none, {} if it is damaged."""
    assert folder.remote is not None
    content = folder.remote.read("experiment.json")
    if content is None:
        return None
    with suppress(ValueError):
        about = json.loads(content)
        return about if isinstance(about, dict) else {}
    return {}


def fetch(folder: RunFolder, there: Mapping[str, Any]) -> None:
    """Updates the local folder from its mirror, unless the local folder is the newer one.

    `there`: the remote experiment.json.
    """
    assert folder.remote is not None
    try:
        folder.path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"{folder.path} cannot be created ({error.strerror}).") from error
    try:
        lock = results.lock(folder)
    except ValueError:
        return  # a search on this machine is using it
    try:
        if not _is_origin(folder, there):
            if _is_another_run(folder, there):  # an older run of the same name, removed remotely
                for name in ("final", "wandb", "ray"):
                    shutil.rmtree(folder.path / name, ignore_errors=True)
            (folder.path / COPY).touch()
            with ThreadPoolExecutor(AT_ONCE) as threads:
                contents = list(threads.map(folder.remote.read, MIRRORED))
            for name, content in zip(MIRRORED, contents, strict=True):
                if content is None:
                    (folder.path / name).unlink(missing_ok=True)
                else:
                    replace_file(folder.path / name, content)
    finally:
        lock.release()


def _is_another_run(folder: RunFolder, there: Mapping[str, Any]) -> bool:
    with suppress(ValueError):
        return bool(folder.read_json("experiment.json").get("started") != there.get("started"))
    return False


def _is_origin(folder: RunFolder, there: Mapping[str, Any]) -> bool:
    """Whether the mirror was made from this folder, and the run has not continued on another machine since.

    Then the mirror may be older, after a network failure or crash, but never newer.
    """
    if (folder.path / COPY).exists():
        return False
    try:
        here = folder.read_json("experiment.json")
    except ValueError:
        return False
    lives, lives_there = here.get("resumed", []), there.get("resumed", [])
    return here.get("started") == there.get("started") and lives[: len(lives_there)] == lives_there


def fetch_final(folder: RunFolder, *, small: bool = False, only: str = "") -> None:
    """Fetches final/, or only its tables and JSON files (`small`), or only one file (`only`).

    The newer version of each file wins, so what could not be uploaded is kept.
    """
    if folder.remote is None:
        return
    final = folder.remote.inside("final")
    there = final.files()
    for name, info in there.items():
        if (small and not name.endswith((".parquet", ".json"))) or (only and name != only):
            continue
        if not _is_newer(folder.final / name, info) and (content := final.read(name)) is not None:
            folder.final.mkdir(parents=True, exist_ok=True)
            replace_file(folder.final / name, content)
    checkpoint, ended = folder.final / "checkpoint.pt", there.get("metrics.json")
    if ended is not None and checkpoint.name not in there and not _is_newer(checkpoint, ended):
        checkpoint.unlink(missing_ok=True)  # its training has finished elsewhere


def upload_final(folder: RunFolder) -> None:
    """Mirrors final/ and uploads W&B's local files. Unreachable if that fails."""
    if folder.remote is None:
        return
    final = folder.remote.inside("final")
    here = upload_newer(folder.final, final, last="metrics.json")
    for name in final.files().keys() - here:
        final.delete(name)
    upload_newer(folder.path / "wandb", folder.remote.inside("wandb"))


@contextmanager
def final_uploaded(folder: RunFolder) -> Iterator[None]:
    """Uploads final/ at the end of the block, even on an exception. Unwritable if only the upload fails."""
    with ThreadPoolExecutor(1) as thread:  # see RemoteFolder.write
        try:
            yield
        except BaseException:
            with suppress(Unreachable):  # this machine resumes from the local folder
                thread.submit(upload_final, folder).result()
            raise
        try:
            thread.submit(upload_final, folder).result()
        except Unreachable as error:
            raise Unwritable(
                f"{error}; the model is in {short(folder.final)}, but not all of it was uploaded"
            ) from error


def upload_newer(here: Path, there: RemoteFolder, last: str = "") -> set[str]:
    """Uploads files that are missing or older there; returns the names of all files. Unreachable if that fails."""
    known = there.files()
    files = [path for path in here.rglob("*") if path.is_file() and not path.is_symlink() and path.suffix != ".tmp"]
    for path in sorted(files, key=lambda path: (path.name == last, path)):
        name = path.relative_to(here).as_posix()
        if name not in known or path.stat().st_size != known[name].size or _is_newer(path, known[name]):
            there.write(name, path.read_bytes())
    return {path.relative_to(here).as_posix() for path in files}


def _is_newer(path: Path, than: Any) -> bool:
    """Whether the local file is newer than the remote one; False if there is no local file."""
    return path.is_file() and path.stat().st_mtime > than.mtime.timestamp()
