"""Folders in an object store, through pyarrow.fs: S3, Google Cloud Storage, Azure. No torch, no Ray.

On S3 and Google Cloud Storage every call fails within seconds, with Unreachable, if the store or the network does not
answer. For Azure no limit is set.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, quote, unquote

import pyarrow as pa
from pyarrow import fs

from tune.files import Unwritable, printable

CONNECT_S, SILENT_S, ATTEMPTS = 3, 5, 2
"""Seconds to connect, seconds without a byte, and attempts; S3's defaults can take a minute."""

SECRETS = ("password", "secret", "token", "access_key")
"""Parts of names that a parameter of an address must not have."""


class Unreachable(Unwritable):
    """A request to an object store failed. The message is complete for the user."""


@dataclass(frozen=True)
class RemoteFolder:
    """A folder in an object store. Picklable; credentials come from the environment that it is used in."""

    uri: str
    """The folder's address as users give it."""

    path: str
    filesystem: Any = field(compare=False)  # not hashable, which a trial's task must be

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickled, (self.uri, self.path, self.filesystem)

    def inside(self, name: str) -> RemoteFolder:
        return RemoteFolder(join(self.uri, name), f"{self.path}/{name}", self.filesystem)

    def above(self) -> RemoteFolder:
        return RemoteFolder(split(self.uri)[0], self.path.rpartition("/")[0], self.filesystem)

    def check(self) -> None:
        """ValueError if the folder cannot exist there: no access, no bucket, or a file in its place."""
        try:
            kind = self.filesystem.get_file_info(self.path).type
            bucket = self.path.partition("/")[0]
            missing = kind == fs.FileType.NotFound and not self._has_bucket(bucket)
        except (OSError, pa.ArrowException) as error:
            raise ValueError(
                f"{self.uri} cannot be used ({_why(error)}); "
                "check the address, the network, and the credentials in the environment."
            ) from error
        if missing:
            raise ValueError(f"{self.uri} cannot be used: there is no bucket {bucket}; create it first.")
        if kind == fs.FileType.File:
            raise ValueError(f"{self.uri} is a file; give a folder.")

    def _has_bucket(self, bucket: str) -> bool:
        with suppress(OSError):  # without the right to see the bucket, a folder in it may still be usable
            return bool(self.filesystem.get_file_info(bucket).type != fs.FileType.NotFound)
        return True

    def exists(self) -> bool:
        with self._asked():
            return bool(self.filesystem.get_file_info(self.path).type != fs.FileType.NotFound)

    def make(self) -> None:
        with self._asked():
            self.filesystem.create_dir(self.path)

    def remove(self) -> None:
        """Removes the folder and everything in it."""
        with self._asked():
            self.filesystem.delete_dir(self.path)

    def folders(self) -> list[str]:
        """The names of the folders inside."""
        with self._asked():
            found = self.filesystem.get_file_info(fs.FileSelector(self.path, allow_not_found=True))
        return [info.base_name for info in found if info.type == fs.FileType.Directory]

    def files(self) -> dict[str, Any]:
        """pyarrow's FileInfo of all files inside, recursively, by their path relative to this folder."""
        with self._asked():
            found = self.filesystem.get_file_info(fs.FileSelector(self.path, recursive=True, allow_not_found=True))
        return {info.path.removeprefix(f"{self.path}/"): info for info in found if info.type == fs.FileType.File}

    def read(self, name: str) -> bytes | None:
        """The content of a file; None if it does not exist."""
        with self._asked():
            try:
                with self.filesystem.open_input_stream(f"{self.path}/{name}") as stream:
                    return bytes(stream.read())
            except FileNotFoundError:
                return None

    def write(self, name: str, content: bytes) -> None:
        """Writes a file, which an object store shows only once it is complete.

        Not to be called in a thread that an interrupt can reach: that would close the stream, and so publish half a
        file. pyarrow's copy_files will not do, as it hides errors of closing a stream.
        """
        with self._asked(), self.filesystem.open_output_stream(f"{self.path}/{name}") as stream:
            stream.write(content)

    def delete(self, name: str) -> None:
        """Removes a file if it exists."""
        with self._asked(), suppress(FileNotFoundError):
            self.filesystem.delete_file(f"{self.path}/{name}")

    @contextmanager
    def _asked(self) -> Iterator[None]:
        try:
            yield
        except (OSError, pa.ArrowException) as error:
            raise Unreachable(f"{self.uri} cannot be used ({_why(error)})") from error


def is_uri(text: str) -> bool:
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", text) is not None


def connect(uri: str) -> RemoteFolder:
    """The folder at an address. ValueError if the address holds a secret, or pyarrow does not understand it."""
    _check_no_secret(uri)
    try:
        filesystem, path = fs.FileSystem.from_uri(uri)
        if not path.strip("/"):
            raise ValueError(f"{uri} cannot be used (Missing bucket name).")
        return RemoteFolder(uri, path.rstrip("/"), _bounded(filesystem))
    except (OSError, pa.ArrowException, TypeError) as error:
        raise ValueError(f"{uri} cannot be used ({_why(error)}).") from error


def join(uri: str, name: str) -> str:
    """The address of `name` inside `uri`; parameters stay at the end."""
    place, mark, parameters = uri.partition("?")
    return f"{place.rstrip('/')}/{quote(name)}{mark}{parameters}"


def split(uri: str) -> tuple[str, str]:
    """The reverse of `join`: the address of the folder above, and the name."""
    place, mark, parameters = uri.partition("?")
    above, _, name = place.rstrip("/").rpartition("/")
    return f"{above}{mark}{parameters}", unquote(name)


def _check_no_secret(uri: str) -> None:
    """Refuses credentials in an address, since it is printed, kept in experiment.json and uploaded."""
    place, _, parameters = uri.partition("?")
    scheme, _, rest = place.partition("://")
    user, at, _ = rest.partition("/")[0].rpartition("@")
    named = [name for name in parse_qs(parameters, keep_blank_values=True) if any(s in name.lower() for s in SECRETS)]
    if (at and (":" in user or scheme == "s3")) or named:
        raise ValueError(
            "The address holds credentials, which would be kept in experiment.json; "
            "omit them, and set them in the environment, as in AWS_ACCESS_KEY_ID."
        )


def _bounded(filesystem: Any) -> Any:
    """The same file system with time limits."""
    if filesystem.type_name not in ("s3", "gcs"):
        return filesystem
    _, (options,) = filesystem.__reduce__()
    if filesystem.type_name == "gcs":
        limit = options["retry_time_limit"] or timedelta(seconds=ATTEMPTS * SILENT_S)
        return fs.GcsFileSystem(**options | {"retry_time_limit": limit})
    # Opened late, a small file takes one request instead of three.
    bounds = {"connect_timeout": CONNECT_S, "request_timeout": SILENT_S, "allow_delayed_open": True}
    return fs.S3FileSystem(**options | bounds, retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=ATTEMPTS))


def _unpickled(uri: str, path: str, filesystem: Any) -> RemoteFolder:
    return RemoteFolder(uri, path, _bounded(filesystem))  # pyarrow does not pickle the number of attempts


def _why(error: BaseException) -> str:
    """The gist of pyarrow's message, without its prefixes and line breaks."""
    text = str(error)
    told = text.rpartition("Details: ")[2] if "Details: " in text else text[max(0, text.find("AWS Error ")) :]
    return textwrap.shorten(printable(" ".join(told.split())), 200).rstrip(".") or type(error).__name__
