"""TrainConfig: everything that determines one training. Plain data, without torch or Ray."""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any, Literal, get_args, get_type_hints

import numpy as np

import cifar_models

MAX_SEED = 2**31 - 1
MAX_EPOCHS = 10_000

SET_BY_SEARCH = ("model", "epochs", "seed")
"""Fields that a search sets itself: they are the same in all its trials."""

Optimizer = Literal["sgd", "adamw"]
Scheduler = Literal["constant", "step", "cosine", "one_cycle"]
Augmentation = Literal["none", "standard", "crop_flip", "randaugment", "trivialaugment", "augmix"]


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """A complete description of one training. ValueError, naming the range, for a value that is out of range.

    Probabilities and fractions are numbers from 0 to 1.
    """

    model: str
    """The architecture, one of `cifar_models.NAMES`."""

    lr: float
    """Peak learning rate of the classifier; `backbone_lr` scales it for the other layers."""

    batch_size: int
    """Images per optimizer step. An incomplete last batch is dropped, since its batch statistics would be noisy."""

    epochs: int
    """Epochs to train for; also the length of the learning-rate schedule."""

    optimizer: Optimizer = "sgd"
    """`sgd` is torch.optim.SGD with momentum, `adamw` is torch.optim.AdamW with its default betas."""

    momentum: float = 0.9
    """Momentum of SGD; AdamW ignores it."""

    nesterov: bool = False
    """Whether SGD uses Nesterov momentum; AdamW ignores it, and so does SGD without momentum."""

    weight_decay: float = 0.0
    """Applied to all parameters: as an L2 penalty with SGD, decoupled with AdamW (Loshchilov & Hutter 2017)."""

    scheduler: Scheduler = "constant"
    """How the learning rate changes from step to step after the warm-up:

    - `constant`: it stays at `lr`.
    - `step`: it is multiplied by `gamma` after each epoch (torch's StepLR).
    - `cosine`: it falls to zero along half a cosine (CosineAnnealingLR).
    - `one_cycle`: it rises from lr/25 over the fraction `warmup` of all steps, then falls along a cosine to nearly zero
      (OneCycleLR; Smith & Topin 2018). Momentum is not cycled.
    """

    gamma: float = 0.9
    """Factor by which the schedule `step` multiplies the learning rate after each epoch; the others ignore it."""

    warmup: float = 0.0
    """Fraction of all steps over which the rate rises to `lr`, linearly; with `one_cycle`, 0 means torch's 0.3."""

    augmentation: Augmentation = "standard"
    """How training images are augmented:

    - `none`: not at all.
    - `standard`: as the architecture declares, for example a random resized crop for ResNet-50.
    - `crop_flip`: a random crop from the image padded by 4 pixels, and a horizontal flip.
    - `randaugment`, `trivialaugment`, `augmix`: these policies (Cubuk et al. 2019, Mueller & Hutter 2021, Hendrycks et
      al. 2020), followed by `standard`, or by `crop_flip` for an architecture whose standard is `none`.
    """

    distortion: float = 0.0
    """Probability that a training image gets noise, blur or coarse quantisation (`tune/training/distortions.py`)."""

    jsd: float = 0.0
    """Weight of AugMix's consistency loss, 12 in the paper (Hendrycks et al. 2020); 0 turns it off.

    It is the Jensen-Shannon divergence between the predictions for three views of an image, one of them clean, so a
    step costs three times as much. It is also off if neither a policy nor `distortion` makes the views differ. MixUp
    and CutMix treat all views of an image alike.
    """

    random_erasing: float = 0.0
    """Probability that a random rectangle of a training image is set to the mean colour (Zhong et al. 2017)."""

    label_smoothing: float = 0.0
    """Fraction of the target spread evenly over all classes (Szegedy et al. 2015); 0 turns it off."""

    mixup: float = 0.0
    """Alpha of MixUp's Beta distribution (Zhang et al. 2017); 0 turns it off.

    If CutMix is on as well, each image gets one of the two, with equal probability.
    """

    cutmix: float = 0.0
    """Alpha of CutMix's Beta distribution (Yun et al. 2019); 0 turns it off."""

    dropout: float = 0.0
    """Dropout probability on the classifier's inputs."""

    ema: float = 0.0
    """Decay per step of an exponential moving average of the weights (Polyak & Juditsky 1992); 0 turns it off.

    The averaged network is the one that is validated, tested and saved. The first steps use a smaller decay.
    """

    backbone_lr: float = 1.0
    """Learning rate of all layers but the classifier, as a fraction of `lr`."""

    freeze_epochs: int = 0
    """Number of epochs at the start during which the architecture's early layers are frozen."""

    image_size: int = 0
    """Side of the network's input images in pixels; 0 means the architecture's own."""

    initial_scale: float = 1.0
    """Progressive resizing (Howard 2018): training images start at this fraction of `image_size` and grow linearly to
    full size over the first 80 % of the epochs; 1 turns it off. Validation always uses `image_size`."""

    seed: int = 42
    """Seeds the initial weights, the order of the images, augmentation and dropout."""

    def __post_init__(self) -> None:
        for name, kind in _KINDS.items():
            object.__setattr__(self, name, _coerce(name, getattr(self, name), kind))
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"{name} is {value}; it must lie between {low} and {high}.")
        if self.model not in cifar_models.NAMES:
            raise ValueError(f"model is {self.model!r}; it must be one of {', '.join(cifar_models.NAMES)}.")
        if 0 < self.image_size < 8:
            raise ValueError(f"image_size is {self.image_size}; it must be 0 (the model's own) or at least 8.")

    @classmethod
    def fields(cls) -> tuple[str, ...]:
        """The names of the fields, in order of declaration."""
        return tuple(field.name for field in dataclasses.fields(cls))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TrainConfig:
        """Builds a TrainConfig from plain values. ValueError for an unknown or missing name."""
        unknown = sorted(str(name) for name in set(values) - set(cls.fields()))
        if unknown:
            raise ValueError(f"TrainConfig has no parameter {', '.join(unknown)}; it has {', '.join(cls.fields())}.")
        required = [field.name for field in dataclasses.fields(cls) if field.default is dataclasses.MISSING]
        missing = [name for name in required if name not in values]
        if missing:
            raise ValueError(f"TrainConfig needs {', '.join(missing)}.")
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain values, in order of declaration."""
        return dataclasses.asdict(self)


_KINDS: dict[str, Any] = get_type_hints(TrainConfig)
_RANGES: dict[str, tuple[float, float]] = {
    "lr": (1e-8, 100.0),
    "batch_size": (1, 65_536),
    "epochs": (1, MAX_EPOCHS),
    "momentum": (0.0, 0.9999),
    "weight_decay": (0.0, 10.0),
    "gamma": (1e-6, 1.0),
    "warmup": (0.0, 0.9),
    "distortion": (0.0, 1.0),
    "jsd": (0.0, 1000.0),
    "random_erasing": (0.0, 1.0),
    "label_smoothing": (0.0, 0.99),
    "mixup": (0.0, 100.0),
    "cutmix": (0.0, 100.0),
    "dropout": (0.0, 0.99),
    "ema": (0.0, 0.99999),
    "backbone_lr": (0.001, 1.0),
    "freeze_epochs": (0, MAX_EPOCHS),
    "image_size": (0, 1024),
    "initial_scale": (0.25, 1.0),
    "seed": (0, MAX_SEED),
}


def _coerce(name: str, value: Any, kind: Any) -> Any:
    """The value as the field's type: searchers pass NumPy scalars, and floats for integers. ValueError otherwise."""
    if kind is bool:
        if isinstance(value, np.bool_ | Real) and value in (0, 1):
            return bool(value)
        raise ValueError(f"{name} is {value!r}; it must be True or False.")
    if kind is str:
        if isinstance(value, str):
            return str(value)  # not a NumPy string, which torch refuses to load with weights_only=True
        raise ValueError(f"{name} is {value!r}; it must be a word.")
    if choices := get_args(kind):
        if isinstance(value, str) and value in choices:
            return str(value)
        raise ValueError(f"{name} is {value!r}; it must be one of {', '.join(choices)}.")
    if isinstance(value, bool) or not isinstance(value, Real):  # an array of one number is no Real
        raise ValueError(f"{name} is {value!r}; it must be a number.")
    try:
        number = float(value)
    except OverflowError:
        raise ValueError(f"{name} is too large a number.") from None
    if not math.isfinite(number):
        raise ValueError(f"{name} is {value!r}; it must be a finite number.")
    if 0 < abs(number) < sys.float_info.min:  # subnormal: some torch kernels flush it to 0 (host.py), and crash
        raise ValueError(f"{name} is {value!r}, too small a number; write 0.")
    if kind is int and number != int(number):
        raise ValueError(f"{name} is {value!r}; it must be a whole number.")
    return kind(number)


def at_horizon(config: TrainConfig, epochs: int) -> TrainConfig:
    """The same configuration for another number of epochs:

    - `cosine` and `one_cycle` span all epochs, and `warmup` is a share of all steps: they need no change.
    - `step`: gamma becomes gamma^(old/new), so that the learning rate falls by the same factor over the whole training.
    - `freeze_epochs` keeps its fraction of the epochs, rounded, but at least one.
    - Everything else stays as it is.
    """
    ratio = epochs / config.epochs
    gamma = max(_RANGES["gamma"][0], config.gamma ** (1 / ratio)) if config.scheduler == "step" else config.gamma
    frozen = max(1, round(config.freeze_epochs * ratio)) if config.freeze_epochs else 0
    return dataclasses.replace(config, epochs=epochs, gamma=gamma, freeze_epochs=frozen)
