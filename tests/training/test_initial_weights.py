"""Which files of initial weights an architecture takes, told before it is built."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cifar_models import resnet50
from tune.training.initial_weights import find_weights, weights_path


@pytest.mark.parametrize("find", [weights_path, find_weights])
@pytest.mark.parametrize("name", ["simple_cnn", "resnet18"])
def test_a_network_without_pretrained_weights_refuses_a_file(name: str, find: Any, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.touch()
    with pytest.raises(ValueError, match=rf"^{name} starts from random weights; omit --weights\.$"):
        find(name, path)
    assert find(name, None) is None


@pytest.mark.parametrize("find", [weights_path, find_weights])
def test_a_file_that_is_not_there_is_refused(find: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"nowhere\.pth is not a file\.$"):
        find("resnet50", tmp_path / "nowhere.pth")


def test_the_path_is_told_whether_the_weights_are_there_or_not(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))
    assert weights_path("resnet50", None) == resnet50.pretrained_path()
    assert not (tmp_path / "cache").exists()
    (tmp_path / "mine.pth").touch()
    monkeypatch.chdir(tmp_path)
    assert weights_path("resnet50", Path("mine.pth")) == tmp_path / "mine.pth"  # trials run elsewhere


def test_a_file_that_does_not_fit_is_refused_with_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    given = tmp_path / "mine.pth"
    given.write_bytes(b"no weights")
    with pytest.raises(ValueError, match=r"mine\.pth is damaged.* Give another --weights, or omit it\.$"):
        find_weights("resnet50", given)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    cached = resnet50.pretrained_path()
    cached.parent.mkdir(parents=True)
    cached.write_bytes(b"cut off")
    with pytest.raises(ValueError, match=rf"^{cached} is damaged.* Delete it, and it is downloaded again\.$"):
        find_weights("resnet50", None)
