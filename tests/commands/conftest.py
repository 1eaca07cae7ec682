"""A sound search, a finished run, and no network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torchvision.datasets import CIFAR100

from tests.a_search import settings
from tests.a_web_server import NOBODY
from tests.commands.asking import CONFIG, SPACE, Prepare, Told, only_checked
from tune import cli
from tune.results import TRIALS, RunFolder, create
from tune.training import images, ood


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing is fetched here even where it could be; and nothing lands in the checkout."""
    monkeypatch.setattr(CIFAR100, "url", f"{NOBODY}/{CIFAR100.filename}")
    monkeypatch.setattr(ood, "UPSTREAM", f"{NOBODY}/{{name}}.npy")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def small_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A --data-dir of ten images a class, in the place of CIFAR-100's."""
    root = tmp_path_factory.mktemp("small")
    pixels = np.zeros((1000, images.SIDE, images.SIDE, 3), np.uint8)
    about = {"class_names": [f"class {n}" for n in range(100)]}
    for split in ("train", "test"):
        images.write(root / "arrow" / f"cifar100-{split}.arrow", pixels, np.arange(1000) % 100, about)
    return root


@pytest.fixture
def space(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(SPACE)
    return path


@pytest.fixture
def sound(space: Path, small_data: Path, tmp_path: Path) -> list[str]:
    """Arguments of a search that could start at once."""
    places = ["--space", str(space), "--data-dir", str(small_data), "--storage", str(tmp_path / "results")]
    return [*places, "--name", "one", "--gpus-per-trial", "0", "--wandb", "disabled"]


@pytest.fixture
def finished(small_data: Path, tmp_path: Path) -> RunFolder:
    """A search that has ended, as finalize finds it."""
    folder = create(tmp_path / "results", "one")
    asked = settings(
        data="cifar100",
        data_dir=str(small_data),
        trials=1,
        max_epochs=2,
        seed=42,
        name="one",
        storage=str(folder.path.parent),
    )  # fmt: skip
    folder.write_json("experiment.json", {"settings": asked.to_dict(), "started": "2026-01-01T00:00:00Z"})
    row: dict[str, Any] = {"trial_id": "0000", "status": "finished", "origin": "reference", "epochs": 2}
    config = {f"config.{name}": value for name, value in CONFIG.to_dict().items()}
    folder.write_table("trials.parquet", [row | config], TRIALS)
    folder.write_json("best.json", {"trial_id": "0000", "config": CONFIG.to_dict()})
    return folder


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Told:
    """What a user is told of wrong input: exit code 2, and a sentence or two on stderr."""

    def sentence(prepare: Prepare, *arguments: str) -> str:
        code = cli.run(only_checked(prepare), list(arguments))
        error = capsys.readouterr().err
        assert code == cli.WRONG_INPUT, error
        assert "Traceback" not in error
        assert error.startswith("error: ")
        assert error.count("\n") == 1
        assert error.endswith("\n")
        assert len(error) <= 500
        return error

    return sentence
