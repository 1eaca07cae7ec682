"""Reads W&B's offline files: LevelDB's log format (32 KiB blocks of records) with W&B's own 7-byte header."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wandb.proto import wandb_internal_pb2

BLOCK, RECORD_HEADER = 32768, 7
FULL, FIRST, LAST = 1, 2, 4


def records(path: Path) -> Iterator[bytes]:
    """The protobuf messages of a .wandb file, in order."""
    content = path.read_bytes()
    assert content[:4] == b":W&B"
    position, parts = RECORD_HEADER, b""
    while position + RECORD_HEADER <= len(content):
        if BLOCK - position % BLOCK < RECORD_HEADER:  # too little is left of the block for another record
            position += BLOCK - position % BLOCK
            continue
        length = int.from_bytes(content[position + 4 : position + 6], "little")
        kind = content[position + 6]
        position += RECORD_HEADER
        piece = content[position : position + length]
        parts = piece if kind in (FULL, FIRST) else parts + piece
        position += length
        if kind in (FULL, LAST):
            yield parts


@dataclass
class OfflineRun:
    """What a file says of its run."""

    id: str = ""
    name: str = ""
    group: str = ""
    job_type: str = ""
    resume: bool = False
    config: dict[str, Any] = field(default_factory=dict)
    tags: list[str] = field(default_factory=list)
    history: list[dict[str, Any]] = field(default_factory=list)
    axes: dict[str, str] = field(default_factory=dict)
    """What a metric is drawn over."""

    summary: dict[str, Any] = field(default_factory=dict)
    artifacts: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    """Name, type, and where each file lies."""

    ended: bool = False


def read_run(path: Path) -> OfflineRun:
    run = OfflineRun()
    for data in records(path):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        if record.HasField("run"):
            about = record.run
            run.id, run.name, run.group, run.job_type = (
                about.run_id, about.display_name, about.run_group, about.job_type,
            )  # fmt: skip
            run.resume, run.tags = about.resume, list(about.tags)
            run.config |= {item.key: json.loads(item.value_json) for item in about.config.update}
        if record.HasField("metric") and record.metric.step_metric:
            run.axes[record.metric.name] = record.metric.step_metric
        if record.HasField("history"):
            items = _values(record.history.item)
            run.history.append({name: value for name, value in items.items() if not name.startswith("_")})
        if record.HasField("summary"):
            run.summary |= _values(record.summary.update)
        if record.HasField("artifact"):
            files = {entry.path: entry.local_path for entry in record.artifact.manifest.contents}
            run.artifacts.append((record.artifact.name, record.artifact.type, files))
        run.ended |= record.HasField("exit")
    return run


def read_runs(folder: Path) -> dict[str, OfflineRun]:
    """The offline runs in a result folder, by the middle of their ids: a trial's, or `final`."""
    runs = [read_run(file) for file in sorted(folder.glob("wandb/offline-run-*/*.wandb"))]
    return {run.id.removeprefix(f"{folder.name}-").rsplit("-", 1)[0]: run for run in runs}


def _values(items: Iterable[Any]) -> dict[str, Any]:
    return {(item.key or "/".join(item.nested_key)): json.loads(item.value_json) for item in items}
