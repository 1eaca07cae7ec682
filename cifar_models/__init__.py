"""The architectures that a search can train, one per file, each with its own preprocessing.

To add one, write a file here that defines `ARCHITECTURE`, and add its name to `NAMES` below.
Architecture files import torch only when a network is built, so the checks before a search stay quick.
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
