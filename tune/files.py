"""Files written atomically, folders checked and locked, and names made readable."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import stat
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


class Unwritable(OSError):
    """The disk or the store refused, usually as it is full or unreachable. The message is complete for the user."""


class FolderLock:
    """A lock on a folder, held until `release` is called or the process ends."""

    def __init__(self, folder: Path, why: str) -> None:
        """ValueError with the message `why` if another process holds it."""
        descriptor = os.open(folder, os.O_RDONLY)
        self.release = weakref.finalize(self, os.close, descriptor)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.release()
            raise ValueError(why) from None
        except OSError:
            pass  # a file system without locks, such as some network file systems


def cache() -> Path:
    """The user's cache folder, for what can be made again: measurements, copies. It may not exist yet."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cifar100-tune"


def sha256(path: Path) -> str:
    """The SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def as_unwritable(path: Path) -> Iterator[None]:
    """Turns an OSError in the block into Unwritable, with a message about `path`."""
    try:
        yield
    except Unwritable:
        raise
    except OSError as error:
        raise Unwritable(f"{short(path)} cannot be written: {error.strerror or error}") from error


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """A temporary name beside `target`, used by this process only.

    If the block succeeds, the file replaces `target`, or Unwritable is raised; if it fails, the file is removed.
    """
    unfinished = target.with_name(f"{target.name}.{os.getpid()}.tmp")
    try:
        yield unfinished
        with as_unwritable(target):
            os.replace(unfinished, target)
    finally:
        unfinished.unlink(missing_ok=True)


@contextmanager
def atomic_file(target: Path) -> Iterator[BinaryIO]:
    """A file that replaces `target` if the block succeeds. Unwritable if the system refuses.

    The block should do nothing else that can raise an OSError.
    """
    with as_unwritable(target), atomic_path(target) as unfinished, unfinished.open("wb") as file:
        yield file


def obstacle(folder: Path) -> str:
    """Why `folder` cannot be created or written to, as far as is known without trying; empty if it seems possible."""
    for place in (folder, *folder.absolute().parents):
        try:
            there = place.stat()
        except FileNotFoundError:
            continue  # it would be made inside its parent
        except OSError as error:
            return error.strerror or str(error)
        if not stat.S_ISDIR(there.st_mode):
            return os.strerror(errno.ENOTDIR)
        return "" if os.access(place, os.W_OK | os.X_OK) else os.strerror(errno.EACCES)
    return ""


def check_out(out: Path, option: str) -> None:
    """ValueError if the file cannot be written; `option` is the option that named it."""
    why = obstacle(out.parent)
    try:
        if stat.S_ISDIR(out.stat().st_mode):
            raise ValueError(f"{out} is a folder; give {option} the name of a file.")
    except FileNotFoundError:
        pass
    except OSError as error:  # its name is too long, or its folder unreadable
        why = error.strerror or str(error)
    if why:
        raise ValueError(f"{short(out.absolute())} cannot be written ({why}); give another {option}.")


def printable(text: str) -> str:
    """The text on one line, with control and other unprintable characters escaped."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def short(path: Path) -> str:
    """The path relative to the working directory, if it lies inside."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
