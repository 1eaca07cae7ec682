"""The architectures a search can train, one a file, each with its own preprocessing.

To add one: write a file beside these that defines `ARCHITECTURE`, and name it in the table below.
The files import torch where a network is built, so that their facts, which the checks before a search need, come at
once.
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
