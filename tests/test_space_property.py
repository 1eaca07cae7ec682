"""Whatever a user writes into a space file: a search that can begin, or a sentence. Never anything else.

Files are written as text and loaded, as `--space` does it. Most begin as sound ones, of which some are then spoilt.
"""

from __future__ import annotations

import math
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import tune
from tests.space_files import configurations_of_sorts, space_files
from tests.training.conftest import draw_pairs
from tune import domains, space
from tune.search.proposals import Known, _sampler
from tune.settings import Method
from tune.space import SearchSpace
from tune.training.architecture import preprocessing_of
from tune.training.config import TrainConfig
from tune.training.data import TrainingData
from tune.training.images import ImageSet
from tune.training.loop import fit

BY_CHANCE = settings(
    max_examples=1000,
    derandomize=True,
    database=None,
    deadline=None,
    phases=(Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
)
"""The same chance each time."""

Answer = TypeVar("Answer")

OURS = str(Path(tune.__file__).parent)


@pytest.fixture(scope="module")
def images() -> TrainingData:
    """Two images, so that a step costs little beside the network."""
    pixels, labels = draw_pairs(1, 0)
    index = torch.arange(2)
    return TrainingData(ImageSet(torch.from_numpy(pixels), torch.from_numpy(labels), index, ("a",) * 100, ""), None)


def answer(asked: Callable[[], Answer]) -> Answer | ValueError:
    """What was asked for, or what speaks against it."""
    try:
        return asked()
    except ValueError as error:
        return error


def takes_a_step(config: TrainConfig, images: TrainingData) -> None:
    result = next(fit(config, images, torch.device("cpu")))
    assert math.isfinite(result.train_loss)


def drawn(loaded: SearchSpace, method: Method, seed: int) -> Iterator[TrainConfig]:
    """The reference, one drawn by chance, and one learnt from these."""
    known: list[Known] = [Known(loaded.config(values, epochs=loaded.epochs, seed=0)) for _, values in loaded.points()]
    sampler = _sampler(method, loaded)
    for learnt_from in ([], known):
        values = sampler.draw([Known(item.config, 1.0) for item in learnt_from], seed)
        config = loaded.config(values, epochs=loaded.epochs, seed=seed)
        domains.locate(loaded.parameters, config.to_dict())
        known.append(Known(config))
    yield from (item.config for item in known)


def raised_by_us(error: BaseException) -> bool:
    """Whether an exception left our code that was not meant for the user: `load` tells those of the file as well."""
    cause = error.__cause__
    if cause is None or isinstance(cause, ValueError | OSError):
        return False
    frames = traceback.extract_tb(cause.__traceback__)[1:]  # the first is `load` itself
    return any(frame.filename.startswith(OURS) for frame in frames)


def test_a_space_file_gives_a_search_or_a_sentence(tmp_path: Path, images: TrainingData) -> None:
    path, told = tmp_path / "mine.py", Counter[str]()

    @BY_CHANCE
    @given(text=space_files(), method=st.sampled_from(["hyperopt", "optuna"]), seed=st.integers(0, 2**31 - 1))
    def check(text: str, method: Method, seed: int) -> None:
        path.write_text(text)
        loaded = answer(lambda: space.load(path)[0])
        told[type(loaded).__name__] += 1
        if isinstance(loaded, ValueError):
            assert not raised_by_us(loaded), "".join(traceback.format_exception(loaded))
            assert str(loaded).startswith(str(path))
            assert str(loaded).isprintable()
            assert len(str(loaded)) < len(str(path)) + 350
            return
        *_, last = drawn(loaded, method, seed)
        if loaded.model == "simple_cnn":
            takes_a_step(last, images)

    check()
    assert min(told["SearchSpace"], told["ValueError"]) > 200, told


def configured(values: dict[str, Any]) -> TrainConfig:
    """As a space's configurations are: SimpleCNN takes the images."""
    config = TrainConfig.from_dict(values)
    preprocessing_of(config)
    return config


def test_a_configuration_takes_a_step_or_is_refused_with_a_sentence(images: TrainingData) -> None:
    told = Counter[str]()

    @settings(BY_CHANCE, max_examples=250)
    @given(values=configurations_of_sorts())
    def check(values: dict[str, Any]) -> None:
        config = answer(lambda: configured(values))
        told[type(config).__name__] += 1
        if isinstance(config, ValueError):
            assert str(config).endswith(".")
        else:
            takes_a_step(config, images)

    check()
    assert min(told["TrainConfig"], told["ValueError"]) > 60, told
