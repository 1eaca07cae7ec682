"""The file that ResNet-50 starts from: loaded where it fits, refused with a sentence where not."""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torchvision import models as torchvision_models

from cifar_models import resnet50
from tests.intruder import Intruder
from tests.models.resnet50_state import assert_holds, backbone, flat_state, saved


def refusal(path: Path) -> str:
    """The one line of the ValueError, which names the file."""
    with pytest.raises(ValueError, match=f"^{re.escape(str(path))} ") as caught:
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
    assert "does not hold a state_dict" in refusal(saved(tmp_path / "else.pth", content))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (bytes(range(256)) * 16, "is damaged, or holds more than tensors and plain values."),
        (b"Not found", "is damaged, or holds more than tensors and plain values."),
        (b"\x80\x02garbage", "is damaged, or holds more than tensors and plain values."),
        (b"PK\x03\x04" + bytes(100), "cannot be read: "),
        (b"", "cannot be read: EOFError"),
    ],
)
def test_a_file_of_other_bytes_is_refused(content: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "bytes.pth"
    path.write_bytes(content)
    assert words in refusal(path)


def test_a_file_that_was_cut_off_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "cut.pth", flat_state())
    path.write_bytes(path.read_bytes()[:-1000])
    assert "cannot be read: " in refusal(path)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path / "nowhere.pth").endswith(" does not exist.")


def test_a_folder_is_refused(tmp_path: Path) -> None:
    assert "Is a directory" in refusal(tmp_path)


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
