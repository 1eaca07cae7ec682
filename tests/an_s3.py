"""An S3 server: moto's, in this process, so that the store outlives the server's death."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from moto.moto_server.threaded_moto_server import ThreadedMotoServer
from pyarrow import fs

logging.getLogger("werkzeug").setLevel(logging.ERROR)


@dataclass
class Bucket:
    """A bucket, and the server that has it."""

    name: str
    port: int = 0

    def start(self) -> None:
        """On the port that it had before."""
        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=self.port, verbose=False)
        self._server.start()
        self.port = self._server.get_host_and_port()[1]

    def stop(self) -> None:
        self._server.stop()

    @property
    def endpoint(self) -> str:
        return f"127.0.0.1:{self.port}"

    def uri(self, path: str) -> str:
        return f"s3://{self.name}/{path}?endpoint_override={self.endpoint}&scheme=http"

    def names(self, path: str) -> set[str]:
        """Of all files below a folder, from there on."""
        found = self._store().get_file_info(
            fs.FileSelector(f"{self.name}/{path}", recursive=True, allow_not_found=True)
        )
        return {info.path.removeprefix(f"{self.name}/{path}/") for info in found if info.type == fs.FileType.File}

    def files(self, path: str) -> dict[str, bytes]:
        """The same with their content, as anybody with pyarrow would read it."""
        read = self._store().open_input_stream
        return {name: read(f"{self.name}/{path}/{name}").read() for name in self.names(path)}

    def _store(self) -> fs.S3FileSystem:
        return fs.S3FileSystem(endpoint_override=self.endpoint, scheme="http")


@contextmanager
def served(name: str = "bucket") -> Iterator[Bucket]:
    bucket = Bucket(name)
    bucket.start()
    store = fs.S3FileSystem(endpoint_override=bucket.endpoint, scheme="http", allow_bucket_creation=True)
    store.create_dir(name)
    try:
        yield bucket
    finally:
        bucket.stop()
