"""Image files of any kind, as the networks know images: 32 pixels a side, red, green and blue. No torch."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

SIDE = 32


class UnreadableImage(ValueError):
    """A file that is no image, or can not be read."""


def find(places: Sequence[Path]) -> list[tuple[Path, bool]]:
    """The files named, and those that lie in the folders named, in order of their names; and whether one was named.

    ValueError for a place that is not there.
    """
    found: list[tuple[Path, bool]] = []
    for place in places:
        if place.is_dir():
            found += [(path, False) for path in sorted(place.iterdir()) if path.is_file()]
        elif place.is_file():
            found.append((place, True))
        else:
            raise ValueError(f"{place} is not there; give an image, or a folder of images.")
    return found


def read(path: Path) -> NDArray[np.uint8]:
    """The image in a file, uint8 (32, 32, 3). UnreadableImage if there is none.

    Turned as its EXIF data say, what is transparent on white, the middle square of it, and reduced at once from its own
    size with an antialiasing bicubic filter. An image of 32 x 32 pixels stays as it is.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Pillow: a large picture, odd metadata
            with Image.open(path) as picture:
                picture.draft("RGB", (4 * SIDE, 4 * SIDE))  # a JPEG is decoded at no more than it takes
                square = ImageOps.fit(_rgb(ImageOps.exif_transpose(picture)), (SIDE, SIDE), Image.Resampling.BICUBIC)
        return np.array(square)
    except UnidentifiedImageError:
        raise UnreadableImage(f"{path} is no image that Pillow knows.") from None
    except Exception as error:  # a damaged file raises what its format's reader does
        raise UnreadableImage(f"{path} can not be read: {error}.") from error


def _rgb(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I"):  # 16 bits a pixel, of which Pillow would cut off all above 255
        picture = Image.fromarray((np.asarray(picture).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8))
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    layer = picture.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
