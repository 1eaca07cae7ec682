"""Files that hold a training in progress, or a finished model. Both load with `torch.load(weights_only=True)`."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from cifar_models import Preprocessing
from cifar_models.weights import read_tensors
from tune.files import written
from tune.training.config import TrainConfig
from tune.training.model import build_model
from tune.training.predictor import Predictor
from tune.training.state import Training

CPU = torch.device("cpu")


def save(path: Path, state: dict[str, Any]) -> None:
    """Writes plain values and tensors to `path`, whole or not at all. Unwritable if the disk is full."""
    content = packed(state)  # torch would tell of a full disk as an internal error of its own
    with written(path) as file:
        file.write(content)


def load(path: Path) -> dict[str, Any]:
    """What `save` wrote, on the CPU. ValueError if it can not be read."""
    return _checked(read_tensors(path), str(path))


def packed(state: dict[str, Any]) -> memoryview:
    """The content of such a file."""
    content = io.BytesIO()
    torch.save(state, content)
    return content.getbuffer()


def unpacked(content: bytes, name: str) -> dict[str, Any]:
    """The reverse, as of `load`; `name` is what a mistake is told of."""
    return _checked(read_tensors(name, io.BytesIO(content)), name)


def _checked(state: Any, name: str) -> dict[str, Any]:
    if not isinstance(state, dict):
        raise ValueError(f"{name} is no checkpoint: it holds no dict.")
    return state


@dataclass(frozen=True)
class Classifier:
    """A finished model with the evaluation transform it was trained for."""

    model: nn.Module
    config: TrainConfig
    preprocessing: Preprocessing
    class_names: tuple[str, ...]
    others: Mapping[int, nn.Module] = field(default_factory=dict)
    """Of an ensemble: the same trained on other seeds, by seed."""

    tta: bool = False
    """Whether it was tested with test-time augmentation, which is then part of it."""

    training_id: str = ""
    """The same in all networks that one training of `tune.finalize` made."""

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        return (self.model, *self.others.values())

    @property
    def seeds(self) -> list[int]:
        """In the order of the networks."""
        return [self.config.seed, *self.others]

    def predictor(self, *, tta: bool | None = None, exact: bool = False) -> Predictor:
        """What judges images, in eval mode: all networks, with views as it was tested if `tta` does not say.

        `exact`: in float32.
        """
        tta = self.tta if tta is None else tta
        return Predictor(self.networks, self.preprocessing, tta=tta, exact=exact).eval()

    @torch.inference_mode()
    def logits(self, pixels: Tensor) -> Tensor:
        """uint8 (B, H, W, 3) on the model's device -> float32 (B, 100), as the logarithms of probabilities."""
        return cast(Tensor, self.predictor()(pixels))

    def probabilities(self, pixels: Tensor) -> Tensor:
        """uint8 (B, H, W, 3) on the model's device -> float32 (B, 100); each row adds up to 1."""
        return self.logits(pixels).exp()


def save_model(
    path: Path, training: Training, class_names: tuple[str, ...], training_id: str = "", *, tta: bool = False
) -> None:
    """Writes a finished model: its state_dict, TrainConfig, preprocessing, class names, and how it will be tested."""
    content: dict[str, Any] = {
        "model": {key: value.cpu() for key, value in training.eval_model.state_dict().items()},
        "config": training.config.to_dict(),
        "preprocessing": dataclasses.asdict(training.preprocessing),
        "class_names": list(class_names),
        "tta": tta,
        "training_id": training_id,
    }
    save(path, content)


def load_model(path: Path | str, device: torch.device = CPU) -> Classifier:
    """Reads what `save_model` wrote, in eval mode. ValueError if the file is no such thing."""
    content = load(Path(path))
    try:
        config = TrainConfig.from_dict(content["config"])
        networks = {}
        for seed, state in {config.seed: content["model"], **content.get("others", {})}.items():
            networks[seed] = build_model(config, device).eval()
            networks[seed].load_state_dict(state)
        return Classifier(
            model=networks.pop(config.seed),
            config=config,
            preprocessing=Preprocessing(**content["preprocessing"]),
            class_names=tuple(content["class_names"]),
            others=networks,
            tta=bool(content.get("tta", False)),
            training_id=content.get("training_id", ""),
        )
    except (AttributeError, KeyError, TypeError, RuntimeError) as error:
        raise ValueError(f"{path} is no model that tune.finalize wrote: {error}") from error
