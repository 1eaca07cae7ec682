"""What answers in the end: one network or the mean of several, over one view or many, with whose statistics."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tune.training import batch_norm, evaluate
from tune.training.config import TrainConfig
from tune.training.image_size import preprocessing_of
from tune.training.model import build_model
from tune.training.predictor import SHIFTS, Predictor, views

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")
CONFIG = TrainConfig(model="simple_cnn", lr=0.1, batch_size=8, epochs=1)
RESNET = TrainConfig(model="resnet18", lr=0.1, batch_size=8, epochs=1, image_size=8)


def network(seed: int, **changes: Any) -> nn.Module:
    return build_model(TrainConfig.from_dict(CONFIG.to_dict() | {"seed": seed} | changes), CPU).eval()


def pixels(count: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(256, (count, 32, 32, 3), dtype=torch.uint8, generator=generator)


@torch.inference_mode()
def probabilities(predictor: Predictor, images: Tensor) -> Tensor:
    answer: Tensor = predictor(images).exp()
    return answer


def test_one_network_says_what_it_says_in_validation() -> None:
    alone = network(0)
    predictor = Predictor([alone], preprocessing_of(CONFIG)).eval()
    logits = evaluate.logits(alone, pixels(8), preprocessing_of(CONFIG))
    assert torch.allclose(probabilities(predictor, pixels(8)), logits.softmax(1), atol=1e-7)


def test_an_ensemble_is_the_mean_of_probabilities() -> None:
    networks = [network(seed) for seed in range(3)]
    # Sure of themselves, so that a mean of logits would be another one.
    for one in networks:
        one.get_parameter("fc2.weight").data.mul_(50)
    each = [probabilities(Predictor([one], preprocessing_of(CONFIG)), pixels(8)) for one in networks]
    together = probabilities(Predictor(networks, preprocessing_of(CONFIG)), pixels(8))
    assert torch.allclose(together, torch.stack(each).mean(0), atol=1e-6)
    assert torch.allclose(together.sum(1), torch.ones(8), atol=1e-5)


def test_a_view_is_a_shift_or_its_mirror_image() -> None:
    image = torch.arange(9, dtype=torch.uint8).view(1, 3, 3, 1).expand(1, 3, 3, 3)
    seen = [view[0, :, :, 0].tolist() for view in views(image)]
    assert seen[:2] == [[[0, 1, 2], [3, 4, 5], [6, 7, 8]], [[2, 1, 0], [5, 4, 3], [8, 7, 6]]]
    down_and_right = seen[2 * SHIFTS.index((1, 1))]
    assert down_and_right == [[0, 0, 1], [0, 0, 1], [3, 3, 4]], "what is laid bare repeats the edge"
    assert len(seen) == 2 * len(SHIFTS)


def test_views_make_a_mirror_image_the_same_image() -> None:
    predictor = Predictor([network(0)], preprocessing_of(CONFIG), tta=True, exact=True)
    plain = Predictor([network(0)], preprocessing_of(CONFIG), exact=True)
    images, mirrored = pixels(4), pixels(4).flip(2)
    assert torch.allclose(probabilities(predictor, images), probabilities(predictor, mirrored), atol=1e-6)
    assert not torch.allclose(probabilities(plain, images), probabilities(plain, mirrored), atol=1e-6)
    by_hand = torch.stack([probabilities(plain, view) for view in views(images)]).mean(0)
    assert torch.allclose(probabilities(predictor, images), by_hand, atol=1e-6)


def test_exact_is_float32_whatever_the_hardware_has() -> None:
    seen = []
    one = network(0)
    one.get_submodule("conv1").register_forward_hook(lambda module, args, out: seen.append(out.dtype))
    probabilities(Predictor([one], preprocessing_of(CONFIG), exact=True), pixels(2))
    assert seen == [torch.float32]


@pytest.mark.parametrize("tta", [False, True])
def test_adapted_statistics_are_those_of_the_images_alone_and_go_again(tta: bool) -> None:
    one = network(0, model="resnet18", image_size=8)
    predictor = Predictor([one], preprocessing_of(RESNET), tta=tta, exact=True).eval()
    before = {name: buffer.clone() for name, buffer in one.named_buffers()}
    answer = probabilities(predictor, pixels(8))
    stem: list[Tensor] = []
    one.get_submodule("conv1").register_forward_hook(lambda module, args, out: stem.append(out))
    file = (pixels(64).numpy() // 8 + 200).astype(np.uint8)  # pale
    with batch_norm.adapted(predictor, file, 16, CPU):
        passes = torch.cat([out.detach().float() for out in stem])  # bf16, where a CPU has it
        assert len(passes) == 64, "each image once, without views"
        assert torch.allclose(one.get_buffer("bn1.running_mean"), passes.mean((0, 2, 3)), atol=1e-4)
        assert not one.training
        assert not torch.equal(probabilities(predictor, pixels(8)), answer)
    for name, buffer in one.named_buffers():
        assert torch.equal(buffer, before[name]), name
    assert not one.get_submodule("bn1").training
    assert torch.equal(probabilities(predictor, pixels(8)), answer)


def test_each_batch_of_the_statistics_spans_the_file() -> None:
    """Rows are sorted by severity, and what differs between severities is variance, too."""
    file = np.repeat(np.arange(5, dtype=np.uint8), 20)[:, None, None, None] * np.ones((1, 32, 32, 3), np.uint8)
    batches = list(batch_norm.spread(file, 16, CPU))
    assert sum(map(len, batches)) == 100
    assert all(set(batch.unique().tolist()) == {0, 1, 2, 3, 4} for batch in batches)


def test_batch_norm_is_told_where_it_is() -> None:
    assert batch_norm.has_batch_norm(network(0, model="resnet18", image_size=8))
    assert not batch_norm.has_batch_norm(network(0))
