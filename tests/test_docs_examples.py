"""README and docs/ are followed word for word: each page's commands and Python run, in a clone with few images."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests import ROOT
from tune.training import images, ood

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

PAGES = (
    "README.md",
    *(f"docs/{name}.md" for name in ("results", "final-model", "search-space", "data", "new-architecture")),
)

SKIPPED = {
    "make test": "this test is one of those",
    "python -m tune.run --space search_spaces/resnet18.py --then-finalize": "needs a GPU",
    "python -m tune.run --space search_spaces/resnet50.py --then-finalize": "needs a GPU, and the weights",
}
"""Lines that are left out, and why."""

SAVED = {
    ("docs/search-space.md", 0): "mine.py",
    ("docs/new-architecture.md", 0): "cifar_models/wide_cnn.py",
    ("docs/new-architecture.md", 2): "search_spaces/wide_cnn.py",
}
"""Python that the reader is to save: page and number of the block, and the file. Other blocks are run."""

FINAL = "python -m tune.finalize NAME --epochs 1"
BEFORE = {
    "README.md": FINAL,
    "docs/results.md": f"{FINAL}; for name in cnn resnet18 resnet50; do cp -r results/NAME results/$name; done",
    "docs/final-model.md": "python -m tune.run --space simple_cnn --trials 1 --max-epochs 1",
    "docs/data.md": FINAL,
}
"""What a page takes for granted besides a search called NAME."""

GIVEN = "import torch\n\npixels = torch.zeros((2, 32, 32, 3), dtype=torch.uint8)\n"
"""The `pixels` of the examples."""


def examples(page: str) -> list[tuple[str, str]]:
    """What a page shows of shell and Python, in its order, each with its language; commands within a sentence, too."""
    parts = r"^```(\w*)\n(.*?)^```|`(python -m [^`\n]+)`"
    found = re.findall(parts, (ROOT / page).read_text(), re.DOTALL | re.MULTILINE)
    shown = [("sh", inline) if inline else (language, block) for language, block, inline in found]
    return [(language, text) for language, text in shown if language in ("sh", "python") and "..." not in text]


def shell(clone: Path, lines: str) -> str:
    """What the lines print, run as by a reader who has installed the project into .venv and stands in the clone."""
    kept = "\n".join(line for line in lines.splitlines() if line.partition("#")[0].strip() not in SKIPPED)
    own = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "PYTHONPATH": str(clone)}
    done = subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", kept],
        cwd=clone, env=os.environ | own, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert done.returncode == 0, f"{kept}\n{done.stdout}"
    return done.stdout


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone with a finished search called NAME.

    500 random images lie in it where CIFAR-100 would, and five where each OOD file would.
    """
    clone = tmp_path_factory.mktemp("searched") / "clone"
    for name in ("tune", "cifar_models", "search_spaces", "benchmarks"):
        shutil.copytree(ROOT / name, clone / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, clone)
    (clone / ".venv").mkdir()
    for part in Path(sys.prefix).iterdir():
        (clone / ".venv" / part.name).symlink_to(part)
    (clone / ".venv" / "installed").unlink(missing_ok=True)
    (clone / ".venv" / "installed").touch()  # newer than pyproject.toml, or make would install
    draw = np.random.default_rng(0)
    about = {"class_names": [f"class {n}" for n in range(100)]}
    for split, count in (("train", 500), ("test", 100)):
        pixels = draw.integers(0, 256, (count, images.SIDE, images.SIDE, 3), np.uint8)
        images.write(clone / f"data/arrow/cifar100-{split}.arrow", pixels, np.arange(count) % 100, about)
    (clone / "data" / "ood-test").mkdir()
    for name in ood.NAMES:
        np.save(clone / "data" / "ood-test" / f"{name}.npy", pixels[:5])
    (clone / "DIR").symlink_to("data/ood-test")
    (clone / "holiday").mkdir()
    (clone / "folder").symlink_to("holiday")
    for picture in ("cat.jpg", "holiday/beach.jpg"):
        Image.fromarray(pixels[0]).save(clone / picture)
    shell(clone, "python -m tune.run --space simple_cnn --trials 1 --max-epochs 2 --name NAME")
    return clone


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_followed(page: str, searched: Path, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    shutil.copytree(searched, clone, symlinks=True)
    shell(clone, BEFORE.get(page, ""))
    number = 0
    for language, text in examples(page):
        if language == "sh":
            shell(clone, text)
            continue
        if file := SAVED.get((page, number)):
            (clone / file).write_text(text)
        elif text.startswith("NAMES = "):
            package = clone / "cifar_models" / "__init__.py"
            package.write_text(re.sub(r"^NAMES = .*\n", text, package.read_text(), flags=re.MULTILINE))
        else:
            (clone / "example.py").write_text(GIVEN + text)
            shell(clone, "python example.py")
        number += 1
