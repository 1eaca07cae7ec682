"""Kills and resumes searches, and counts what was lost."""

from __future__ import annotations

import random
import time
from itertools import zip_longest
from pathlib import Path
from typing import Any

from benchmarks.survival.search_process import Search, Victim, left_behind, read_all_the_while
from tune import tracking
from tune.results import RunFolder

Found = dict[str, Any]

PATIENCE_S = 300.0
"""A search that takes longer hangs."""


def left_alone(search: Search) -> RunFolder:
    """The same search, never killed."""
    search.start()
    if search.wait(PATIENCE_S) != 0:
        raise RuntimeError(f"the search that was left alone failed: {search.last_line}")
    return search.folder


def torture(victim: Victim, kills: int, whole: RunFolder, storage: Path, data_dir: Path) -> Found:
    """`kills` of one kind, in as many searches as that takes, each compared with the one that was left alone.

    The process of a trial is never killed twice, as the trial would then count as failed.
    """
    rng = random.Random(f"{victim}")
    counted = ["kills", "searches", "lost", "doubled", "differ", "again", "left", "wrong", "reads", "broken_reads"]
    counted += ["runs_lost", "runs_doubled"]
    found: Found = {"victim": victim, "gone_s": [], "wrong_endings": [], **dict.fromkeys(counted, 0)}
    while found["kills"] < kills:
        search = Search.of(storage, data_dir, f"{victim}-{found['searches']}")
        with read_all_the_while(search.folder) as reads:
            _live_and_die(search, victim, kills, found, rng)
        found["searches"] += 1
        found["reads"] += reads["read"]
        found["broken_reads"] += reads["broken"]
        _compare(search, whole, found)
    return found


def _live_and_die(search: Search, victim: Victim, kills: int, found: Found, rng: random.Random) -> None:
    """Kills and resumes a search until it ends by itself."""
    while True:
        search.start()
        while found["kills"] < kills and search.wait(_moment(rng)) is None:
            if victim == "worker" and search.running in search.died:
                continue
            if not search.kill(victim):
                continue
            found["kills"] += 1
            if victim != "worker":
                _died(search, victim, found)
                break
        else:
            code = search.wait(PATIENCE_S)
            if code != 0:
                raise RuntimeError(f"a search that was not killed ended with {code}: {search.last_line}")
            found["left"] += bool(left_behind(str(search.folder.path)))
            return


def _moment(rng: random.Random) -> float:
    """Seconds from the start, or from the last kill, to the next one."""
    return rng.uniform(0.5, 14.0)


def _died(search: Search, victim: Victim, found: Found) -> None:
    """Checks the end: a killed driver is simply gone; after a killed raylet the command says how to continue."""
    began = time.monotonic()
    code = search.wait(60.0)
    right = code == -9 if victim == "driver" else (code == 1 and "--resume" in search.last_line)
    if not right:
        found["wrong"] += 1
        found["wrong_endings"].append(f"{code}: {search.last_line}")
    found["left"] += bool(left_behind(str(search.folder.path)))
    found["gone_s"].append(time.monotonic() - began)


def _compare(search: Search, whole: RunFolder, found: Found) -> None:
    """Counts what was lost, what is duplicated and what differs."""
    ours, theirs = rows(search.folder), rows(whole)
    found["lost"] += len(theirs.keys() - ours.keys())
    found["doubled"] += len(search.folder.read_rows("epochs.parquet")) - len(ours)
    found["differ"] += sum(ours.get(key) != row for key, row in theirs.items()) + len(ours.keys() - theirs.keys())
    found["differ"] += sum(a != b for a, b in zip_longest(trials(search.folder), trials(whole)))
    for name in ("rungs.json", "best.json"):
        found["differ"] += search.folder.read_json(name) != whole.read_json(name)
    found["again"] += len(search.reported) - len(set(search.reported))
    runs = {path.name.split("-", 3)[3] for path in search.folder.path.glob("wandb/offline-run-*")}
    expected = {tracking.run_ids(search.folder)(row["trial_id"]) for row in trials(whole)}
    found["runs_lost"] += len(expected - runs)
    found["runs_doubled"] += len(runs - expected)


TIMED = ("wall_s", "images_per_s", "peak_memory_mb", "error")
"""Columns that may differ: timings, memory, and that a trial was retried."""


def rows(folder: RunFolder) -> dict[tuple[str, int], dict[str, Any]]:
    """The epochs, without the columns that may differ."""
    return {(row["trial_id"], row["epoch"]): _untimed(row) for row in folder.read_rows("epochs.parquet")}


def trials(folder: RunFolder) -> list[dict[str, Any]]:
    """The trials, without the columns that may differ."""
    return [_untimed(row) for row in folder.read_rows("trials.parquet")]


def _untimed(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in TIMED}
