"""How often the test set was opened: what counts as another look, and what does not."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tune.results import RunFolder
from tune.training import checkpoint, final_evaluation, looks
from tune.training.config import TrainConfig
from tune.training.final_folder import FinalFolder
from tune.training.final_training import train
from tune.training.request import Request

pytestmark = pytest.mark.usefixtures("one_thread")

CONFIG = TrainConfig(model="simple_cnn", lr=0.05, batch_size=20, epochs=1)


@pytest.fixture
def asked(tiny_root: Path) -> Request:
    return Request(CONFIG, "0007", "all", "synthetic", tiny_root, 0.2, 0, None)


@pytest.fixture
def final(tmp_path: Path) -> FinalFolder:
    return FinalFolder(RunFolder(tmp_path), torch.device("cpu"))


def opened(final: FinalFolder, asked: Request) -> int:
    return int(final_evaluation.evaluate(final, asked)["test_opened"])


def test_the_same_training_tested_again_is_no_other_look(final: FinalFolder, asked: Request) -> None:
    list(train(final, asked))
    assert opened(final, asked) == 1
    assert opened(final, asked) == 1


def test_another_training_is_another_look_with_the_same_options_too(final: FinalFolder, asked: Request) -> None:
    for count in (1, 2):
        list(train(final, asked))
        assert opened(final, asked) == count
        final.clear()
        assert [path.name for path in final.folder.path.iterdir()] == [looks.NAME]
        assert not looks.holds_more(final.folder.path)
    told = final.folder.read_json(looks.NAME)["looks"]
    assert told[0]["request"] == told[1]["request"] == asked.to_dict()
    assert len({one["training_id"] for one in told}) == 2


def test_a_training_that_goes_on_is_the_same_one(final: FinalFolder, asked: Request) -> None:
    """It is killed after its last epoch, and again in the test, after the look was written down."""
    list(train(final, asked))
    begun = checkpoint.load(final.checkpoint)["training_id"]
    assert checkpoint.load_model(final.model).training_id == begun
    looks.look(final.folder, begun, asked.to_dict())
    assert list(train(final, asked)) == []
    assert opened(final, asked) == 1


@pytest.mark.parametrize("content", ["{}", '{"looks": null}', '{"looks": [1]}', '{"looks'])
def test_a_damaged_record_is_refused_rather_than_begun_anew(content: str, tmp_path: Path) -> None:
    (tmp_path / looks.NAME).write_text(content)
    with pytest.raises(ValueError, match=r"test_looks\.json is damaged"):
        looks.look(RunFolder(tmp_path), "a", {})
    assert (tmp_path / looks.NAME).read_text() == content
