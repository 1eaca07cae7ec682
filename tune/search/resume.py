"""Going on with a search: its settings take the place of the options that are not given, and the others must agree."""

from __future__ import annotations

import argparse
import dataclasses
import shlex
from pathlib import Path
from typing import Any

import pyarrow as pa

from tune import storage
from tune.files import obstacle
from tune.results import EPOCHS, TRIALS, RunFolder, config_of
from tune.settings import Settings
from tune.storage import Storage
from tune.training import looks

FREE = (
    "name", "storage", "data_dir", "wandb", "wandb_project", "dashboard", "weights", "address",
    "gpus_per_trial", "cpus_per_trial",
)  # fmt: skip
"""What may differ from the run's: where things lie, who watches, on what it runs. None of it changes a result,
but for the last digits: of a share that another machine may not have."""

EXTEND = {"trials": "trials", "time_budget_s": "time budget"}
"""What may grow."""


def settings_of(folder: RunFolder) -> Settings:
    """What the search in the folder was asked to do. ValueError if the folder does not tell."""
    return Settings.from_dict(folder.read_json("experiment.json").get("settings"))


def check_folder(folder: RunFolder) -> None:
    """ValueError if it can not be written to, or its tables and the time spent are not as this version writes them."""
    for place in (folder.path, folder.path / "checkpoints"):
        if why := obstacle(place):
            raise ValueError(f"{place} can not be written to ({why}); a search goes on in its own folder.")
    if not isinstance(folder.read_json("experiment.json").get("spent_s", 0.0), int | float):
        raise ValueError("experiment.json is damaged: spent_s is no number.")
    for name, schema in (("trials.parquet", TRIALS), ("epochs.parquet", EPOCHS)):
        rows = folder.read_rows(name)
        needed = [column for column in schema.names if not column.startswith("config.")]  # config_of sees to those
        if rows and (missing := [column for column in needed if column not in rows[0]]):
            raise ValueError(f"{name} was written by another version of this project: it has no column {missing[0]}.")
        try:
            pa.Table.from_pylist(rows, schema=schema)
            for row in rows if name == "trials.parquet" else []:
                config_of(row)
                if not row["trial_id"].isdecimal() or None in (row["status"], row["origin"], row["epochs"]):
                    raise ValueError(f"{row['trial_id']} is no trial of a search.")
        except (pa.ArrowException, ValueError, AttributeError) as error:
            raise ValueError(f"{folder.path / name} is damaged: {error}") from error


def merged(given: dict[str, Any], folder: RunFolder, settings: Settings) -> argparse.Namespace:
    """The options of a search that was begun with `settings`, with those that are given now in their place."""
    values = settings.to_dict()
    values["time_budget"] = values.pop("time_budget_s")
    for name in ("space", "data_dir", "weights"):
        values[name] = None if values[name] is None else Path(values[name])
    where = Storage.of(folder)
    # It may be gone by now, so that its path is all there is to compare.
    if "warm_start" in given and values["warm_start"] in where.addresses(given["warm_start"]):
        given = given | {"warm_start": values["warm_start"]}
    return argparse.Namespace(**{**values, **given, "name": folder.name, "storage": where})


def reopened(asked: argparse.Namespace, given: dict[str, Any]) -> tuple[argparse.Namespace, Settings]:
    """The options of the run that goes on, with those that are given in their place; and what it was begun with."""
    if "dry_run" in given:
        raise ValueError("--dry-run tells what a new search would cost; leave it out, or --resume.")
    folder = asked.storage.find(asked.resume)
    if given.get("name") not in (None, folder.name):
        raise ValueError(f"--name {given['name']} is not the name of {asked.resume}; leave it out.")
    before = settings_of(folder)
    check_folder(folder)
    if "then_finalize" in given:
        storage.fetch_final(folder)
        if looks.holds_more(folder.final):
            go_on = "--resume" if (folder.final / "checkpoint.pt").is_file() else "--overwrite"
            raise ValueError(
                f"{folder.final} is there already; leave --then-finalize out, and then use "
                f"`python -m tune.finalize {shlex.quote(folder.address)} {go_on}`."
            )
    return merged(given, folder, before), before


def check_agrees(before: Settings, now: Settings) -> None:
    """ValueError if the search would no longer be the same one, or a smaller one."""
    if before.space_sha256 != now.space_sha256:
        raise ValueError(f"{now.space} has changed since the search began; restore it, or start a new search.")
    for field in dataclasses.fields(Settings):
        name = field.name
        old, new = getattr(before, name), getattr(now, name)
        if name in FREE or name in ("space", "space_sha256") or old == new:
            continue
        option = f"--{name.removesuffix('_s').replace('_', '-')}"
        if name not in EXTEND:
            raise ValueError(f"{option} is {new}, but the search was begun with {old}; leave it out, or start another.")
        if old is None or new < old:
            had = f"no {EXTEND[name]}" if old is None else f"{old:g}"
            raise ValueError(f"{option} is {new:g}, but the search was begun with {had}; it can only grow.")


def given_options(parser: argparse.ArgumentParser, arguments: list[str]) -> tuple[argparse.Namespace, dict[str, Any]]:
    """All options, and of them those that stand on the command line."""
    everything = parser.parse_args(arguments)
    unset = object()
    marked = parser.parse_args(arguments, argparse.Namespace(**dict.fromkeys(vars(everything), unset)))
    return everything, {name: value for name, value in vars(marked).items() if value is not unset}
