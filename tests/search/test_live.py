"""The live view: what it shows, that it fits, and that nothing in it moves without need."""

from __future__ import annotations

import contextlib

import pytest

from tests.search.a_view import TITLE, config, frame, live, metrics, one_of_each, progress, terminal, text_of

SIZES = [(40, 12), (60, 20), (80, 24), (120, 40), (200, 60)]


def rows_of(lines: list[str]) -> list[list[str]]:
    """The table's lines by their words, head first."""
    head = next(number for number, line in enumerate(lines) if line.startswith("trial"))
    return [line.split() for line in lines[head:] if line]


@pytest.mark.parametrize("size", SIZES)
def test_it_fits_the_terminal(size: tuple[int, int]) -> None:
    shown = live(terminal(*size), load=lambda: "GPU 87 %, 12 of 80 GB")
    one_of_each(shown)
    lines = frame(shown)
    assert len(lines) < size[1]
    assert max(map(len, lines)) <= size[0]


@pytest.mark.parametrize("width", [80, 120, 200])
def test_from_80_columns_on_every_word_is_whole(width: int) -> None:
    shown = live(terminal(width))
    one_of_each(shown)
    lines = frame(shown)
    head, *rows = rows_of(lines)
    assert not any("…" in line for line in lines)
    assert head[:10] == ["trial", "from", "state", "epoch", "val", "%", "lr", "batch", "schedule", "augmentation"]
    assert [row[:9] for row in rows] == [
        ["0004", "search", "running", "7/50", "30.00", "0.0123", "128", "one_cycle", "trivialaugment"],
        ["0000", "reference", "finished", "50/50", "52.34", "0.0123", "128", "one_cycle", "trivialaugment"],
        ["0003", "search", "stopped", "5/50", "12.00", "0.0123", "128", "one_cycle", "trivialaugment"],
        ["0001", "baseline", "diverged", "1/50", "-", "0.1", "8", "step", "none"],
        ["0002", "search", "failed", "0/50", "-", "0.0123", "128", "one_cycle", "trivialaugment"],
    ]
    assert rows[0][9:] == (["dropout", "0.25"] if width >= 120 else [])


def test_a_narrow_terminal_loses_the_least_important_columns() -> None:
    shown = live(terminal(44))
    one_of_each(shown)
    head, *rows = rows_of(frame(shown))
    assert head == ["trial", "state", "epoch", "val", "%", "lr"]
    assert rows[0] == ["0004", "running", "7/50", "30.00", "0.0123"]


def test_above_the_table_stand_progress_counts_load_and_the_best() -> None:
    shown = live(terminal(), load=lambda: "load 1.5 on 2 cores")
    one_of_each(shown)
    title, bar, far, counts, _, best, settings, *_ = frame(shown)
    assert title.startswith(TITLE)
    assert title.endswith("0:00:00")
    assert bar.endswith(f"{int(100 * shown.progress.fraction)} %")
    assert far.startswith("4/5 trials, 63 of about ")
    assert counts.startswith("1 running, 1 finished, 1 stopped, 1 diverged, 1 failed")
    assert counts.endswith("load 1.5 on 2 cores")
    assert best == "Best so far: trial 0000 (reference), 52.34 %, finished"
    assert settings == "  lr 0.0123, batch 128, one_cycle, trivialaugment"


def test_long_settings_of_the_best_take_two_lines_and_no_name_loses_its_value() -> None:
    shown = live(terminal())
    values = {"nesterov": True, "weight_decay": 5e-4, "warmup": 0.412, "random_erasing": 0.25, "label_smoothing": 0.1}
    shown.trial_started("0000", "search", config(**values, mixup=0.2, cutmix=1.0, dropout=0.123))
    before = len(frame(shown))
    shown.epoch_ended("0000", metrics(3, 20.0))
    lines = frame(shown)
    assert len(lines) == before
    assert lines[5] == "Best so far: trial 0000 (search), 20.00 %, after epoch 3 of 50"
    assert lines[6:8] == [
        "  lr 0.0123, batch 128, one_cycle, trivialaugment, nesterov,",
        "  weight_decay 0.0005, warmup 0.412, random_erasing 0.25, label_smoothing 0.1, …",
    ]


def test_a_trial_that_runs_keeps_its_row_and_the_next_one_takes_a_free_one() -> None:
    shown = live(terminal(), progress=progress(9, workers=3))
    for number in range(3):
        shown.trial_started(f"000{number}", "search", config())
    shown.epoch_ended("0001", metrics(5, 10.0))
    shown.trial_ended("0001", "stopped", None)
    assert [row[:1] for row in rows_of(frame(shown))[1:]] == [["0000"], ["0002"], ["0001"]]
    place = [line[:4] for line in frame(shown)].index("0002")
    shown.trial_started("0003", "search", config())
    shown.trial_failed("0000", "its process died")
    shown.trial_started("0000", "search", config())
    lines = frame(shown)
    assert lines[place].startswith("0002")
    assert [row[0] for row in rows_of(lines)[1:]] == ["0000", "0003", "0002", "0001"]


def test_more_trials_than_rows_are_counted() -> None:
    shown = live(terminal(120, 20), progress=progress(100, workers=40))
    for number in range(60):
        shown.trial_started(f"{number:04d}", "search", config())
        shown.epoch_ended(f"{number:04d}", metrics(3, float(number)))
        if number < 20:
            shown.trial_ended(f"{number:04d}", "stopped", None)
    lines = frame(shown)
    assert len(lines) < 20
    rows = rows_of(lines)[1:]
    told = [row for row in rows if row[0] != "and"]
    assert [row[0] for row in told if row[2] == "running"] == [f"{number:04d}" for number in range(20, 25)]
    assert ["and", "35", "more"] in rows
    assert [row[0] for row in told if row[2] == "stopped"] == ["0019", "0018", "0017"]
    assert "40 running, 0 finished, 20 stopped" in "\n".join(lines)


def test_reruns_have_no_best_as_means_decide() -> None:
    shown = live(terminal(), ranks=False)
    shown.trial_started("0007-seed43", "search", config())
    shown.epoch_ended("0007-seed43", metrics(3, 20.0))
    lines = frame(shown)
    assert not any("Best" in line for line in lines)
    assert rows_of(lines)[1][:4] == ["0007-seed43", "search", "running", "3/50"]


@pytest.mark.parametrize("title", ["a[/red]: x", "run[bold]: x", "long " * 40])
def test_a_name_is_no_markup_and_leaves_room_for_the_clock(title: str) -> None:
    first = frame(live(terminal(), title=title))[0]
    assert first[:10] == title[:10]
    assert first.endswith(" 0:00:00")


def test_what_goes_wrong_is_printed_above_and_stays() -> None:
    console = terminal()
    with live(console) as shown:
        one_of_each(shown)
        shown.trial_failed("0004", "its process died")
    text = text_of(console)
    assert "trial 0002 failed: RuntimeError: [/red] CUDA out of memory" in text
    assert "trial 0004 failed and is tried once more: its process died" in text


def test_the_last_picture_stays_and_is_whole() -> None:
    console = terminal()
    with live(console) as shown:
        one_of_each(shown)
        shown.epoch_ended("0004", metrics(50, 60.0))
        shown.trial_ended("0004", "finished", None)
    lines = frame(shown)
    assert lines[1].endswith("100 %")
    assert lines[2] == "5/5 trials, 106 of 106 epochs"
    assert [row[0] for row in rows_of(lines)[1:]] == ["0004", "0000", "0003", "0001", "0002"]
    for word in ("100 %", "106 of 106 epochs", "60.00 %"):
        assert word in text_of(console).rpartition(TITLE)[2]


def test_an_error_in_the_search_leaves_the_terminal_in_order() -> None:
    console = terminal()
    with contextlib.suppress(KeyboardInterrupt), live(console) as shown:
        one_of_each(shown)
        raise KeyboardInterrupt
    text = text_of(console)
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")  # the cursor is back


def test_a_search_for_robustness_names_its_best_by_that() -> None:
    """The trial that is better on clean images is the worse one under corruption, which is measured at rungs."""
    shown = live(terminal(120), metric="val_robust_acc")
    for trial_id, val_acc, robust in (("0000", 60.0, 20.0), ("0001", 50.0, 30.0)):
        shown.trial_started(trial_id, "search", config())
        shown.epoch_ended(trial_id, metrics(5, val_acc, robust))
    assert "Best so far: trial 0001 (search), 30.00 % val_robust_acc, after epoch 5 of 50" in frame(shown)
    shown.epoch_ended("0001", metrics(6, 51.0))  # no rung: what the last one has measured stands
    shown.epoch_ended("0000", metrics(6, 61.0))
    lines = frame(shown)
    assert "Best so far: trial 0001 (search), 30.00 % val_robust_acc, after epoch 6 of 50" in lines
    head, *rows = rows_of(lines)
    assert head[3:8] == ["epoch", "val", "%", "robust", "%"]
    assert [row[3:6] for row in rows] == [["6/50", "61.00", "20.00"], ["6/50", "51.00", "30.00"]]
    shown.epoch_ended("0001", metrics(7, None))
    assert "Best so far: trial 0000 (search), 20.00 % val_robust_acc, after epoch 6 of 50" in frame(shown)


def test_before_the_first_rung_there_is_no_best_of_a_search_for_robustness() -> None:
    shown = live(terminal(), metric="val_robust_acc")
    shown.trial_started("0000", "search", config())
    shown.epoch_ended("0000", metrics(1, 60.0))
    assert "Best so far: none yet" in frame(shown)
