"""The house rules that code can check: which way imports go, and what adding an architecture takes."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import benchmarks
import cifar_models
import search_spaces
import tune
from tune import space

ROOT = Path(tune.__file__).parent


def imported(path: Path) -> set[str]:
    """Every module that a file names in an import, wherever it stands."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("path", sorted((ROOT / "training").glob("*.py")), ids=lambda path: path.stem)
def test_training_knows_neither_ray_nor_the_search(path: Path) -> None:
    names = imported(path)
    assert not {name for name in names if name.split(".")[0] in ("ray", "wandb", "hyperopt")}
    assert not {name for name in names if name.startswith(("tune.search", "tune.run", "tune.finalize"))}


@pytest.mark.parametrize("path", sorted(Path(cifar_models.__file__).parent.glob("*.py")), ids=lambda path: path.stem)
def test_architectures_know_nothing_of_the_rest(path: Path) -> None:
    assert not {name for name in imported(path) if name.split(".")[0] in ("ray", "tune")}


@pytest.mark.parametrize("path", sorted((ROOT / "search").glob("*.py")), ids=lambda path: path.stem)
def test_the_search_does_not_call_the_commands(path: Path) -> None:
    assert not {name for name in imported(path) if name.startswith(("tune.run", "tune.finalize"))}


@pytest.mark.parametrize("path", sorted((ROOT / "reporting").glob("*.py")), ids=lambda path: path.stem)
def test_the_report_knows_neither_ray_nor_torch_nor_the_rest(path: Path) -> None:
    names = imported(path)
    assert not {name for name in names if name.split(".")[0] in ("ray", "torch", "wandb", "hyperopt")}
    others = ("tune.search", "tune.run", "tune.finalize", "tune.report.")
    assert not {name for name in names if name.startswith(others) or name == "tune.report"}


def test_a_report_imports_neither_ray_nor_torch() -> None:
    code = "import sys, tune.report, tune.reporting.page, tune.reporting.study, tune.reporting.png\n"
    code += "assert not {'ray', 'torch', 'wandb'} & set(sys.modules)\n"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda path: path.stem)
def test_nothing_needs_the_benchmarks(path: Path) -> None:
    assert not {name for name in imported(path) if name.split(".")[0] == "benchmarks"}


def test_training_and_its_gpu_sessions_run_without_ray_installed() -> None:
    """The engine goes to machines that have torch and nothing else of ours."""
    code = "import sys\nfor name in ('ray', 'wandb', 'hyperopt', 'optuna'): sys.modules[name] = None\n"
    code += "import tune.training.final_training, tune.training.final_evaluation\n"
    code += "import benchmarks.gpu.__main__\nimport benchmarks.fused.__main__\n"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_adding_an_architecture_is_a_file_a_space_and_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "linear.py").write_text(
        "from torch import nn\n"
        "from cifar_models.architecture import Architecture, Preprocessing\n"
        "class Linear(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.fc = nn.Linear(3072, 100)\n"
        "    def forward(self, x):\n"
        "        return self.fc(x.flatten(1))\n"
        "ARCHITECTURE = Architecture(build=lambda weights: Linear(), head='fc', early=(), preprocessing=\n"
        "    Preprocessing(mean=(0.5,) * 3, std=(0.5,) * 3, image_size=32, standard='crop_flip'))\n"
    )
    (tmp_path / "space.py").write_text(
        "from ray import tune\n"
        "from tune.space import SearchSpace\n"
        "SPACE = SearchSpace(model='linear', epochs=1, trials=1, reference={'lr': 0.01, 'batch_size': 8},\n"
        "    parameters={'lr': tune.loguniform(1e-3, 1), 'batch_size': 8})\n"
    )
    monkeypatch.setattr(cifar_models, "__path__", [*cifar_models.__path__, str(tmp_path)])
    monkeypatch.setattr(cifar_models, "NAMES", (*cifar_models.NAMES, "linear"))
    loaded, _ = space.load(tmp_path / "space.py")

    import torch

    from tune.training import images
    from tune.training.data import TrainingData
    from tune.training.loop import fit

    table = images.ImageSet(
        torch.randint(0, 256, (16, 32, 32, 3), dtype=torch.uint8), torch.arange(16), torch.arange(16), ("a",) * 100, ""
    )
    config = loaded.config(loaded.reference, epochs=1, seed=0)
    (result,) = fit(config, TrainingData(table, None), torch.device("cpu"))
    assert result.epoch == 1
    assert not result.diverged


def test_every_shipped_architecture_has_a_space() -> None:
    folder = Path(search_spaces.__file__).parent
    for name in cifar_models.NAMES:
        assert space.load(folder / f"{name}.py")[0].model == name


def test_files_stay_short() -> None:
    long = {
        str(path.relative_to(ROOT.parent)): lines
        for folder in (
            ROOT,
            *(Path(str(package.__file__)).parent for package in (benchmarks, cifar_models, search_spaces)),
        )
        for path in folder.rglob("*.py")
        if (lines := len(path.read_text().splitlines())) > 300
    }
    assert not long


def test_no_merge_conflict_is_left() -> None:
    """In any file that git tracks. Outside a clone there is nothing to look at."""
    root = ROOT.parent
    if not (root / ".git").exists():
        pytest.skip("not a clone")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, check=True, text=True).stdout
    marker = re.compile(rb"^(<<<<<<<|>>>>>>>) ", re.MULTILINE)
    files = [root / name for name in listed.split("\0") if name]
    assert not [str(path) for path in files if path.is_file() and marker.search(path.read_bytes())]
