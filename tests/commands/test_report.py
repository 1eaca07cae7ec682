"""`python -m tune.report`: what it is given, what it writes, and where."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from rich.console import Console

from tests import ROOT
from tests.an_s3 import Bucket
from tests.commands.asking import Told
from tests.reporting import a_run
from tune import cli, report, storage
from tune.results import RunFolder
from tune.search.mirror import mirrored


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return a_run.searched(tmp_path / "results" / "one", trials=6, horizon=4)


def test_a_run_is_found_by_name_and_path_and_its_report_lies_with_it(
    run: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("one", str(run.path)):
        assert cli.run(report.prepare, [name]) == cli.DONE
        assert capsys.readouterr().out == "Written: results/one/report.html\n"
        (run.path / "report.html").unlink()


def test_several_runs_are_written_here(run: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = shutil.copytree(run.path, tmp_path / "elsewhere" / "one")
    assert cli.run(report.prepare, ["one", str(other), "one"]) == cli.DONE
    assert capsys.readouterr().out == "Written: report.html\n"
    html = (tmp_path / "report.html").read_text()
    assert "<title>2 runs compared</title>" in html
    assert "one (results/one)" in html
    assert "one (elsewhere/one)" in html


def test_a_file_of_another_name(run: RunFolder, tmp_path: Path) -> None:
    assert cli.run(report.prepare, ["one", "--out", "a/new/place.html", "--optuna"]) == cli.DONE
    assert {path.name for path in (tmp_path / "a" / "new").iterdir()} == {"place.html", "study.db"}
    assert not (run.path / "report.html").exists()


def test_wrong_input_is_told_in_a_sentence(run: RunFolder, told: Told, tmp_path: Path) -> None:
    assert "There is no run 'two'" in told(report.prepare, "two")
    assert "RUN" in told(report.prepare)
    assert "is a folder; give --out the name of a file" in told(report.prepare, "one", "--out", str(tmp_path))
    (tmp_path / "file").touch()
    assert "cannot be written (Not a directory)" in told(report.prepare, "one", "--out", "file/report.html")


@pytest.mark.parametrize("missing", ["kaleido", "browser"])
def test_png_without_what_draws_it(run: RunFolder, told: Told, monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    if missing == "kaleido":
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
        assert "--png needs kaleido; run `pip install kaleido`" in told(report.prepare, "one", "--png")
    else:
        monkeypatch.setattr("choreographer.browsers.chromium.Chromium.find_browser", lambda **_: None)
        assert "none was found; install Chrome or Chromium" in told(report.prepare, "one", "--png")


@pytest.mark.skipif(shutil.which("chromium") is None, reason="Chromium is not on PATH")
@pytest.mark.slow
def test_png_of_every_chart(tmp_path: Path) -> None:
    run = a_run.searched(tmp_path / "results" / "one", trials=16, horizon=4)
    assert cli.run(report.prepare, ["one", "--png"]) == cli.DONE
    names = {path.stem for path in (run.path / "charts").iterdir()}
    assert {"learning-curves", "saved", "importance", "parallel", "slice", "history", "timeline"} <= names
    for path in (run.path / "charts").iterdir():
        content = path.read_bytes()
        assert content[:4] == b"\x89PNG"
        assert int.from_bytes(content[16:20]) >= 1800, "twice the width"


def test_a_run_in_an_object_store(
    s3: Bucket, run: RunFolder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    uri = s3.uri("shown")
    a_run.finalize(run, 1000)
    (run.final / "model.pt").write_bytes(b"large")
    made = storage.resolve(uri).create("one")
    for path in run.path.iterdir():
        path.rename(made.path / path.name)
    with mirrored(made, Console()):
        pass
    storage.upload_final(made)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another machine"))
    assert cli.run(report.prepare, ["one", "--storage", uri, "--optuna"]) == cli.DONE
    assert "Written: s3://bucket/shown/one" in capsys.readouterr().out
    there = s3.files("shown/one")
    assert b"Distorted images" in there["report.html"]
    assert there["study.db"][:6] == b"SQLite"
    assert not list((tmp_path / "another machine").rglob("model.pt")), "what the report does not need stays there"


def test_the_one_liners_of_the_readme(run: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    (lines,) = [block for block in blocks if "duckdb" in block]
    exec(compile(lines.replace("NAME", "one"), "README.md", "exec"), {})
    out = capsys.readouterr().out
    assert "0005" in out
    assert "config.scheduler" in out
    best = max(row["val_acc"] for row in run.read_rows("epochs.parquet") if row["val_acc"] is not None)
    assert f"{best:.4g}" in out
