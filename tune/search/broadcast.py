"""Gives the images and pretrained weights to the other nodes of a cluster, once per node, through Ray.

They are in Ray's object store, the node's shared memory, which its trials map as they map the file elsewhere. So
nothing on a node has to be written, locked or removed.
"""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import ray
from numpy.typing import NDArray


@dataclass(frozen=True)
class Broadcast:
    """Files of the driver's node, for trials on other nodes."""

    home: str
    """Id of the driver's node, where trials open the files directly."""

    images: ray.ObjectRef
    weights: ray.ObjectRef | None

    def away(self) -> bool:
        """Whether this process runs on a node other than the driver's."""
        return str(ray.get_runtime_context().get_node_id()) != self.home


def broadcast(images: Path, weights: Path | None) -> Broadcast:
    """Puts the files into the object store; called by the driver."""
    home = str(ray.get_runtime_context().get_node_id())
    return Broadcast(home, _put(images), None if weights is None else _put(weights))


def images_of(path: Path, broadcast: Broadcast | None) -> Path | NDArray[np.uint8]:
    """The file; on a node other than the driver's, its bytes in shared memory."""
    if broadcast is None or not broadcast.away():
        return path
    content: NDArray[np.uint8] = ray.get(broadcast.images)
    return content


def weights_of(path: Path | None, broadcast: Broadcast | None) -> Path | None:
    """The file; on a node other than the driver's, an in-memory file of this process with the same content."""
    if broadcast is None or broadcast.weights is None or not broadcast.away():
        return path
    return _in_memory(broadcast.weights)


def _put(path: Path) -> ray.ObjectRef:
    return ray.put(np.asarray(np.memmap(path, np.uint8, "r")))  # a plain array is copied only once


@functools.cache
def _in_memory(content: ray.ObjectRef) -> Path:
    descriptor = os.memfd_create("weights")  # Ray's clusters run on Linux
    with open(descriptor, "wb", closefd=False) as file:
        file.write(ray.get(content))
    return Path(f"/proc/self/fd/{descriptor}")
