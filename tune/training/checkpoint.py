"""The files of a training in progress and of a finished model. Both load with `torch.load(weights_only=True)`."""

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
from cifar_models.tensor_files import read_tensors
from tune.files import atomic_file
from tune.training import host
from tune.training.config import TrainConfig
from tune.training.model import build_model
from tune.training.predictor import Predictor
from tune.training.state import Training

CPU = torch.device("cpu")


def save(path: Path, state: dict[str, Any]) -> None:
    """Writes plain values and tensors to `path`, atomically. Unwritable if the disk is full."""
    content = packed(state)  # not written by torch itself, which turns a full disk into an internal error
    with atomic_file(path) as file:
        file.write(content)


def load(path: Path) -> dict[str, Any]:
    """Reads what `save` wrote, onto the CPU. ValueError if the file is missing, damaged or not a checkpoint."""
    return _checked(read_tensors(path), str(path))


def packed(state: dict[str, Any]) -> bytes:
    """The bytes that `save` writes."""
    content = io.BytesIO()
    torch.save(state, content)
    # Not `getbuffer`: Python 3.12.1 crashes when its view is garbage in a cycle (python/cpython#111049), as a failed
    # write leaves it. `getvalue` does not copy, either.
    return content.getvalue()


def unpacked(content: bytes, name: str) -> dict[str, Any]:
    """Like `load`, from the bytes of the file; error messages call it `name`."""
    return _checked(read_tensors(name, io.BytesIO(content)), name)


def _checked(state: Any, name: str) -> dict[str, Any]:
    if not isinstance(state, dict):
        raise ValueError(f"{name} is not a checkpoint: it does not hold a dict.")
    return state


@dataclass(frozen=True)
class Classifier:
    """A finished model: one network or an ensemble, with its configuration, preprocessing and class names."""

    model: nn.Module
    config: TrainConfig
    preprocessing: Preprocessing
    class_names: tuple[str, ...]
    others: Mapping[int, nn.Module] = field(default_factory=dict)
    """The other networks of an ensemble, trained on other seeds, by seed."""

    tta: bool = False
    """Whether it was tested with test-time augmentation, which is then the default in `predictor`."""

    training_id: str = ""
    """Identifies the run of `tune.finalize` that trained it; the networks of an ensemble share one."""

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        return (self.model, *self.others.values())

    @property
    def seeds(self) -> list[int]:
        """The seeds of the networks, in the same order."""
        return [self.config.seed, *self.others]

    def predictor(self, *, tta: bool | None = None, exact: bool = False) -> Predictor:
        """The mean over all networks, as one module in eval mode.

        `tta`: test-time augmentation, by default as the model was tested. `exact`: float32 instead of bfloat16.
        """
        tta = self.tta if tta is None else tta
        return Predictor(self.networks, self.preprocessing, tta=tta, exact=exact).eval()

    @torch.inference_mode()
    def log_probabilities(self, pixels: Tensor) -> Tensor:
        """uint8 (B, H, W, 3) on the model's device -> log-probabilities, float32 (B, 100)."""
        return cast(Tensor, self.predictor()(pixels))

    def probabilities(self, pixels: Tensor) -> Tensor:
        """uint8 (B, H, W, 3) on the model's device -> probabilities, float32 (B, 100)."""
        return self.log_probabilities(pixels).exp()


def save_model(
    path: Path, training: Training, class_names: tuple[str, ...], training_id: str = "", *, tta: bool = False
) -> None:
    """Writes a finished model: state dict, TrainConfig, preprocessing, class names, whether tested with TTA."""
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
    """Reads what `save_model` wrote, in eval mode. ValueError if the file is anything else."""
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
    except (AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
        if host.out_of_memory(error):
            raise
        why = " ".join(str(error).split())
        raise ValueError(f"{path} is not a model that tune.finalize wrote: {why}") from error
