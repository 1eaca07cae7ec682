"""Reads images of any size and mode as the networks see them: 32 x 32 RGB pixels. Does not import torch."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, TiffImagePlugin, UnidentifiedImageError

SIDE = 32


class UnreadableImage(ValueError):
    """The file is not an image, or cannot be read."""


def find(places: Sequence[Path]) -> list[tuple[Path, bool]]:
    """The files to read, each with whether the user named it. Folders are searched recursively, in order of path.

    Hidden files and folders (`.git`, `.DS_Store`) are skipped unless named. ValueError for a path that does not exist.
    """
    found: list[tuple[Path, bool]] = []
    for place in places:
        if os.path.isdir(place):  # Path.is_dir raises where a name is too long
            found += [(path, False) for path in sorted(place.rglob("*")) if path.is_file() and not _hidden(path, place)]
        elif os.path.isfile(place):
            found.append((place, True))
        else:
            raise ValueError(f"{place} is not there; give an image, or a folder of images.")
    return found


def _hidden(path: Path, folder: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(folder).parts)


def read(path: Path) -> NDArray[np.uint8]:
    """One image, uint8 (32, 32, 3). UnreadableImage if it cannot be read.

    It is rotated as its EXIF data say, laid on white where it is transparent, cropped to its central square and resized
    in one step with an antialiasing bicubic filter. An image of 32 x 32 pixels keeps its values.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns about large images and odd metadata
            with Image.open(path) as picture:
                _check_range(path, picture)
                picture.draft("RGB", (4 * SIDE, 4 * SIDE))  # decodes a JPEG no larger than needed
                upright = _rgb(ImageOps.exif_transpose(picture), _white(picture))
                square = ImageOps.fit(upright, (SIDE, SIDE), Image.Resampling.BICUBIC)
        return np.array(square)
    except UnreadableImage:
        raise
    except UnidentifiedImageError:
        raise UnreadableImage(f"{path} is not an image that Pillow can identify.") from None
    except Exception as error:  # each format's reader raises its own types for a damaged file
        raise UnreadableImage(f"{path} cannot be read: {error}.") from error


def _check_range(path: Path, picture: Image.Image) -> None:
    """UnreadableImage for 32-bit grey levels: no format says which of them is white."""
    # Pillow also reads 16-bit PGM files into 32-bit integers, but scales them to 16 bits.
    if picture.mode == "F" or (picture.mode == "I" and picture.format != "PPM"):
        kind = "floats" if picture.mode == "F" else "integers"
        raise UnreadableImage(
            f"{path} holds 32-bit {kind}, whose white is unknown; save it with 8 or 16 bits per channel."
        )


def _white(picture: Image.Image) -> int:
    """The level of white in 16-bit grey: 65535, or less in a TIFF of fewer bits per sample, such as a camera's 12.

    MaxSampleValue (tag 281) is ignored, since by TIFF 6.0 it must not affect how an image looks. So 12 bits that are
    declared as 16 stay dark.
    """
    if not isinstance(picture, TiffImagePlugin.TiffImageFile):
        return 65535
    (bits, *_) = picture.tag_v2.get(TiffImagePlugin.BITSPERSAMPLE, (16,))
    return int(2**bits - 1)


def _rgb(picture: Image.Image, white: int) -> Image.Image:
    if picture.mode.startswith("I"):  # 16-bit grey levels, which `convert` would clip at 255
        levels = np.asarray(picture).astype(np.int64)
        picture = Image.fromarray(((levels * 255 + white // 2) // white).astype(np.uint8))  # the nearest of 8 bits
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    layer = picture.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
