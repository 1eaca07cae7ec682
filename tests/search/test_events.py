"""What Ray tells of a failed trial, in a line; and when a failure is not the trial's."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tune.files import Unwritable
from tune.results import Origin, Status
from tune.search.confirm import Reruns
from tune.search.events import Events, error_line
from tune.search.listener import Listener
from tune.training.config import TrainConfig

KILLED = """Failure # 1 (occurred at 2026-11-25_12-00-00)
The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR Worker exit detail: Worker
unexpectedly exits with a connection error code 2. End of file. Some common causes include: (1) the process was killed
by the OOM killer due to high memory usage, (2) ray stop --force was called, or (3) the worker crashed unexpectedly.
"""
MEMORY = """Failure # 2 (occurred at 2026-11-25_12-00-00)
The actor died. Worker exit type: NODE_OUT_OF_MEMORY Worker exit detail: Task was killed due to the node running low.
"""
LOST = """Failure # 1 (occurred at 2026-11-25_12-00-00)
The actor 1071885fe2b70d92d2674c9101000000 is unavailable: The actor is temporarily unavailable: RpcError: RPC error:
Socket closed rpc_code: 14. The task may or may not have been executed on the actor.
"""
GONE = """Failure # 1 (occurred at 2026-11-25_12-00-00)
The actor died unexpectedly before finishing this task.
	class_name: Trial
The actor died because its node has died. Node Id: 5fdccfc5
	the actor's node was terminated unexpectedly: health check failed due to missing too many heartbeats
"""
RAISED = """Failure # 1 (occurred at 2026-11-25_12-00-00)
ray::Trial.train() (pid=1, ip=127.0.0.1)
  File "loop.py", line 3, in fit
    raise ValueError("of no use")
ValueError: of no use
"""


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (KILLED, "its process died (killed, crashed, or out of memory)"),
        (KILLED + MEMORY, "its process was killed because the machine ran low on memory"),
        (KILLED + RAISED, "ValueError: of no use"),
        (KILLED + LOST, "its node died or could not be reached"),
        (GONE, "its node died or could not be reached"),
        (RAISED, "ValueError: of no use"),
        ("nothing known", "nothing known"),
        ("", "unknown error"),
    ],
)
def test_the_last_failure_in_a_line(text: str, line: str, tmp_path: Path) -> None:
    (tmp_path / "error.txt").write_text(text)
    assert error_line(SimpleNamespace(error_file=str(tmp_path / "error.txt"))) == line  # type: ignore[arg-type]


class Ear(Listener):
    """Notes what it hears, and cannot write at times."""

    def __init__(self) -> None:
        self.heard: list[tuple[Any, ...]] = []
        self.full = False

    def trial_started(self, trial_id: str, origin: Origin, config: TrainConfig) -> None:
        self.heard.append(("started", trial_id))

    def epoch_ended(self, trial_id: str, metrics: dict[str, Any]) -> None:
        self.heard.append(("epoch", trial_id, metrics["val_acc"], metrics["val_robust_acc"]))

    def trial_failed(self, trial_id: str, error: str) -> None:
        self.heard.append(("failed", trial_id, error))

    def trial_ended(self, trial_id: str, status: Status, error: str | None) -> None:
        if self.full:
            raise Unwritable("no space")
        self.heard.append(("ended", trial_id, status, error))


def trial(number: int, error_file: Path | None = None, **last: Any) -> Any:
    values = TrainConfig(model="simple_cnn", lr=0.1, batch_size=64, epochs=3).to_dict()
    config = {**values, "trial_id": f"{number:04d}", "origin": "search"}
    return SimpleNamespace(config=config, error_file=None if error_file is None else str(error_file), last_result=last)


def test_of_a_diverged_trial_the_listeners_hear_no_accuracy_and_the_searchers_a_zero() -> None:
    ear = Ear()
    events = Events([ear], None, Reruns([], "val_acc"))
    sound = {"val_acc": 12.0, "val_robust_acc": None, "diverged": False}
    diverged = {"val_acc": 0.0, "val_robust_acc": 0.0, "diverged": True}
    for result in (sound, diverged):
        events.on_trial_result(1, [], trial(7), result)
    assert ear.heard == [("epoch", "0007", 12.0, None), ("epoch", "0007", None, None)]
    assert diverged["val_acc"] == 0.0


def test_a_failure_is_told_as_one_that_is_tried_again_and_then_for_good(tmp_path: Path) -> None:
    (tmp_path / "error.txt").write_text(RAISED)
    failing = trial(0, tmp_path / "error.txt")
    ear, searcher = Ear(), Reruns([({**row_of(failing), "trial_id": "0000"}, 1)], "val_acc")
    events = Events([ear], None, searcher)
    failing.config = searcher.suggest("first")
    events.on_trial_start(0, [], failing)
    searcher.on_trial_complete("first", error=True)
    events.on_trial_error(0, [], failing)
    events.on_experiment_end([])  # while it waits for its second attempt: nobody was cut off
    assert searcher.suggest("second") == failing.config
    searcher.on_trial_complete("second", error=True)
    events.on_trial_error(0, [], failing)  # its process did not even come up
    assert ear.heard == [
        ("started", "0000-seed1"),
        ("failed", "0000-seed1", "ValueError: of no use"),
        ("started", "0000-seed1"),
        ("ended", "0000-seed1", "failed", "ValueError: of no use"),
    ]


def row_of(failing: Any) -> dict[str, Any]:
    values = {f"config.{name}": value for name, value in failing.config.items() if name in TrainConfig.fields()}
    return {**values, "origin": "search"}


def test_a_process_that_took_too_much_memory_is_followed_by_one_that_takes_less(tmp_path: Path) -> None:
    (tmp_path / "error.txt").write_text(MEMORY)
    failing = trial(0, tmp_path / "error.txt")
    searcher = Reruns([({**row_of(failing), "trial_id": "0000"}, 1)], "val_acc")
    failing.config = searcher.suggest("first")
    events = Events([Ear()], None, searcher)
    searcher.on_trial_complete("first", error=True)
    events.on_trial_error(0, [], failing)
    again = searcher.suggest("second")
    assert again == {**failing.config, "micro_batches": 2}
    events.on_trial_start(0, [], SimpleNamespace(config=again))  # it is no part of a TrainConfig


def test_what_runs_at_the_end_was_interrupted() -> None:
    ear = Ear()
    events = Events([ear], None, Reruns([], "val_acc"))
    for number in (1, 0):
        events.on_trial_start(0, [], trial(number))
    events.on_trial_complete(0, [], trial(1, epoch=3))
    events.on_experiment_end([])
    assert ear.heard[2:] == [("ended", "0001", "finished", None), ("ended", "0000", "interrupted", None)]


def test_a_full_disk_is_not_taken_for_the_failure_of_the_trial_that_is_told_of() -> None:
    ear = Ear()
    ear.full = True
    events = Events([ear], None, Reruns([], "val_acc"))
    events.on_trial_start(0, [], trial(0))
    events.on_trial_complete(0, [], trial(0, epoch=3))  # Ray catches what this raises, and calls the trial failed
    with pytest.raises(Unwritable, match="no space"):
        events.on_step_end(0, [])
