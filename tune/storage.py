"""Where runs lie: a folder; or the URI of an object store, and then each command works in a folder of this machine.

That everything is written whole and in order rests on a local disk, so a URI is a mirror of it. No torch, no Ray.
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
"""The small files of a run, in the order of the journal; the last one makes a folder a run."""

COPY = ".copy"
"""Lies in a folder that was only fetched: what is mirrored from elsewhere may have gone on there."""

AT_ONCE = 16
"""So many files are asked for side by side."""


@dataclass(frozen=True)
class Storage:
    """What --storage says."""

    root: Path
    """Holds the folders that commands work in."""

    remote: RemoteFolder | None = None
    """Where they are mirrored."""

    @classmethod
    def of(cls, folder: RunFolder) -> Storage:
        """That which a run lies in."""
        return cls(folder.path.parent, None if folder.remote is None else folder.remote.above())

    @property
    def address(self) -> str:
        """For another command: an absolute path, or the URI."""
        return str(self.root.absolute()) if self.remote is None else self.remote.uri

    @property
    def place(self) -> str:
        """The same for people."""
        return short(self.root) if self.remote is None else self.remote.uri

    def folder(self, name: str) -> RunFolder:
        return RunFolder(self.root / name, None if self.remote is None else self.remote.inside(name))

    def check_free(self, name: str) -> None:
        """ValueError if the name is taken, or can be none. Nothing is written."""
        results.check_name(name)
        if self.remote is not None and self.remote.inside(name).exists():
            raise ValueError(f"{remote.join(self.remote.uri, name)} exists already; give another --name, or remove it.")
        results.check_place(self.root, name)

    def create(self, name: str) -> RunFolder:
        """A new result folder. ValueError as of `check_free`, or if nothing can be written there."""
        self.check_free(name)
        folder = RunFolder(results.create(self.root, name).path, self.folder(name).remote)
        if folder.remote is not None:
            try:
                folder.remote.make()
            except Unreachable as error:
                folder.path.rmdir()
                raise ValueError(f"{error}; give another --storage, or mend that.") from error
        return folder

    def runs(self) -> list[tuple[RunFolder, dict[str, Any]]]:
        """All that lie there, with their experiment.json; damaged ones are left out."""
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
        """A run by name, path or URI, None is the newest; fetched if it lies elsewhere. ValueError if there is none."""
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
            if (folder.path / "experiment.json").is_file():  # fetched; or none of it was ever uploaded
                return folder
        with suppress(ValueError):
            return results.find(run, Path())  # by path
        raise ValueError(f"There is no run {run!r} in {self.remote.uri}.")

    def addresses(self, run: str) -> list[str]:
        """What a run that is named like this would be remembered as."""
        if self.remote is None:
            return [str(path) for path in results.places(run, self.root)]
        return [run, remote.join(self.remote.uri, run)]


def resolve(given: str) -> Storage:
    """What --storage names. ValueError, within seconds, if it is a URI that can not be used."""
    if not remote.is_uri(given):
        return Storage(Path(given))
    there = remote.connect(given)
    if there.filesystem.type_name == "local":
        return Storage(Path(there.path))
    there.check()
    return Storage(cache() / "runs" / _short_hash(given), there)


def _short_hash(uri: str) -> str:
    """Of the URI, and of the server that it is on where the environment names that."""
    place, mark, parameters = uri.partition("?")
    named = [place.rstrip("/"), mark, parameters, os.environ.get("AWS_ENDPOINT_URL", "")]
    return hashlib.sha256(" ".join(named).encode()).hexdigest()[:12]


def _about(folder: RunFolder) -> dict[str, Any] | None:
    """Its experiment.json as it lies there; None if there is none, {} if it is damaged."""
    assert folder.remote is not None
    content = folder.remote.read("experiment.json")
    if content is None:
        return None
    with suppress(ValueError):
        about = json.loads(content)
        return about if isinstance(about, dict) else {}
    return {}


def fetch(folder: RunFolder, there: Mapping[str, Any]) -> None:
    """Makes the folder what lies there, unless this machine knows more of the run than what it has uploaded.

    `there`: the experiment.json that lies there.
    """
    assert folder.remote is not None
    try:
        folder.path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"{folder.path} can not be made ({error.strerror}).") from error
    try:
        claim = results.claim(folder)
    except ValueError:
        return  # a search of this machine works there
    try:
        if not _is_origin(folder, there):
            if _is_another_run(folder, there):  # of the same name, since removed there
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
        claim.release()


def _is_another_run(folder: RunFolder, there: Mapping[str, Any]) -> bool:
    with suppress(ValueError):
        return bool(folder.read_json("experiment.json").get("started") != there.get("started"))
    return False


def _is_origin(folder: RunFolder, there: Mapping[str, Any]) -> bool:
    """Whether what lies there was mirrored from this folder, and not gone on with on another machine since.

    It can then be older, where a network failed or this machine died, and never newer.
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
    """Brings final/ here, or only its tables and figures, or one file. Of two files the newer one counts: what could
    not be uploaded stays."""
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
        checkpoint.unlink(missing_ok=True)  # of a training that has come to its end elsewhere


def upload_final(folder: RunFolder) -> None:
    """Makes final/ there what it is here, and adds what W&B keeps here. Unreachable if that fails."""
    if folder.remote is None:
        return
    final = folder.remote.inside("final")
    here = upload_newer(folder.final, final, last="metrics.json")
    for name in final.files().keys() - here:
        final.delete(name)
    upload_newer(folder.path / "wandb", folder.remote.inside("wandb"))


@contextmanager
def final_uploaded(folder: RunFolder) -> Iterator[None]:
    """Whatever way the block ends, final/ lies at the run's URI then. Unwritable if it ends well and that fails."""
    with ThreadPoolExecutor(1) as thread:  # see RemoteFolder.write
        try:
            yield
        except BaseException:
            with suppress(Unreachable):  # the folder here is what this machine goes on from
                thread.submit(upload_final, folder).result()
            raise
        try:
            thread.submit(upload_final, folder).result()
        except Unreachable as error:
            raise Unwritable(f"{error}; the model lies in {short(folder.final)}, and not all of it there") from error


def upload_newer(here: Path, there: RemoteFolder, last: str = "") -> set[str]:
    """Uploads the files that are not there yet, or newer here; returns the names of all. Unreachable if that fails."""
    known = there.files()
    files = [path for path in here.rglob("*") if path.is_file() and not path.is_symlink() and path.suffix != ".tmp"]
    for path in sorted(files, key=lambda path: (path.name == last, path)):
        name = path.relative_to(here).as_posix()
        if name not in known or path.stat().st_size != known[name].size or _is_newer(path, known[name]):
            there.write(name, path.read_bytes())
    return {path.relative_to(here).as_posix() for path in files}


def _is_newer(path: Path, than: Any) -> bool:
    """Than the file there; False if it is not here."""
    return path.is_file() and path.stat().st_mtime > than.mtime.timestamp()
