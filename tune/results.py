"""The result folder of a run: its files, and how they are read and written. Plain data: no torch, no Ray.

Files are replaced atomically, so that readers always see a complete one.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_type_hints

import pyarrow as pa
import pyarrow.parquet as pq

from tune.files import FolderLock, atomic_file, obstacle, short
from tune.training.config import TrainConfig

if TYPE_CHECKING:
    from tune.remote import RemoteFolder

PAGE = "(docs/troubleshooting.md)"
"""The page that says what to do with a damaged file."""

MAX_NAME_BYTES = 200
"""A file name may have 255, and some names extend that of the run."""

Status = Literal["running", "finished", "stopped", "diverged", "failed", "interrupted"]

ENDED: tuple[Status, ...] = ("finished", "stopped", "diverged", "failed")
"""Status of trials that do not resume. Running and interrupted ones resume from their checkpoints."""

Origin = Literal["reference", "baseline", "search", "warm_start"]

_ARROW = {int: pa.int64(), float: pa.float64(), bool: pa.bool_()}

EPOCHS = pa.schema(
    [
        ("trial_id", pa.string()),
        ("epoch", pa.int64()),
        *((name, pa.float64()) for name in ("train_loss", "train_acc", "val_loss", "val_acc", "val_robust_acc")),
        ("lr", pa.float64()),
        ("wall_s", pa.float64()),
        ("images_per_s", pa.float64()),
    ]
)
"""One row per trial and epoch. Accuracies are percentages; missing and non-finite values are null."""

TRIALS = pa.schema(
    [
        ("trial_id", pa.string()),
        ("status", pa.string()),
        ("origin", pa.string()),
        ("epochs", pa.int64()),
        ("best_val_acc", pa.float64()),
        ("best_epoch", pa.int64()),
        *((name, pa.float64()) for name in ("train_loss", "train_acc", "val_loss", "val_acc", "val_robust_acc")),
        ("wall_s", pa.float64()),
        ("images_per_s", pa.float64()),
        ("peak_memory_mb", pa.float64()),
        ("error", pa.string()),
        *((f"config.{name}", _ARROW.get(kind, pa.string())) for name, kind in get_type_hints(TrainConfig).items()),
    ]
)
"""One row per trial: its last metrics, its best epoch, and the fields of its TrainConfig."""

Row = dict[str, Any]


def config_of(row: Mapping[str, Any]) -> TrainConfig:
    """The TrainConfig in a row of trials.parquet. Fields that an older version lacked take their defaults."""
    if "config.model" not in row:
        raise ValueError("trials.parquet was written by another version: it has no column config.model.")
    given = {name: row.get(f"config.{name}") for name in TrainConfig.fields()}
    return TrainConfig.from_dict({name: value for name, value in given.items() if value is not None})


@dataclass(frozen=True)
class RunFolder:
    """The folder `results/NAME` of a run."""

    path: Path
    remote: RemoteFolder | None = None
    """Where it is mirrored, with `--storage URI`."""

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def place(self) -> str:
        """Where it is, for messages: a short path or the URI."""
        return short(self.path) if self.remote is None else self.remote.uri

    @property
    def address(self) -> str:
        """Where it is, for other commands, whatever their working directory: the full path or the URI."""
        return str(self.path) if self.remote is None else self.remote.uri

    @property
    def final(self) -> Path:
        return self.path / "final"

    @property
    def finalize_option(self) -> str:
        """The option that `tune.finalize` needs, given what is in final/: `--resume`, `--overwrite`, or empty."""
        there = {path.name for path in self.final.iterdir()} if self.final.is_dir() else set()
        # The checkpoint of a run at a URI is not always fetched.
        cut_off = self.remote is not None and "epochs.parquet" in there and "metrics.json" not in there
        if "checkpoint.pt" in there or cut_off:
            return "--resume"
        return "--overwrite" if there - {"test_looks.json"} else ""

    def write_json(self, name: str, content: Mapping[str, Any]) -> None:
        text = json.dumps(finite(content), indent=2, ensure_ascii=False) + "\n"
        replace_file(self.path / name, text.encode())

    def read_json(self, name: str) -> dict[str, Any]:
        """Reads a JSON object. ValueError if the file is missing or anything else."""
        content = self._read(name)
        try:
            found = json.loads(content)
        except ValueError as error:  # neither text nor JSON
            raise ValueError(f"{self.path / name} is damaged: {error} {PAGE}") from error
        if not isinstance(found, dict):
            raise ValueError(f"{self.path / name} is damaged: it does not hold a JSON object. {PAGE}")
        return found

    def write_table(self, name: str, rows: Iterable[Row], schema: pa.Schema) -> None:
        write_table(self.path / name, rows, schema)

    def read_rows(self, name: str) -> list[Row]:
        """A Parquet file as a list of dicts. ValueError if it is missing or damaged."""
        rows: list[Row] = self.read_table(name).to_pylist()
        return rows

    def read_table(self, name: str, columns: list[str] | None = None) -> pa.Table:
        """A Parquet file, or some of its columns. ValueError if it is missing or damaged."""
        # Given a path, pyarrow opens the file twice, and it may be replaced in between.
        content = pa.BufferReader(self._read(name))
        try:
            return pq.ParquetFile(content).read(columns)  # pq.read_table imports pandas
        except (pa.ArrowException, OSError) as error:
            raise ValueError(f"{self.path / name} is damaged: {error} {PAGE}") from error

    def _read(self, name: str) -> bytes:
        try:
            return (self.path / name).read_bytes()
        except FileNotFoundError:
            raise ValueError(f"{self.path} holds no {name}; is it the folder of a run?") from None
        except OSError as error:
            raise ValueError(f"{self.path / name} cannot be read: {error.strerror}.") from error


def saved_epochs(trials: Iterable[Row], max_epochs: int) -> int:
    """How many epochs were not trained because trials were stopped early or diverged."""
    return sum(max_epochs - row["epochs"] for row in trials if row["status"] in ("stopped", "diverged"))


def check_name(name: str) -> None:
    """ValueError if a result folder cannot have this name."""
    plain = name == name.strip() and name.isprintable() and not set(name) & {"/", "\\"}
    if not plain or name in ("", ".", "..") or name.startswith("-"):
        raise ValueError(
            f"--name is {name!r}; it must be a plain name without slashes or control characters, and not begin with -."
        )
    if len(name.encode()) > MAX_NAME_BYTES:
        raise ValueError(f"--name has {len(name.encode())} bytes; it must have at most {MAX_NAME_BYTES}.")


def check_place(storage: Path, name: str) -> Path:
    """The path for a new result folder. Writes nothing. ValueError if it already exists or cannot be created."""
    check_name(name)
    path = (storage / name).absolute()
    if os.path.lexists(path):
        raise ValueError(f"{path} already exists; give another --name, or remove it.")
    if why := obstacle(path):
        raise ValueError(f"{path} cannot be created ({why}); give another --storage or --name.")
    return path


def create(storage: Path, name: str) -> RunFolder:
    """Makes a new result folder. ValueError as in `check_place`."""
    path = check_place(storage, name)
    try:
        path.mkdir(parents=True)
    except OSError as error:  # made by someone else meanwhile, or a full disk
        raise ValueError(f"{path} cannot be created ({error.strerror}); give another --storage or --name.") from error
    return RunFolder(path)


def lock(folder: RunFolder) -> FolderLock:
    """Locks the folder against other processes, and removes what a killed one left half-written.

    ValueError if another process is working there.
    """
    mine = FolderLock(folder.path, f"{folder.path} is in use by another process; wait for it to end, or stop it.")
    for half in folder.path.glob("*.tmp"):
        half.unlink(missing_ok=True)
    return mine


def is_locked(folder: RunFolder) -> bool:
    """Whether a process on this machine is working there."""
    try:
        FolderLock(folder.path, "").release()
    except ValueError:
        return True
    return False


def check_origin(folder: RunFolder, data_fingerprint: str, weights_sha256: str | None) -> None:
    """ValueError if the run was started on different images or weights, as far as experiment.json says."""
    about = folder.read_json("experiment.json")
    if about.get("data_fingerprint", data_fingerprint) != data_fingerprint:
        raise ValueError(
            f"{folder.name} was started on different images from those in --data-dir; restore the original ones."
        )
    if about.get("weights_sha256", weights_sha256) != weights_sha256:
        raise ValueError(
            f"{folder.name} was started with different weights from the present ones; restore the original ones."
        )


def find(run: str | None, storage: Path) -> RunFolder:
    """The folder of `run`, a name in `storage` or a path; None for the newest run. ValueError if there is none."""
    if run is not None:
        for path in places(run, storage):
            with suppress(OSError):  # a name too long for a file
                if run and (path / "experiment.json").is_file():
                    return RunFolder(path)
        raise ValueError(f"There is no run {run!r} in {storage}; `ls {storage}` lists them.")
    runs = [path.parent for path in storage.glob("*/experiment.json")]
    if not runs:
        raise ValueError(f"There is no run in {storage}; start one with `python -m tune.run --space FILE`.")
    return RunFolder(max(runs, key=lambda path: _started(path / "experiment.json")).absolute())


def places(run: str, storage: Path) -> tuple[Path, Path]:
    """Where a run of this name or path may be, as absolute paths without `..`, which end in its name."""
    by_name, by_path = (Path(os.path.normpath(path.absolute())) for path in (storage / run, Path(run)))
    return by_name, by_path


def _started(path: Path) -> str:
    try:
        started = json.loads(path.read_text())["started"]
    except (ValueError, KeyError, TypeError, OSError):
        return ""  # damaged: counts as the oldest
    return started if isinstance(started, str) else ""


def finite(value: Any) -> Any:
    """The value with None for every float that is not finite, as JSON and our Parquet files require."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return value


def write_table(path: Path, rows: Iterable[Row], schema: pa.Schema) -> None:
    """Writes rows as Parquet; missing keys become null."""
    table = pa.Table.from_pylist([finite(row) for row in rows], schema=schema)
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    replace_file(path, sink.getvalue())


def replace_file(path: Path, content: bytes | pa.Buffer) -> None:
    """Replaces `path` with `content` atomically. Unwritable if the disk is full."""
    with atomic_file(path) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def now() -> str:
    """The time in UTC as ISO 8601, to the second."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
