"""The house rules that code can check: which way imports go, and what adding an architecture takes."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import cifar_models
import search_spaces
from tests import ROOT
from tune import space

TUNE = ROOT / "tune"

IMPORTS = {
    "cifar_models": {"torch", "torchvision"},
    "search_spaces": {"ray", "tune.space"},
    "tune/training": {
        *("numpy", "pyarrow", "scipy", "torch", "cifar_models"),
        *("tune", "tune.files", "tune.intervals", "tune.results", "tune.settings"),
    },
    "tune/reporting": {
        *("PIL", "choreographer", "jinja2", "markupsafe", "numpy", "optuna", "plotly", "pyarrow", "rich", "sqlalchemy"),
        *("tune.cli", "tune.files", "tune.intervals", "tune.results", "tune.settings", "tune.wording"),
        *("tune.training.config", "tune.training.images", "tune.training.sources"),
    },
    "tune/search": {
        *("grpc", "hyperopt", "numpy", "optuna", "pyarrow", "ray", "rich", "scipy", "torch"),
        *("tune.reporting.write", "tune.training", "tune", "tune.cli", "tune.cpu", "tune.domains", "tune.files"),
        *("tune.intervals", "tune.remote", "tune.results", "tune.settings", "tune.space", "tune.storage"),
        *("tune.tracking", "tune.wandb_mode", "tune.wording"),
    },
}
"""What each layer imports from elsewhere: packages, our modules and, as `tune.training`, all of a folder of ours."""


def imported(path: Path) -> set[str]:
    """Every module that a file names in an import, wherever it stands."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.module is not None, "a relative import"
            inside = ROOT / node.module.replace(".", "/")
            found |= {
                f"{node.module}.{alias.name}" if _is_module(inside / alias.name) else node.module
                for alias in node.names
            }
    return found


def _is_module(path: Path) -> bool:
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def from_elsewhere(layer: str) -> set[str]:
    """What a layer imports from outside itself, in the terms of IMPORTS."""
    own = layer.replace("/", ".")
    found: set[str] = set()
    for name in [name for path in (ROOT / layer).glob("*.py") for name in imported(path)]:
        package = name.split(".")[0]
        if f"{name}.".startswith(f"{own}.") or package in sys.stdlib_module_names:
            continue
        if package != "tune":
            name = package
        elif any(name.startswith(f"{allowed}.") for allowed in IMPORTS[layer] if allowed.count(".") == 1):
            name = name.rpartition(".")[0]
        found.add(name)
    return found


@pytest.mark.parametrize("layer", IMPORTS)
def test_a_layer_imports_only_what_its_row_lists(layer: str) -> None:
    assert from_elsewhere(layer) == IMPORTS[layer]


def test_a_report_imports_neither_ray_nor_torch() -> None:
    code = "import sys, tune.report, tune.reporting.page, tune.reporting.study, tune.reporting.png\n"
    code += "assert not {'ray', 'torch', 'wandb'} & set(sys.modules)\n"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_nothing_needs_the_benchmarks_and_plain_data_never_import_the_rooms() -> None:
    commands = {TUNE / f"{name}.py" for name in ("run", "finalize", "report")}
    for path in TUNE.rglob("*.py"):
        refused = ["benchmarks"]
        if path.parent == TUNE and path not in commands:
            refused += ["tune.search", "tune.reporting"]
        named = {f"{name}." for name in imported(path)}
        assert not {name for name in named for each in refused if name.startswith(f"{each}.")}, path


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
        str(path.relative_to(ROOT)): lines
        for folder in ("tune", "cifar_models", "search_spaces", "benchmarks", "tests")
        for path in (ROOT / folder).rglob("*.py")
        if (lines := len(path.read_text().splitlines())) > 300
    }
    assert not long


def test_no_merge_conflict_is_left() -> None:
    """In any file that git tracks. Outside a clone there is nothing to look at."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a clone")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True).stdout
    marker = re.compile(rb"^(<<<<<<<|>>>>>>>) ", re.MULTILINE)
    files = [ROOT / name for name in listed.split("\0") if name]
    assert not [str(path) for path in files if path.is_file() and marker.search(path.read_bytes())]
