"""The report of a search for val_robust_acc, alone and beside one for val_acc."""

from __future__ import annotations

from pathlib import Path

from tests.reporting import a_run
from tune.reporting import compare, search_charts
from tune.reporting.chart import Chart, Table, percent
from tune.reporting.load import load
from tune.results import EPOCHS, TRIALS, RunFolder
from tune.search.choose import choose

RUNGS = {1, 2, 4, 8, 10}


def corrupted(path: Path) -> RunFolder:
    """A search for val_robust_acc, ten points below val_acc and measured at the rungs only."""
    folder = a_run.searched(path, trials=6, horizon=10, metric="val_robust_acc")
    for name, schema in (("epochs.parquet", EPOCHS), ("trials.parquet", TRIALS)):
        rows = folder.read_rows(name)
        for row in rows:
            measured = row.get("epoch", 1) in RUNGS and row["val_acc"] is not None
            row["val_robust_acc"] = max(0.0, row["val_acc"] - 10) if measured else None
        folder.write_table(name, rows, schema)
    folder.write_json("best.json", choose(folder.read_rows("trials.parquet"), "val_robust_acc"))
    return folder


def test_the_chosen_curve_is_a_line_though_corruption_is_judged_at_rungs_only(tmp_path: Path) -> None:
    figure = search_charts.learning_curves(load(corrupted(tmp_path / "robust"))).figure
    (chosen,) = [trace for trace in figure.data if trace.name.startswith("chosen")]
    assert list(chosen.x) == sorted(RUNGS), "with gaps no line would be drawn"
    assert None not in chosen.y


def test_the_table_of_trials_is_of_the_metric_that_was_searched_for(tmp_path: Path) -> None:
    run = load(corrupted(tmp_path / "robust"))
    table = search_charts.learning_curves(run).table
    assert table is not None
    best = {row["trial_id"]: max(e["val_robust_acc"] or 0.0 for e in run.curves[row["trial_id"]]) for row in run.trials}
    shown = {row[0]: row[table.columns.index("best")] for row in table.rows}
    assert shown == {trial_id: percent(value) for trial_id, value in best.items()}


def test_accuracies_on_clean_and_on_corrupted_images_are_not_ranked(tmp_path: Path) -> None:
    clean, robust = a_run.searched(tmp_path / "clean", trials=6, horizon=10), corrupted(tmp_path / "robust")
    section = compare.section({"clean": load(clean), "robust": load(robust)})
    assert section.lead.startswith("They are not ranked: ")
    (table, chart) = section.items
    assert isinstance(table, Table)
    cells = [row[3] for row in table.rows]
    assert [cell.endswith("% under corruptions") for cell in cells] == [False, True]
    assert isinstance(chart, Chart)
    assert [trace.name.rpartition("(")[2] for trace in chart.figure.data] == [
        "validation)",
        "validation under corruptions)",
    ]
