"""The three networks against the report's printed structure, and the weights ResNet-50 starts from."""

from __future__ import annotations

import hashlib
import os
import pickle
import re
import socket
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision import models as torchvision_models

import cifar_models
from cifar_models import Preprocessing, Pretrained, resnet50

PRINTED_SIMPLE_CNN = """\
SimpleCNN(
  (conv1): Conv2d(3, 32, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))
  (conv2): Conv2d(32, 64, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))
  (fc1): Linear(in_features=4096, out_features=256, bias=True)
  (fc2): Linear(in_features=256, out_features=100, bias=True)
)"""

# What the report changes in torchvision's print, line by line.
CHANGED_LINES = {
    "resnet18": {
        "  (conv1): Conv2d(3, 64, kernel_size=(7, 7), stride=(2, 2), padding=(3, 3), bias=False)": (
            "  (conv1): Conv2d(3, 64, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1), bias=False)"
        ),
        "  (maxpool): MaxPool2d(kernel_size=3, stride=2, padding=1, dilation=1, ceil_mode=False)": (
            "  (maxpool): Identity()"
        ),
        "  (fc): Linear(in_features=512, out_features=1000, bias=True)": (
            "  (fc): Linear(in_features=512, out_features=100, bias=True)"
        ),
    },
    "resnet50": {
        "  (fc): Linear(in_features=2048, out_features=1000, bias=True)": (
            "  (fc): Linear(in_features=2048, out_features=100, bias=True)"
        ),
    },
}


def meta(name: str) -> nn.Module:
    """The network without memory: for its structure and shapes."""
    with torch.device("meta"):
        return cifar_models.load(name).build(None)


@cache
def torchvisions(name: str) -> nn.Module:
    """torchvision's own, likewise; only to be looked at."""
    with torch.device("meta"):
        model: nn.Module = getattr(torchvision_models, name)(weights=None)
        return model


# Structure


def test_simple_cnn_is_printed_as_in_the_report() -> None:
    assert str(meta("simple_cnn")) == PRINTED_SIMPLE_CNN


def test_simple_cnn_pools_first_and_is_to_the_bit_what_relu_first_gives() -> None:
    """ReLU after the pooling works on a quarter of the numbers; the report has it before."""
    torch.manual_seed(0)
    model: Any = cifar_models.load("simple_cnn").build(None)
    images = torch.randn(16, 3, 32, 32)

    def as_reported(x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(model.conv1(x)), 2)
        x = F.max_pool2d(F.relu(model.conv2(x)), 2)
        out: Tensor = model.fc2(F.relu(model.fc1(x.flatten(1))))
        return out

    found = []
    for forward in (model, as_reported):
        model.zero_grad()
        out = forward(images)
        out.square().sum().backward()
        found.append([out, *(parameter.grad for parameter in model.parameters())])
    assert all(torch.equal(ours, reported) for ours, reported in zip(*found, strict=True))


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_a_resnet_is_printed_as_torchvisions_with_the_reports_changes_only(name: str) -> None:
    changed = CHANGED_LINES[name]
    theirs = str(torchvisions(name)).split("\n")
    assert [theirs.count(line) for line in changed] == [1] * len(changed)
    assert str(meta(name)).split("\n") == [changed.get(line, line) for line in theirs]


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_a_resnet_has_torchvisions_keys_in_torchvisions_order(name: str) -> None:
    assert list(meta(name).state_dict()) == list(torchvisions(name).state_dict())


@pytest.mark.parametrize(
    ("name", "shapes"),
    [
        (
            "simple_cnn",
            {
                "conv1.weight": (32, 3, 3, 3), "conv1.bias": (32,), "conv2.weight": (64, 32, 3, 3), "conv2.bias": (64,),
                "fc1.weight": (256, 4096), "fc1.bias": (256,), "fc2.weight": (100, 256), "fc2.bias": (100,),
            },
        ),
        ("resnet18", {"conv1.weight": (64, 3, 3, 3), "fc.weight": (100, 512), "fc.bias": (100,)}),
        ("resnet50", {"conv1.weight": (64, 3, 7, 7), "fc.weight": (100, 2048), "fc.bias": (100,)}),
    ],
)  # fmt: skip
def test_the_layers_that_the_report_names_have_its_shapes(name: str, shapes: dict[str, tuple[int, ...]]) -> None:
    named = {key.split(".")[0] for key in shapes}
    own = {key: tuple(value.shape) for key, value in meta(name).named_parameters() if key.split(".")[0] in named}
    assert own == shapes


@pytest.mark.parametrize(
    ("name", "count"), [("simple_cnn", 1_093_924), ("resnet18", 11_220_132), ("resnet50", 23_712_932)]
)
def test_the_number_of_parameters(name: str, count: int) -> None:
    assert sum(parameter.numel() for parameter in meta(name).parameters()) == count


@pytest.mark.parametrize(
    ("name", "side", "before_pooling"),
    [("resnet18", 32, 4), ("resnet18", 64, 8), ("resnet50", 224, 7), ("resnet50", 96, 3)],
)
def test_a_resnet_sees_images_at_the_resolution_meant(name: str, side: int, before_pooling: int) -> None:
    """ResNet-18 shrinks them 8 times (its stem not at all), ResNet-50 32 times."""
    model, seen = meta(name), []
    model.get_submodule("layer4").register_forward_hook(lambda module, args, out: seen.append(tuple(out.shape[2:])))
    assert model(torch.empty(2, 3, side, side, device="meta")).shape == (2, 100)
    assert seen == [(before_pooling, before_pooling)]


def test_simple_cnn_computes_convolution_relu_pool_twice_then_two_linear_layers() -> None:
    model: Any = cifar_models.load("simple_cnn").build(None)
    by_hand = nn.Sequential(
        model.conv1, nn.ReLU(), nn.MaxPool2d(2, 2), model.conv2, nn.ReLU(), nn.MaxPool2d(2, 2), nn.Flatten(),
        model.fc1, nn.ReLU(), model.fc2,
    )  # fmt: skip
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(model(images), by_hand(images))
    assert model(images).shape == (4, 100)


@pytest.mark.parametrize("name", cifar_models.NAMES)
def test_the_head_classifies_and_the_early_modules_come_first(name: str) -> None:
    """What dropout and freeze_epochs take hold of."""
    architecture, model = cifar_models.load(name), meta(name)
    assert model.get_submodule(architecture.head) is list(model.children())[-1]
    children = [child for child, module in model.named_children() if any(True for _ in module.parameters())]
    assert tuple(children[: len(architecture.early)]) == architecture.early


def test_an_unknown_model_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(ValueError, match=r"no model 'vgg16'; choose one of simple_cnn, resnet18, resnet50\.$"):
        cifar_models.load("vgg16")


# Preprocessing

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@pytest.mark.parametrize(
    ("name", "preprocessing"),
    [
        ("simple_cnn", Preprocessing((0.5, 0.5, 0.5), (0.5, 0.5, 0.5), image_size=32, standard="none")),
        ("resnet18", Preprocessing((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762), 32, "crop_flip")),
        ("resnet50", Preprocessing(*IMAGENET, 224, "resized_crop_flip", resize=256)),
    ],
)
def test_the_preprocessing_is_the_reports(name: str, preprocessing: Preprocessing) -> None:
    assert cifar_models.load(name).preprocessing == preprocessing


def test_another_image_size_keeps_the_margin_of_the_centre_crop() -> None:
    own = cifar_models.load("resnet50").preprocessing
    assert own.at(112) == Preprocessing(*IMAGENET, 112, "resized_crop_flip", resize=128)
    assert own.at(0) == own.at(224) == own


def test_another_image_size_without_a_centre_crop_stays_without() -> None:
    resized = cifar_models.load("resnet18").preprocessing.at(64)
    assert (resized.image_size, resized.resize) == (64, None)


# ResNet-50's weights


def flat_state(dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """A state_dict of torchvision's resnet50, each tensor filled with a number of its own: a small file."""
    state = {}
    for number, (key, value) in enumerate(torchvisions("resnet50").state_dict().items()):
        kind = dtype if value.is_floating_point() else value.dtype
        state[key] = torch.tensor(number + 1, dtype=kind).expand(value.shape)
    return state


def saved(path: Path, content: Any) -> Path:
    torch.save(content, path)
    return path


def backbone(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key: value for key, value in state.items() if not key.startswith("fc.")}


def assert_holds(model: nn.Module, state: dict[str, Tensor]) -> None:
    """The backbone of `state` as float32, and a classifier that is not zero, not the file's and not too large."""
    own = model.state_dict()
    for key, value in backbone(state).items():
        wanted = value.to(torch.float32) if value.is_floating_point() else value
        torch.testing.assert_close(own[key], wanted, rtol=0, atol=0, msg=key)
    assert own["fc.weight"].shape == (100, 2048)
    assert 0 < own["fc.weight"].abs().max() <= 2048**-0.5
    assert not torch.equal(own["fc.weight"], state["fc.weight"][:100].float())


def refusal(path: Path) -> str:
    """The one line of the ValueError, which names the option and the file."""
    with pytest.raises(ValueError, match=f"^--weights:? {re.escape(str(path))} ") as caught:
        resnet50.build(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_state_dict_saved_by_torchvision_is_loaded_but_for_its_classifier(tmp_path: Path) -> None:
    theirs = torchvision_models.resnet50(weights=None)
    for name, buffer in theirs.named_buffers():
        if buffer.is_floating_point():
            buffer.uniform_(0.5, 1.5)
        assert name.endswith(("running_mean", "running_var", "num_batches_tracked"))
    path = saved(tmp_path / "theirs.pth", theirs.state_dict())
    assert_holds(resnet50.build(path), theirs.state_dict())


def test_half_precision_is_cast(tmp_path: Path) -> None:
    state = flat_state(torch.float16)
    model = resnet50.build(saved(tmp_path / "half.pth", state))
    assert_holds(model, state)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def test_the_classifier_and_the_batch_counters_may_be_missing(tmp_path: Path) -> None:
    state = {key: value for key, value in flat_state().items() if "num_batches_tracked" not in key}
    assert_holds(resnet50.build(saved(tmp_path / "headless.pth", backbone(state))), state)


def test_the_real_weights_are_loaded(resnet50_weights: Path) -> None:
    state = torch.load(resnet50_weights, map_location="cpu", weights_only=True)
    assert_holds(resnet50.build(resnet50_weights), state)


def test_missing_unknown_and_misshapen_tensors_are_named(tmp_path: Path) -> None:
    state = flat_state()
    del state["layer1.0.conv2.weight"], state["layer4.2.bn3.running_var"]
    state["layer5.weight"] = torch.zeros(1)
    state["conv1.weight"] = torch.zeros(64, 3, 3, 3)
    told = refusal(saved(tmp_path / "wrong.pth", state))
    assert told.endswith(
        "does not fit torchvision's resnet50: missing layer1.0.conv2.weight; missing layer4.2.bn3.running_var; "
        "unknown layer5.weight; conv1.weight is (64, 3, 3, 3), not (64, 3, 7, 7)."
    )


def test_of_many_that_do_not_fit_eight_are_named_and_the_others_counted(tmp_path: Path) -> None:
    state = {f"module.{key}": value for key, value in flat_state().items()}
    told = refusal(saved(tmp_path / "parallel.pth", state))
    wanted = [key for key in backbone(flat_state()) if "num_batches_tracked" not in key]
    assert told.count("missing ") == 8
    assert told.endswith(f"; and {len(wanted) + len(state) - 8} more.")


@pytest.mark.parametrize(
    "content", [[1, 2], {"state_dict": {}}, torch.zeros(3), {"epoch": 3}, "weights", {0: torch.zeros(3)}]
)
def test_a_file_that_holds_something_else_is_refused(content: Any, tmp_path: Path) -> None:
    assert "holds no state_dict" in refusal(saved(tmp_path / "else.pth", content))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (bytes(range(256)) * 16, "is damaged, or holds more than tensors and plain values."),
        (b"Not found", "is damaged, or holds more than tensors and plain values."),
        (b"\x80\x02garbage", "is damaged, or holds more than tensors and plain values."),
        (b"PK\x03\x04" + bytes(100), "can not be read: "),
        (b"", "can not be read: EOFError"),
    ],
)
def test_a_file_of_other_bytes_is_refused(content: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "bytes.pth"
    path.write_bytes(content)
    assert words in refusal(path)


def test_a_file_that_was_cut_off_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "cut.pth", flat_state())
    path.write_bytes(path.read_bytes()[:-1000])
    assert "can not be read: " in refusal(path)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path / "nowhere.pth").endswith(" is not there.")


def test_a_folder_is_refused(tmp_path: Path) -> None:
    assert "Is a directory" in refusal(tmp_path)


class Intruder:
    """Pickled, it makes a folder where it is loaded."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("way", ["torch.save", "pickle", "in a dict"])
def test_code_in_a_file_is_not_run(way: str, tmp_path: Path) -> None:
    intruder, path = Intruder(tmp_path / "was here"), tmp_path / "code.pth"
    if way == "pickle":
        path.write_bytes(pickle.dumps(intruder, protocol=2))
    else:
        saved(path, intruder if way == "torch.save" else flat_state() | {"conv1.weight": intruder})
    assert refusal(path).endswith(" is damaged, or holds more than tensors and plain values.")
    assert not intruder.folder.exists()
    if way == "pickle":
        pickle.loads(path.read_bytes())
    else:
        torch.load(path, weights_only=False)
    assert intruder.folder.is_dir(), "loaded carelessly it does nothing either, so this test shows nothing"


# ResNet-50's download


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


def test_a_cache_folder_that_can_not_be_made_is_told(
    weights_from: Callable[[str], Path], published: Path, tmp_path: Path
) -> None:
    kept = weights_from(published.as_uri())
    (tmp_path / "cache").write_text("a file where the folder would be")
    with pytest.raises(ValueError, match=r"could not be downloaded .*--weights PATH\.$") as caught:
        resnet50.fetch_pretrained()
    assert str(kept.parent) in str(caught.value)
