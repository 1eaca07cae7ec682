"""The final model on the challenge's files: in order, with the views and the statistics that were asked for."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from tests.training.test_checkpoint import NAMES, config, untrained
from tune.results import RunFolder
from tune.training import batch_norm, checkpoint
from tune.training.final_folder import FinalFolder
from tune.training.final_predictions import predict

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")
N = 4


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Two small files, the second one pale."""
    pixels = np.random.default_rng(0).integers(0, 256, (5 * N, 32, 32, 3), dtype=np.uint8)
    files = [tmp_path / f"distortion{number:02d}.npy" for number in range(2)]
    np.save(files[0], pixels)
    np.save(files[1], pixels[::-1] // 4 + 150)
    return files


@pytest.fixture
def final(tmp_path: Path) -> FinalFolder:
    """With a ResNet-18 of random weights."""
    final = FinalFolder(RunFolder(tmp_path / "run"), CPU)
    final.folder.path.mkdir(parents=True)
    training = untrained(config(model="resnet18", image_size=8, batch_size=20))
    checkpoint.save_model(final.model, training, NAMES)
    final.folder.write_json("metrics.json", {"test_acc": 1.0})
    return final


def probabilities(final: FinalFolder) -> np.ndarray:  # type: ignore[type-arg]
    return np.array(pq.read_table(final.folder.path / "ood_predictions.parquet")["top5_probability"].to_pylist())


def test_files_are_predicted_in_their_order(final: FinalFolder, files: list[Path]) -> None:
    told: list[tuple[int, int]] = []
    assert predict(final, files, tta=False, adapt=False, done=lambda *counts: told.append(counts)) == 10 * N
    assert sum(count for count, _ in told) == 10 * N
    assert {total for _, total in told} == {10 * N}
    classifier = checkpoint.load_model(final.model, CPU)
    labels = [classifier.log_probabilities(torch.from_numpy(np.load(path))).argmax(1).tolist() for path in files]
    lines = final.submission.read_text().splitlines()[1:]
    assert [int(line.rpartition(",")[2]) for line in lines] == labels[0] + labels[1]
    table = pq.read_table(final.folder.path / "ood_predictions.parquet")
    assert [f"{row['id']},{row['label']}" for row in table.to_pylist()] == lines
    assert final.folder.read_json("metrics.json") == {
        "test_acc": 1.0,
        "ood": {"images": 10 * N, "seeds": [42], "tta": False, "adapt_batch_norm": False},
    }


def test_adapted_batch_norm_is_each_files_own_and_told(final: FinalFolder, files: list[Path]) -> None:
    predict(final, files, tta=False, adapt=False)
    plain = probabilities(final)
    predict(final, files, tta=False, adapt=True)
    adapted = probabilities(final)
    assert not np.allclose(plain, adapted, atol=1e-3)
    predict(final, files[1:], tta=False, adapt=True)
    assert np.allclose(probabilities(final), adapted[5 * N :]), "what came before does not matter"
    metadata = pq.read_schema(final.folder.path / "ood_predictions.parquet").metadata
    assert json.loads(metadata[b"about"]) == {"seeds": [42], "tta": False, "adapt_batch_norm": True}
    assert final.folder.read_json("metrics.json")["ood"]["adapt_batch_norm"] is True

    predictor = checkpoint.load_model(final.model, CPU).predictor()
    pixels = np.load(files[1])
    with batch_norm.adapted(predictor, pixels, 64, CPU), torch.inference_mode():
        expected = predictor(torch.from_numpy(pixels)).exp().amax(1)
    assert adapted[5 * N :, 0] == pytest.approx(expected.numpy(), abs=1e-3)


def test_views_are_told(final: FinalFolder, files: list[Path]) -> None:
    predict(final, files, tta=False, adapt=False)
    plain = probabilities(final)
    predict(final, files, tta=True, adapt=False)
    assert not np.allclose(plain, probabilities(final), atol=1e-4)
    assert final.folder.read_json("metrics.json")["ood"]["tta"] is True
