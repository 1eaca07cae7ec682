"""What `pip install` of the wheel gives: the packages, the report's page, and commands that work in any folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from tests import ROOT

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, unpacked into a folder of its own. Its dependencies are those of this environment."""
    source, wheels, site = (tmp_path_factory.mktemp(name) for name in ("source", "wheels", "site"))
    for name in ("tune", "cifar_models", "search_spaces", "benchmarks", "tests"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", str(wheels)]
    subprocess.run([*command, str(source)], check=True)
    (wheel,) = wheels.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    return site


def run(installed: Path, folder: Path, *command: str) -> str:
    """What a command prints in `folder`, with nothing of this checkout on its path."""
    path = os.pathsep.join([str(installed), sysconfig.get_paths()["purelib"]])
    # -S leaves out site-packages and the .pth file there that leads to this checkout.
    done = subprocess.run(
        [sys.executable, "-S", *command],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_holds_three_packages_and_the_reports_page(installed: Path) -> None:
    assert {path.name for path in installed.iterdir() if not path.name.endswith(".dist-info")} == {
        "tune", "cifar_models", "search_spaces",
    }  # fmt: skip
    assert {path.name for path in (installed / "tune" / "reporting").glob("page.*")} >= {
        "page.html",
        "page.css",
        "page.js",
    }
    assert {path.parent.name for path in installed.glob("*/py.typed")} == {"tune", "cifar_models", "search_spaces"}


def test_a_shipped_space_is_found_by_its_name(installed: Path, tmp_path: Path) -> None:
    told = run(installed, tmp_path, "-m", "tune.run", "--space", "simple_cnn", "--dry-run")
    assert "Trials: 32" in told
    assert str(installed) in run(installed, tmp_path, "-c", "import tune; print(tune.__file__)")


@pytest.mark.parametrize("command", ["run", "finalize", "predict", "report"])
def test_each_command_is_there(command: str, installed: Path, tmp_path: Path) -> None:
    assert run(installed, tmp_path, "-m", f"tune.{command}", "--help").startswith(f"usage: python -m tune.{command}")
