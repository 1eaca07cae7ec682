"""Files that are there whole or not at all, folders that can be made or claimed, and names as people read them."""

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
    """A file could not be written: a full disk, most often. Its text is all the user needs."""


class Claim:
    """A folder that this process alone works in, until it ends or `release` is called."""

    def __init__(self, folder: Path, why: str) -> None:
        """ValueError with `why` if another process has it."""
        descriptor = os.open(folder, os.O_RDONLY)
        self.release = weakref.finalize(self, os.close, descriptor)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.release()
            raise ValueError(why) from None
        except OSError:
            pass  # a file system without locks, as some of a network


def cache() -> Path:
    """Where this user keeps what can be made again: measurements, copies. The folder may not be there yet."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cifar100-tune"


def sha256(path: Path) -> str:
    """Of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def told_of(path: Path) -> Iterator[None]:
    """An OSError of the block becomes Unwritable, with a sentence about `path`."""
    try:
        yield
    except Unwritable:
        raise
    except OSError as error:
        raise Unwritable(f"{short(path)} can not be written: {error.strerror or error}") from error


@contextmanager
def whole(target: Path) -> Iterator[Path]:
    """A name to write to, of this process alone.

    The file becomes `target` when the block ends well, and is removed when it does not. Unwritable if it can not become
    that.
    """
    unfinished = target.with_name(f"{target.name}.{os.getpid()}.tmp")
    try:
        yield unfinished
        with told_of(target):
            os.replace(unfinished, target)
    finally:
        unfinished.unlink(missing_ok=True)


@contextmanager
def written(target: Path) -> Iterator[BinaryIO]:
    """A file to write to that becomes `target` when the block ends well. Unwritable if the system refuses.

    The block should do nothing else that may raise an OSError.
    """
    with told_of(target), whole(target) as unfinished, unfinished.open("wb") as file:
        yield file


def obstacle(folder: Path) -> str:
    """Why `folder` can not be made or written to, as far as that shows without trying; empty if nothing is known."""
    for place in (folder, *folder.absolute().parents):
        try:
            there = place.stat()
        except FileNotFoundError:
            continue  # it would be made in the folder above
        except OSError as error:
            return error.strerror or str(error)
        if not stat.S_ISDIR(there.st_mode):
            return os.strerror(errno.ENOTDIR)
        return "" if os.access(place, os.W_OK | os.X_OK) else os.strerror(errno.EACCES)
    return ""


def check_out(out: Path, option: str) -> None:
    """ValueError if the file can not be written; `option` is what its name was given with."""
    if out.is_dir():
        raise ValueError(f"{out} is a folder; give {option} the name of a file.")
    if why := obstacle(out.parent):
        raise ValueError(f"{short(out.absolute())} can not be written ({why}); give another {option}.")


def printable(text: str) -> str:
    """The same on one line, with what a terminal would act on or could not show as an escape."""
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)


def short(path: Path) -> str:
    """Relative to where the user stands, where that is shorter."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
