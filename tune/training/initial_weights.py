"""The file of the initial weights of an architecture. Only `find_weights` imports torch."""

from __future__ import annotations

from pathlib import Path

import cifar_models


def weights_path(model: str, given: Path | None) -> Path | None:
    """The file of the initial weights: `given`, or the architecture's own, which may not be downloaded yet.

    None for random weights. ValueError if `given` is not a file, or if the model takes no weights.
    """
    pretrained = cifar_models.load(model).pretrained
    if given is None:
        return None if pretrained is None else pretrained.path()
    if not given.is_file():
        raise ValueError(f"--weights {given} is not a file.")
    if pretrained is None:
        raise ValueError(f"{model} starts from random weights; omit --weights.")
    return given.absolute()


def find_weights(model: str, given: Path | None) -> Path | None:
    """Like `weights_path`, but downloads the file if need be, and loads it once. ValueError also if it does not fit."""
    path = weights_path(model, given)
    architecture = cifar_models.load(model)
    if given is None and architecture.pretrained is not None:
        path = architecture.pretrained.fetch()
    if path is not None:
        try:
            architecture.build(path)
        except ValueError as error:
            mend = "Delete it, and it is downloaded again." if given is None else "Give another --weights, or omit it."
            raise ValueError(f"{error} {mend}") from error
    return path
