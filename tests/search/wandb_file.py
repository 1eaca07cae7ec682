"""Reads W&B's offline files: LevelDB's log format (32 KiB blocks of records) with W&B's own 7-byte header."""

from __future__ import annotations

import json
from collections.abc import Iterator
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


def read_run(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What the run is (id, group, config, whether it was ended), and the rows that were logged."""
    about: dict[str, Any] = {}
    history = []
    for data in records(path):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        if record.HasField("run"):
            config = {item.key: json.loads(item.value_json) for item in record.run.config.update}
            about = {"run_id": record.run.run_id, "run_group": record.run.run_group, "config": config}
            about |= {"ended": False, "resume": record.run.resume}
        if record.HasField("exit"):
            about["ended"] = True
        if record.HasField("history"):
            items = {(i.key or "/".join(i.nested_key)): json.loads(i.value_json) for i in record.history.item}
            history.append({name: value for name, value in items.items() if not name.startswith("_")})
    return about, history
