"""`fit` judged under corruption: when, on what, and that nothing else changes by it."""

from __future__ import annotations

import pytest
import torch

from tests.training.trainings import CPU, config, figures
from tune.training import corruptions, evaluate
from tune.training.data import TrainingData
from tune.training.loop import fit

pytestmark = pytest.mark.usefixtures("one_thread")

LEARNS = config(optimizer="adamw", lr=0.002, epochs=3, augmentation="crop_flip")


def test_it_is_the_accuracy_on_the_corrupted_images_after_the_epochs_asked_for(tiny: TrainingData) -> None:
    assert tiny.val is not None
    images = corruptions.corrupted(tiny.val)
    found = []
    for result in fit(LEARNS, tiny, CPU, robust_at={1, 3}):
        _, correct = evaluate.evaluate(result.training.eval_model, images, result.training.preprocessing)
        found.append((result.val_robust_acc, 100 * correct.double().mean().item()))
    (first, first_by_hand), (second, _), (third, third_by_hand) = found
    assert (first, second, third) == (first_by_hand, None, third_by_hand)
    assert third_by_hand > 2, "twice what chance gives"


def test_the_training_is_the_same_without_it(tiny: TrainingData) -> None:
    judged, plain = (
        [figures(result) | {"val_robust_acc": None} for result in fit(LEARNS, tiny, CPU, robust_at=asked)]
        for asked in ({1, 2, 3}, ())
    )
    assert judged == plain


def test_without_validation_images_or_a_finite_loss_there_is_none(tiny: TrainingData) -> None:
    (result,) = fit(config(epochs=1), TrainingData(tiny.train, None), torch.device("cpu"), robust_at={1})
    assert result.val_robust_acc is None
    diverges = config(epochs=1, lr=100.0, weight_decay=10.0)
    (result,) = fit(diverges, tiny, CPU, robust_at={1})
    assert result.diverged
    assert result.val_robust_acc is None
