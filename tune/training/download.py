"""Downloads files, and checks them against their published digests before anything opens them."""

from __future__ import annotations

import hashlib
import http.client
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from tune.files import atomic_path

TIMEOUT_S = 20.0
"""A server that sends nothing for this long is taken to be unreachable."""


class DownloadFailed(Exception):
    """A download failed: no network, no such server, or a broken connection."""


def fetch(url: str, target: Path, algorithm: str, digest: str) -> None:
    """Downloads `url` to `target`, atomically, provided that its hexadecimal digest is right.

    DownloadFailed if the network fails, ValueError for a wrong digest, OSError if `target` cannot be written.
    """
    hasher = hashlib.new(algorithm, usedforsecurity=False)
    target.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(target) as unfinished:
        with unfinished.open("wb") as sink:
            for block in _download(url):
                hasher.update(block)
                sink.write(block)
        if hasher.hexdigest() != digest:
            raise ValueError(
                f"{url} is not the file it should be: its {algorithm.upper()} is {hasher.hexdigest()}, not {digest}. "
                f"Try again later, or put the right file at {target.absolute()} yourself."
            )


def _download(url: str) -> Iterator[bytes]:
    """The content, in blocks. torchvision's own download has no timeout, and follows redirects to plain http."""
    request = urllib.request.Request(url, headers={"User-Agent": "cifar100-tune"})
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
            # Only once the server has answered: without a network, the user should see nothing but the error.
            print(f"Downloading {url} ({(response.length or 0) / 1e6:.0f} MB) ...", file=sys.stderr, flush=True)
            while block := response.read(1 << 20):
                yield block
            if response.length:
                raise DownloadFailed(f"{url} could not be fetched (the connection broke off)")
    except (OSError, http.client.HTTPException) as error:
        raise DownloadFailed(f"{url} could not be fetched ({str(error).strip('<>')})") from error
