"""The architectures a search can train, one a file, each with its own preprocessing.

To add one: write a file beside these that defines `ARCHITECTURE`, and name it in the table below.
Only their `build` functions import torch, so that the checks before a search can read everything else quickly.
"""

from importlib import import_module

from cifar_models.architecture import Architecture, Preprocessing, Pretrained

__all__ = ["NAMES", "Architecture", "Preprocessing", "Pretrained", "load"]

NAMES = ("simple_cnn", "resnet18", "resnet50")


def load(name: str) -> Architecture:
    """The architecture called `name`; ValueError if there is none."""
    if name not in NAMES:
        raise ValueError(f"There is no model {name!r}; choose one of {', '.join(NAMES)}.")
    architecture: Architecture = import_module(f"cifar_models.{name}").ARCHITECTURE
    return architecture
