"""ResNet-50's ImageNet weights: where they lie, and how they are downloaded."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torchvision import models as torchvision_models

import cifar_models
from cifar_models import Pretrained, resnet50
from tests.models.resnet50_state import assert_holds, flat_state, saved


@pytest.fixture
def weights_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Makes an address the one of torchvision's weights, in torch's cache of this test; no proxy comes between."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))

    def use(url: str) -> Path:
        monkeypatch.setattr(resnet50, "URL", url)
        return tmp_path / "cache" / "hub" / "checkpoints" / url.rsplit("/", 1)[-1]

    return use


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """Weights under a name that ends in the first 8 digits of their SHA-256, as torchvision names them."""
    path = saved(tmp_path / "resnet50.pth", flat_state())
    return path.rename(tmp_path / f"resnet50-{hashlib.sha256(path.read_bytes()).hexdigest()[:8]}.pth")


def test_the_weights_are_torchvisions_second_ones() -> None:
    assert torchvision_models.ResNet50_Weights.IMAGENET1K_V2.url == resnet50.URL
    assert cifar_models.load("resnet50").pretrained == Pretrained(resnet50.pretrained_path, resnet50.fetch_pretrained)


@pytest.mark.parametrize(
    "given", [{}, {"XDG_CACHE_HOME": "/cache"}, {"TORCH_HOME": "~/torch", "XDG_CACHE_HOME": "/no"}]
)
def test_they_lie_where_torch_keeps_them(given: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("XDG_CACHE_HOME", "TORCH_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    path = resnet50.pretrained_path()
    assert path == Path(torch.hub.get_dir()) / "checkpoints" / "resnet50-11ad3fa6.pth"


def test_weights_are_downloaded_once(weights_from: Callable[[str], Path], published: Path) -> None:
    kept = weights_from(published.as_uri())
    assert resnet50.fetch_pretrained() == kept
    assert_holds(resnet50.build(kept), flat_state())
    published.unlink()
    assert resnet50.fetch_pretrained() == kept


def test_without_a_network_the_mend_is_told(weights_from: Callable[[str], Path]) -> None:
    with socket.socket() as closed:  # bound, but nobody listens: a connection is refused
        closed.bind(("127.0.0.1", 0))
        kept = weights_from(f"http://127.0.0.1:{closed.getsockname()[1]}/resnet50-11ad3fa6.pth")
        with pytest.raises(ValueError, match=r"could not be downloaded .*--weights PATH\.$") as caught:
            resnet50.fetch_pretrained()
    assert f"Put {kept.name} from torchvision into {kept.parent}," in str(caught.value)
    assert list(kept.parent.iterdir()) == []


def test_a_damaged_download_is_refused_and_not_kept(weights_from: Callable[[str], Path], published: Path) -> None:
    published.write_bytes(published.read_bytes()[:-1])
    kept = weights_from(published.as_uri())
    with pytest.raises(ValueError, match=r"could not be downloaded .*hash.*--weights PATH\.$"):
        resnet50.fetch_pretrained()
    assert list(kept.parent.iterdir()) == []


def test_a_cache_folder_that_cannot_be_made_is_told(
    weights_from: Callable[[str], Path], published: Path, tmp_path: Path
) -> None:
    kept = weights_from(published.as_uri())
    (tmp_path / "cache").write_text("a file where the folder would be")
    with pytest.raises(ValueError, match=r"could not be downloaded .*--weights PATH\.$") as caught:
        resnet50.fetch_pretrained()
    assert str(kept.parent) in str(caught.value)
