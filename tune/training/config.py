"""TrainConfig: the single truth of what a trial is. Plain data: it imports no torch and no Ray."""

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

MOST_SEED = 2**31 - 1

Optimizer = Literal["sgd", "adamw"]
Scheduler = Literal["constant", "step", "cosine", "one_cycle"]
Augmentation = Literal["none", "standard", "crop_flip", "randaugment", "trivialaugment", "augmix"]


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """One training run, whole. A field that makes no sense raises ValueError with the mend in the sentence."""

    model: str
    """Name of an architecture in `cifar_models`."""

    lr: float
    """Peak learning rate."""

    batch_size: int
    """Images a step. A last, smaller batch of an epoch is left out, as its batch statistics would be noise."""

    epochs: int
    """The horizon: the schedule is spread over this many epochs, and training ends after them."""

    optimizer: Optimizer = "sgd"
    """SGD with momentum, or AdamW."""

    momentum: float = 0.9
    """SGD only."""

    nesterov: bool = False
    """SGD only: Nesterov's momentum."""

    weight_decay: float = 0.0
    """As the optimiser defines it: L2 in the gradient for SGD, decoupled for AdamW."""

    scheduler: Scheduler = "constant"
    """`step`: lr is multiplied by gamma after each epoch, counted from the end of a warm-up;
    `cosine`: to zero over the horizon;
    `one_cycle`: up over the share `warmup`, then down along a cosine (Smith & Topin 2018)."""

    gamma: float = 0.9
    """The factor of `step`."""

    warmup: float = 0.0
    """Share of all steps over which the rate rises linearly to `lr`; for `one_cycle` 0 means torch's own 0.3."""

    augmentation: Augmentation = "standard"
    """`standard` is the architecture's own, `crop_flip` a padded random crop and a flip; `randaugment`,
    `trivialaugment` and `augmix` come on top of the standard one (of crop_flip where that is none)."""

    distortion: float = 0.0
    """Probability that an image is degraded: by noise, blur or coarse quantisation (`training/distortions.py`)."""

    jsd: float = 0.0
    """Weight of AugMix's consistency loss (Hendrycks et al. 2020: 12): the Jensen-Shannon divergence of what is said
    of three views of an image, a clean one among them. A step costs three; 0 is off. Where neither an augmentation
    policy nor `distortion` makes the views differ, it is off too. MixUp and CutMix mix all views alike."""

    random_erasing: float = 0.0
    """Probability that a rectangle of an image is erased (Zhong et al. 2017)."""

    label_smoothing: float = 0.0

    mixup: float = 0.0
    """Alpha of the Beta distribution (Zhang et al. 2017); 0 is off. With CutMix on too, an image draws one of them."""

    cutmix: float = 0.0
    """Alpha of the Beta distribution (Yun et al. 2019); 0 is off."""

    dropout: float = 0.0
    """Probability, before the classifier."""

    ema: float = 0.0
    """Decay, a step, of the exponential moving average of the weights (Polyak & Juditsky 1992), which is then what is
    validated, tested and saved; the first steps decay faster. 0 is off."""

    backbone_lr: float = 1.0
    """The rate of all layers but the classifier, as a share of `lr`."""

    freeze_epochs: int = 0
    """The architecture's early layers do not learn during the first so many epochs."""

    image_size: int = 0
    """Side the network sees, in pixels; 0 is the architecture's own."""

    initial_scale: float = 1.0
    """Progressive resizing: training images begin at this share of `image_size`, and grow linearly to the whole of it
    over the first 80 % of the epochs. Validation is at `image_size` always."""

    seed: int = 42

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
        """Names of the fields, in order."""
        return tuple(field.name for field in dataclasses.fields(cls))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TrainConfig:
        """Builds one from plain values; an unknown or missing key raises ValueError."""
        unknown = sorted(str(name) for name in set(values) - set(cls.fields()))
        if unknown:
            raise ValueError(f"TrainConfig has no parameter {', '.join(unknown)}; it has {', '.join(cls.fields())}.")
        missing = [name for name in ("model", "lr", "batch_size", "epochs") if name not in values]
        if missing:
            raise ValueError(f"TrainConfig needs {', '.join(missing)}.")
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain values, in order."""
        return dataclasses.asdict(self)


_KINDS: dict[str, Any] = get_type_hints(TrainConfig)
_RANGES: dict[str, tuple[float, float]] = {
    "lr": (1e-8, 100.0),
    "batch_size": (1, 65_536),
    "epochs": (1, 10_000),
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
    "freeze_epochs": (0, 10_000),
    "image_size": (0, 1024),
    "initial_scale": (0.25, 1.0),
    "seed": (0, MOST_SEED),
}


def _coerce(name: str, value: Any, kind: Any) -> Any:
    """The value as the field's own type; searchers hand over NumPy scalars and floats for integers."""
    if kind is bool:
        if isinstance(value, np.bool_ | Real) and value in (0, 1):
            return bool(value)
        raise ValueError(f"{name} is {value!r}; it must be True or False.")
    if kind is str:
        if isinstance(value, str):
            return str(value)  # no NumPy string: a checkpoint that holds one can not be loaded safely
        raise ValueError(f"{name} is {value!r}; it must be a word.")
    if choices := get_args(kind):
        if isinstance(value, str) and value in choices:
            return str(value)
        raise ValueError(f"{name} is {value!r}; it must be one of {', '.join(choices)}.")
    if isinstance(value, bool) or not isinstance(value, Real):  # an array of one number is none
        raise ValueError(f"{name} is {value!r}; it must be a number.")
    try:
        number = float(value)
    except OverflowError:
        raise ValueError(f"{name} is too large a number.") from None
    if not math.isfinite(number):
        raise ValueError(f"{name} is {value!r}; it must be a finite number.")
    if 0 < abs(number) < sys.float_info.min:  # such are 0 while an epoch runs (host.py), to some of torch: it crashes
        raise ValueError(f"{name} is {value!r}, too small a number; write 0.")
    if kind is int and number != int(number):
        raise ValueError(f"{name} is {value!r}; it must be a whole number.")
    return kind(number)
