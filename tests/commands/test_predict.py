"""The third command: pictures in, classes and probabilities out; and what one is told who gives it something else."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console
from rich.text import Text

from tests import ROOT
from tests.commands.asking import Told
from tests.training.test_checkpoint import NAMES, config, untrained
from tune import cli, image_files, predict
from tune.results import RunFolder
from tune.training import checkpoint


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of random weights, large enough that pictures differ."""
    path = tmp_path_factory.mktemp("trained") / "model.pt"
    training = untrained(config())
    training.model.get_parameter("fc2.weight").data.mul_(20)
    checkpoint.save_model(path, training, NAMES)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """70 images, more than one batch, the last ten in a subfolder, and two files that are no images."""
    folder = tmp_path / "pictures"
    (folder / "z").mkdir(parents=True)
    draw = np.random.default_rng(0)
    for number in range(70):
        Image.fromarray(draw.integers(0, 256, (40, 36, 3), dtype=np.uint8)).save(image(folder, number))
    (folder / "notes.txt").write_text("none")
    (folder / "cut.png").write_bytes((folder / "00.png").read_bytes()[:1000])
    return folder


def image(folder: Path, number: int) -> Path:
    return folder / f"{number:02d}.png" if number < 60 else folder / "z" / f"{number}.png"


def lines(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    assert cli.run(predict.prepare, list(arguments)) == cli.DONE
    return capsys.readouterr().out.splitlines()


def test_a_line_of_json_a_picture(trained: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(predict.prepare, [str(trained), str(folder), "--json"]) == cli.DONE
    said = capsys.readouterr()
    told = [json.loads(line) for line in said.out.splitlines()]
    assert [row["image"] for row in told] == [str(image(folder, number)) for number in range(70)]
    assert said.err == f"2 files cannot be read as images; the first is {Path('pictures') / 'cut.png'}.\n"

    classifier = checkpoint.load_model(trained)
    seen = torch.from_numpy(np.stack([image_files.read(image(folder, number)) for number in range(70)]))
    with torch.inference_mode():
        expected = classifier.predictor(exact=True)(seen).exp()
    assert len(set(expected.argmax(1).tolist())) > 1
    for row, shares in zip(told, expected, strict=True):
        assert [top["label"] for top in row["top5"]] == [NAMES[label] for label in shares.topk(5).indices]
        assert [top["probability"] for top in row["top5"]] == pytest.approx(shares.topk(5).values.tolist(), abs=1e-5)


def test_a_table_without_control_codes(trained: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, two = folder / "00.png", folder / "01.png"
    head, *rows = lines(capsys, str(trained), str(two), str(one), str(two))
    assert head.split() == ["image", "1", "2", "3", "4", "5"]
    assert [row.split()[0] for row in rows] == [f"pictures/{name}.png" for name in ("01", "00", "01")]
    assert all(row.count(" %") == 5 for row in rows)
    assert "\x1b" not in "".join([head, *rows])


@pytest.mark.parametrize(("width", "classes"), [(120, 5), (80, 4), (50, 2), (30, 1), (20, 1)])
def test_a_narrow_terminal_shows_fewer_classes(
    width: int,
    classes: int,
    trained: Path,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = Console(force_terminal=True, width=width)
    monkeypatch.setattr(predict, "Console", lambda **settings: Console(stderr=True) if settings else terminal)
    head, row, *rest = lines(capsys, str(trained), str(folder / "00.png"))
    assert Text.from_ansi(head).plain.split() == ["image", *map(str, range(1, classes + 1))]
    assert Text.from_ansi(row).plain.startswith("pict")
    assert bool(rest) == (width == 20), "folded only if nothing else helps"
    assert Text.from_ansi(" ".join([row, *rest])).plain.count("%") == classes


def test_views_give_a_mirror_image_the_same_answer(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = Image.fromarray(np.random.default_rng(1).integers(0, 256, (32, 32, 3), dtype=np.uint8))
    picture.save(tmp_path / "a.png")
    picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(tmp_path / "b.png")
    given = [str(trained), str(tmp_path / "a.png"), str(tmp_path / "b.png"), "--json"]
    plain = [json.loads(line)["top5"] for line in lines(capsys, *given)]
    views = [json.loads(line)["top5"] for line in lines(capsys, *given, "--tta")]
    assert plain[0] != plain[1]
    assert [top["label"] for top in views[0]] == [top["label"] for top in views[1]]
    assert [top["probability"] for top in views[0]] == pytest.approx([top["probability"] for top in views[1]], abs=1e-5)


def test_a_model_that_was_tested_with_views_is_used_with_them(
    trained: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with_views, picture = tmp_path / "views.pt", str(folder / "00.png")
    checkpoint.save(with_views, checkpoint.load(trained) | {"tta": True})
    plain = lines(capsys, str(trained), picture, "--json")
    views = lines(capsys, str(trained), picture, "--json", "--tta")
    assert plain != views
    assert lines(capsys, str(with_views), picture, "--json") == views
    assert lines(capsys, str(with_views), picture, "--json", "--no-tta") == plain


@pytest.mark.parametrize("more", [[], ["--json"]])
def test_a_folder_without_an_image_is_a_failure(
    more: list[str], trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("none")
    assert cli.run(predict.prepare, [str(trained), str(tmp_path / "texts"), *more]) == cli.FAILED
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "failed: texts/a.txt cannot be read as an image.\n")


@pytest.mark.filterwarnings("ignore:The given buffer is not writable")  # torch 2.11 warns of what it does itself
def test_a_model_is_exported_into_a_new_folder(trained: Path, tmp_path: Path) -> None:
    target = tmp_path / "new" / "folder" / "model.pt2"
    assert cli.run(predict.prepare, [str(trained), "--export", str(target)]) == cli.DONE
    exported = torch.export.load(target).module()
    with torch.no_grad():
        shares = exported(torch.zeros(3, 32, 32, 3, dtype=torch.uint8))
    expected = checkpoint.load_model(trained).probabilities(torch.zeros(3, 32, 32, 3, dtype=torch.uint8))
    assert torch.allclose(shares, expected, atol=1e-2)


def test_a_run_is_named_as_elsewhere(
    trained: Path, folder: Path, finished: RunFolder, told: Told, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = str(folder / "00.png")
    place = ["--storage", str(finished.path.parent)]
    assert "one has no final model; make it with `python -m tune.finalize" in told(
        predict.prepare, "one", picture, *place
    )
    finished.final.mkdir()
    shutil.copy(trained, finished.final)
    by_name = lines(capsys, "one", picture, *place)
    assert by_name == lines(capsys, str(trained), picture) == lines(capsys, str(finished.path), picture)


def test_the_readmes_lines_load_a_model(trained: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    (lines,) = [block for block in blocks if "load_model" in block]
    assert len(lines.strip().splitlines()) <= 4
    names = {"pixels": torch.zeros(3, 32, 32, 3, dtype=torch.uint8)}
    exec(lines.replace("results/NAME/final/model.pt", str(trained)), names)
    assert names["probabilities"].shape == (3, 100)
    assert torch.allclose(names["probabilities"].sum(1), torch.ones(3), atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["MODEL"]),
        (["MODEL"], ["nothing to do", "--export FILE"]),
        (["MODEL", "nowhere.png"], ["nowhere.png is not there"]),
        (["MODEL", "mine.py"], ["mine.py is not an image that Pillow can identify"]),
        (["MODEL", "empty"], ["empty holds no files"]),
        (["mine.py", "a.png"], ["mine.py"]),
        (["nothing", "a.png"], ["nothing is neither a model file nor a run"]),
        (["MODEL", "--export", "mine.py/model.pt2"], ["mine.py/model.pt2 cannot be written", "--export"]),
        (["MODEL", "--export", "empty"], ["empty is a folder", "--export"]),
        (["MODEL", "a.png", "--top", "3"], ["--top"]),
    ],
)
def test_what_is_wrong_is_told(
    arguments: list[str], words: list[str], trained: Path, space: Path, told: Told, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    Image.new("RGB", (32, 32)).save(tmp_path / "a.png")
    sentence = told(predict.prepare, *[str(trained) if word == "MODEL" else word for word in arguments])
    for word in words:
        assert word in sentence
