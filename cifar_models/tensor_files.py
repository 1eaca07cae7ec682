"""Reads files of tensors without executing code from them."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path
from typing import Any, BinaryIO

import torch


def read_tensors(path: Path | str, content: BinaryIO | None = None) -> Any:
    """Tensors and plain values written by `torch.save`, on the CPU. ValueError for anything else.

    `content`: the file's bytes, if already read; `path` then serves only for error messages.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns about damaged files before it gives up on them
            return torch.load(path if content is None else content, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise ValueError(f"{path} does not exist.") from None
    except pickle.UnpicklingError as error:
        # torch's own message suggests weights_only=False, which would execute what is in the file.
        raise ValueError(f"{path} is damaged, or holds more than tensors and plain values.") from error
    except Exception as error:  # torch raises a dozen types for a damaged file
        why = (str(error) or type(error).__name__).splitlines()[0].partition(". ")[0].rstrip(".")
        raise ValueError(f"{path} cannot be read: {why}.") from error
