"""What stands in a report, whatever state its run is in."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from tests import ROOT
from tests.reporting import a_run
from tune import report, results
from tune.reporting import compare, page, write
from tune.reporting.load import load
from tune.results import EPOCHS, RunFolder


class Reader(HTMLParser):
    """The text of a page without its scripts and styles, and all tags."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._inside = ""
        self.feed(html)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = tag

    def handle_data(self, data: str) -> None:
        if self._inside not in ("script", "style"):
            self.words.append(data)


def read(folder: RunFolder) -> Reader:
    """The report of a run, as written."""
    path = folder.path.parent / f"{folder.name}-report.html"
    write.write({folder.name: load(folder)}, path)
    return Reader(path.read_text())


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """Eight trials that a test may change."""
    return a_run.searched(tmp_path / "run", trials=8, horizon=4)


def change(folder: RunFolder, **values: Any) -> None:
    """All trials to these values."""
    a_run.write_trials(folder, [row | values for row in folder.read_rows("trials.parquet")])


def test_it_opens_with_the_answer(big: RunFolder, page: Path) -> None:
    text = Reader(page.read_text()).text
    answer = text[text.index("Distorted images The best configuration") :]  # behind the navigation
    best = big.read_json("best.json")
    tested = big.read_json("final/metrics.json")
    assert answer.index(f"{tested['test_acc']:.2f} %") < answer.index("How the search went")
    low, high = tested["test_acc_interval95"]
    assert f"95 % interval {low:.2f} to {high:.2f}" in answer
    assert f"{best['val_acc']:.2f} %" in answer
    assert f"Trial {best['trial_id']}, the space's reference; chosen as {best['chosen']}." in answer
    assert f"{best['config']['lr']:.4g} searched" in answer
    assert f"python -m tune.predict {big.path} IMAGE_OR_FOLDER" in answer


def test_the_interval_of_the_validation_accuracy_is_wilsons(big: RunFolder, page: Path) -> None:
    hits, n, z = round(big.read_json("best.json")["val_acc"] * 100), 10_000, 1.959964
    middle, half = hits + z**2 / 2, z * (hits * (n - hits) / n + z**2 / 4) ** 0.5
    low, high = (100 * (middle + side * half) / (n + z**2) for side in (-1, 1))
    assert f"95 % interval {low:.2f} to {high:.2f}; 10,000 images" in Reader(page.read_text()).text


def test_the_library_is_there_once_and_nothing_is_fetched(page: Path, compared: Path) -> None:
    for path in (page, compared):
        html = path.read_text()
        assert html.count("plotly.js v") == 1
        found = Reader(html)
        for tag, attributes in found.tags:
            for name in ("src", "href"):
                value = attributes.get(name) or ""
                assert value.startswith(("#", "data:")) or not value, (tag, value)
    assert page.stat().st_size < 8_000_000


def test_the_rungs_and_what_they_saved_add_up(big: RunFolder, page: Path) -> None:
    text = Reader(page.read_text()).text
    rows = big.read_rows("trials.parquet")
    paid = sum(row["epochs"] for row in rows)
    assert f"{paid:,} of 5,000 epochs were trained ({paid / 50:.0f} %)" in text
    first = sum(row["status"] == "stopped" and row["epochs"] == 5 for row in rows)
    values = big.read_json("rungs.json")["rungs"]["5"]
    after = {row["trial_id"] for row in rows if row["epochs"] > 5}
    went_on = len(after & set(values))
    assert f"after 5 epochs {len(values)} {went_on} {100 * went_on / len(values):.0f} % {first} " in text


def test_names_are_text_and_no_markup(tmp_path: Path) -> None:
    name = "<script>alert(1)<_script>"
    folder = a_run.searched(tmp_path / name, trials=6, horizon=4)
    rows = folder.read_rows("trials.parquet")
    rows[1] |= {"status": "failed", "error": "</script><img src=x onerror=alert(2)>"}
    a_run.write_trials(folder, rows)
    a_run.finalize(folder, 2000, ood=False)
    found = read(folder)
    assert name in found.text
    assert "<b>oak</b>" in found.text
    assert "</script><img src=x onerror=alert(2)>" in found.text
    assert [tag for tag, _ in found.tags].count("script") == 4
    assert not {"img", "b"} & {tag for tag, _ in found.tags}, "no images: this machine has none of that run"


def test_a_run_in_progress_says_so(run: RunFolder) -> None:
    about = run.read_json("experiment.json")
    run.write_json("experiment.json", about | {"ended": None})
    rows = run.read_rows("trials.parquet")
    rows[-1]["status"] = "running"
    a_run.write_trials(run, rows)
    text = read(run).text
    assert "This search has not finished: 7 of 8 trials have ended." in text
    assert f"python -m tune.run --resume {run.path}" in text
    assert "There is no final model yet" in text
    mine = results.lock(run)
    text = read(run).text
    mine.release()
    assert "The search is still running" in text
    assert "--resume" not in text


def test_a_run_that_has_just_begun(run: RunFolder) -> None:
    run.write_json("experiment.json", run.read_json("experiment.json") | {"ended": None})
    run.write_table("epochs.parquet", [], EPOCHS)
    a_run.write_trials(run, [])
    run.write_json("rungs.json", {})
    assert "No trial has started yet." in read(run).text


def test_one_trial_is_enough_for_an_answer(tmp_path: Path) -> None:
    text = read(a_run.searched(tmp_path / "one", trials=1, horizon=4)).text
    assert "Trial 0000" in text
    assert "too few to tell which settings matter" in text


@pytest.mark.parametrize("status", ["diverged", "failed"])
def test_a_run_without_a_result(run: RunFolder, status: str) -> None:
    change(run, status=status, val_acc=None, best_val_acc=None, best_epoch=None, error="it broke")
    run.write_table("epochs.parquet", [r | {"val_acc": None} for r in run.read_rows("epochs.parquet")], EPOCHS)
    text = read(run).text
    assert f"No trial has a result yet: 8 {status}." in text
    assert "no learning curves" in text


def test_no_trial_finished(run: RunFolder) -> None:
    change(run, status="interrupted")
    assert "no trial finished; the highest val_acc among those that were trained longest" in read(run).text


def test_a_search_without_asha_compares_whole_trials(run: RunFolder) -> None:
    run.write_json("rungs.json", {})
    change(run, status="finished")
    text = read(run).text
    assert "The search ran without ASHA" in text
    assert "These charts compare accuracies after the last epoch, which 8 trials reached." in text


def test_reruns_stand_beside_what_the_search_saw(run: RunFolder) -> None:
    from tune.search.confirm import RERUNS

    best = run.read_json("best.json")
    rows = [{"trial_id": best["trial_id"], "status": "finished", "origin": best["origin"], "epochs": 4, "seed": seed,
             "val_acc": best["val_acc"] - 1.5, "wall_s": 4.0} for seed in (43, 44)]  # fmt: skip
    run.write_table("confirm.parquet", rows, RERUNS)
    text = read(run).text
    assert "2 of 2 reruns finished. On average they are 1.50 points below the accuracy of the same trials" in text


def test_several_runs_begin_with_the_comparison(compared: Path, big: RunFolder) -> None:
    found = Reader(compared.read_text())
    best = big.read_json("best.json")["val_acc"]
    assert f"big is the most accurate: {best:.2f} % validation accuracy" in found.text
    assert "Not all runs have a final model" in found.text
    anchors = [attributes["id"] for _, attributes in found.tags if attributes.get("id")]
    assert len(anchors) == len(set(anchors))


def test_charts_hold_what_the_files_hold(big: RunFolder, page: Path) -> None:
    (held,) = re.findall(r'<script type="application/json" id="figures">(.*?)</script>', page.read_text(), re.DOTALL)
    curves = json.loads(held)["learning-curves"]["data"]
    points = sum(value is not None for trace in curves if trace.get("mode") == "lines" for value in trace["y"])
    rows = [row for row in big.read_rows("epochs.parquet") if row["val_acc"] is not None]
    chosen = sum(row["trial_id"] == big.read_json("best.json")["trial_id"] for row in rows)
    assert points == len(rows) + chosen


def test_the_report_after_a_search_never_fails_it(run: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    write.write_and_announce(run, Console())
    assert (run.path / "report.html").is_file()
    assert "Report: " in capsys.readouterr().out
    (run.path / "trials.parquet").write_bytes(b"no Parquet")
    (run.path / "report.html").unlink()
    write.write_and_announce(run, Console())
    told = capsys.readouterr().out
    assert told.startswith("No report was written (ValueError: ")
    assert told.count("\n") == 1
    assert not (run.path / "report.html").exists()


@pytest.mark.parametrize(
    ("file", "content", "told"),
    [
        ("trials.parquet", b"no Parquet", "trials.parquet is damaged"),
        ("epochs.parquet", None, "holds no epochs.parquet"),
        ("experiment.json", b"{}", "it does not hold the settings of a search"),
        ("rungs.json", b'{"rungs": 3}', "it holds no table of rungs"),
        ("rungs.json", b'{"rungs": {"1": [1, 2]}}', "it holds no table of rungs"),
        ("rungs.json", b'{"rungs": {"x": {}}}', "it holds no table of rungs"),
        ("rungs.json", b'{"rungs": {"1": {"0000": "high"}}}', "it holds no table of rungs"),
        ("best.json", b'{"trial_id": "9999"}', "it names no trial of this run"),
        ("best.json", b"[]", "best.json is damaged"),
        ("final/test_predictions.parquet", b"no Parquet", "test_predictions.parquet is damaged"),
        ("final/metrics.json", b"{", "metrics.json is damaged"),
    ],
)
def test_a_damaged_file_is_told_before_anything_is_written(
    run: RunFolder, file: str, content: bytes | None, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    a_run.finalize(run, 1000, ood=False)
    path = run.path / file
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    assert report.cli.run(report.prepare, [str(run.path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert told in error
    assert not (run.path / "report.html").exists()


@pytest.mark.parametrize(
    ("setting", "value"),
    [("max_epochs", 0), ("trials", 0), ("data", "mars"), ("metric", "nope"), ("val_fraction", 7), ("val_fraction", 0)],
)
def test_a_setting_that_no_search_has_is_told(run: RunFolder, setting: str, value: Any) -> None:
    about = run.read_json("experiment.json")
    run.write_json("experiment.json", about | {"settings": about["settings"] | {setting: value}})
    with pytest.raises(ValueError, match=rf"experiment.json is damaged: {setting} is {value!r}\."):
        load(run)


def test_runs_are_ranked_by_what_all_of_them_have(run: RunFolder, tmp_path: Path) -> None:
    other = a_run.searched(tmp_path / "other", trials=8, horizon=4)
    a_run.finalize(other, 1000, ood=False)
    a, b = load(run), load(other)
    text = compare.section({"a": a, "b": b}).lead
    assert text.startswith(f"a is the most accurate: {a.best['val_acc']:.2f} % validation accuracy")
    assert ". The interval of b overlaps with it, so the order may be chance." in text
    b.best["val_acc"] = 1.0
    assert ". Next is b with 1.00 %." in compare.section({"a": a, "b": b}).lead
    a.metrics.update({"test_acc": 10.0, "test_acc_interval95": [9.0, 11.0]})
    tested = b.metrics["test_acc"]
    assert f"b is the most accurate: {tested:.2f} % test accuracy" in compare.section({"a": a, "b": b}).lead


def test_what_the_page_is_made_of_is_packaged() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    inside = {path.name for path in Path(page.__file__).parent.iterdir() if path.suffix in (".html", ".css", ".js")}
    assert inside == {"page.html", "page.css", "page.js"}
    assert all(f'"{name}"' in text for name in inside)
