"""A --data-dir in the place of the synthetic images: little to train on, to test with and to predict."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tune.training import images, ood, synthetic


def small(root: Path) -> Path:
    """Makes it; the OOD files lie in it, too."""
    draw = np.random.default_rng(0)
    for split, count in (("train", 1000), ("test", 100)):
        pixels = draw.integers(0, 256, (count, images.SIDE, images.SIDE, 3), dtype=np.uint8)
        about = {"class_names": [f"class {n}" for n in range(100)]}
        images.write(synthetic.arrow_file(root, split), pixels, np.arange(count) % 100, about)
    for name in ood.NAMES:
        np.save(root / f"{name}.npy", np.zeros((5, images.SIDE, images.SIDE, 3), np.uint8))
    return root
