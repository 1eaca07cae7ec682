"""What a person sees of a search where its output is no terminal: plain lines."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.search.a_view import TITLE, config, log, metrics, one_of_each, progress, text_of
from tune.search.plain import PlainView


def test_a_log_tells_each_event_in_one_line() -> None:
    console = log()
    with PlainView(TITLE, progress(), console) as shown:
        one_of_each(shown)
    lines = text_of(console).splitlines()
    assert all(re.match(r"\[\d+:\d\d:\d\d\] \S", line) for line in lines)
    said = [line.split("] ", 1)[1] for line in lines]
    assert [line.partition("; ")[0] for line in said] == [
        TITLE,
        "trial 0000 (reference) starts: lr 0.0123, batch 128, one_cycle, trivialaugment",
        "trial 0000 epoch 49/50: val_acc 51.00 %, 1.2 s",
        "trial 0000 epoch 50/50: val_acc 52.34 %, 1.2 s",
        "trial 0000 finished after epoch 50, val_acc 52.34 %, the best so far",
        "trial 0001 (baseline) starts: lr 0.1, batch 8, step, none, gamma 0.9",
        "trial 0001 epoch 1/50: the loss is not finite, 1.2 s",
        "trial 0001 diverged after epoch 1",
        "trial 0002 (search) starts: lr 0.0123, batch 128, one_cycle, trivialaugment",
        "trial 0002 failed after epoch 0: RuntimeError: [/red] CUDA out of memory",
        "trial 0003 (search) starts: lr 0.0123, batch 128, one_cycle, trivialaugment",
        "trial 0003 epoch 5/50: val_acc 12.00 %, 1.2 s",
        "trial 0003 stopped after epoch 5, val_acc 12.00 %",
        "trial 0004 (search) starts: lr 0.0123, batch 128, one_cycle, trivialaugment, dropout 0.25",
        "trial 0004 epoch 7/50: val_acc 30.00 %, 1.2 s",
    ]


def test_how_far_the_search_is_stands_at_its_beginning_and_where_a_trial_ends() -> None:
    console = log()
    with PlainView(TITLE, progress(), console) as shown:
        one_of_each(shown)
    far = [line.partition("; ")[2] for line in text_of(console).splitlines() if "; " in line]
    assert [re.sub(r"about \d+ epochs", "about N epochs", line.partition(", about 10 s")[0]) for line in far] == [
        "0/5 trials, 0 of about N epochs",
        "1/5 trials, 50 of about N epochs",
        "2/5 trials, 51 of about N epochs",
        "4/5 trials, 56 of about N epochs",
    ]
    paid, expected = zip(*(map(int, re.findall(r"(\d+) of about (\d+)", line)[0]) for line in far), strict=True)
    assert all(p < e <= 5 * 50 for p, e in zip(paid, expected, strict=True))


def test_a_better_trial_is_marked_when_it_ends() -> None:
    console = log()
    with PlainView(TITLE, progress(), console) as shown:
        for number, accuracy in enumerate((20.0, 30.0, 25.0, 40.0)):
            shown.trial_started(f"000{number}", "search", config())
            shown.epoch_ended(f"000{number}", metrics(50, accuracy))
            shown.trial_ended(f"000{number}", "finished", None)
    marked = re.findall(r"trial (\d+) finished.*the best so far", text_of(console))
    assert marked == ["0000", "0001", "0003"]


def row(trial_id: str, status: str, epochs: int, val_acc: float | None) -> dict[str, Any]:
    about = {"trial_id": trial_id, "origin": "search", "status": status, "epochs": epochs, "val_acc": val_acc}
    return about | {f"config.{name}": value for name, value in config().to_dict().items()}


def test_a_search_that_goes_on_knows_what_it_had() -> None:
    console = log()
    before = {"0000": row("0000", "finished", 50, 40.0), "0001": row("0001", "interrupted", 20, 10.0)}
    with PlainView(TITLE, progress(), console, before=before) as shown:
        assert shown.ended() == 1
        shown.trial_started("0001", "search", config())
        assert shown.progress.trained == 70  # it goes on from its checkpoint, or says soon that it does not
        shown.epoch_ended("0001", metrics(50, 30.0))
        shown.trial_ended("0001", "finished", None)
    text = text_of(console)
    assert f"{TITLE}; 1/5 trials, 70 of about " in text
    assert "2/5 trials, 100 of about " in text
    assert "the best so far" not in text  # that is 0000


def test_a_second_attempt_is_told() -> None:
    console = log()
    with PlainView(TITLE, progress(), console) as shown:
        shown.trial_started("0000", "reference", config())
        shown.trial_failed("0000", "its process died")
        shown.trial_started("0000", "reference", config())
    assert "trial 0000 failed and is tried once more: its process died\n" in text_of(console)


def test_a_log_has_no_control_codes_and_is_not_wrapped() -> None:
    console = log(width=20)
    with PlainView("[bold]name[/red]", progress(), console) as shown:
        one_of_each(shown)
        shown.tick()
    text = text_of(console)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", text)
    assert len(text.splitlines()) == 15
    assert "[bold]name[/red]" in text  # a name is a name, not markup


@pytest.mark.parametrize(
    ("later", "shown"), [(0.0, "0:00:00"), (59.2, "0:00:59"), (61.0, "0:01:01"), (36610, "10:10:10")]
)
def test_the_clock_counts_hours_minutes_and_seconds(later: float, shown: str) -> None:
    plain = PlainView(TITLE, progress(), log())
    plain._began -= later
    assert plain.elapsed() == shown


def test_a_search_for_robustness_says_what_is_measured_at_a_rung() -> None:
    console = log()
    with PlainView(TITLE, progress(), console, "val_robust_acc") as shown:
        for number, (val_acc, robust) in enumerate([(60.0, 20.0), (50.0, 30.0)]):
            shown.trial_started(f"000{number}", "search", config())
            shown.epoch_ended(f"000{number}", metrics(49, 40.0))
            shown.epoch_ended(f"000{number}", metrics(50, val_acc, robust))
            shown.trial_ended(f"000{number}", "finished", None)
    text = text_of(console)
    assert "trial 0000 epoch 49/50: val_acc 40.00 %, 1.2 s" in text
    assert "trial 0000 epoch 50/50: val_acc 60.00 %, val_robust_acc 20.00 %, 1.2 s" in text
    assert "trial 0001 finished after epoch 50, val_acc 50.00 %, val_robust_acc 30.00 %, the best so far" in text
