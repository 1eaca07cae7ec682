"""--resume: the run's settings replace the options that are not given; those that are given must agree with them."""

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
"""Settings that may change: locations, tracking, and hardware. They do not affect results, except that another share
of the machine changes the last digits."""

EXTEND = {"trials": "trials", "time_budget_s": "time budget"}
"""Settings that may increase."""


def settings_of(folder: RunFolder) -> Settings:
    """The settings of the search in the folder. ValueError if they are missing or damaged."""
    return Settings.from_dict(folder.read_json("experiment.json").get("settings"))


def check_folder(folder: RunFolder) -> None:
    """ValueError if the folder cannot be written, or its files are not as this version writes them."""
    for place in (folder.path, folder.path / "checkpoints"):
        if why := obstacle(place):
            raise ValueError(f"{place} cannot be written to ({why}), but a search resumes in its own folder.")
    if not isinstance(folder.read_json("experiment.json").get("spent_s", 0.0), int | float):
        raise ValueError("experiment.json is damaged: spent_s is not a number.")
    for name, schema in (("trials.parquet", TRIALS), ("epochs.parquet", EPOCHS)):
        rows = folder.read_rows(name)
        needed = [column for column in schema.names if not column.startswith("config.")]  # config_of checks those
        if rows and (missing := [column for column in needed if column not in rows[0]]):
            raise ValueError(f"{name} was written by another version of this project: it has no column {missing[0]}.")
        try:
            pa.Table.from_pylist(rows, schema=schema)
            for row in rows if name == "trials.parquet" else []:
                config_of(row)
                if not row["trial_id"].isdecimal() or None in (row["status"], row["origin"], row["epochs"]):
                    raise ValueError(f"{row['trial_id']} is not a trial of a search.")
        except (pa.ArrowException, ValueError, AttributeError) as error:
            raise ValueError(f"{folder.path / name} is damaged: {error}") from error


def merged(given: dict[str, Any], folder: RunFolder, settings: Settings) -> argparse.Namespace:
    """The options of the search that was started with `settings`, overridden by those given now."""
    values = settings.to_dict()
    values["time_budget"] = values.pop("time_budget_s")
    for name in ("space", "data_dir", "weights"):
        values[name] = None if values[name] is None else Path(values[name])
    where = Storage.of(folder)
    # The earlier run may be gone by now, so compare paths only.
    if "warm_start" in given and values["warm_start"] in where.addresses(given["warm_start"]):
        given = given | {"warm_start": values["warm_start"]}
    return argparse.Namespace(**{**values, **given, "name": folder.name, "storage": where})


def reopened(asked: argparse.Namespace, given: dict[str, Any]) -> tuple[argparse.Namespace, Settings]:
    """The options to resume the run with, and the settings it was started with."""
    if "dry_run" in given:
        raise ValueError("--dry-run previews a new search; omit it or --resume.")
    folder = asked.storage.find(asked.resume)
    if given.get("name") not in (None, folder.name):
        raise ValueError(f"--name {given['name']} is not the name of {asked.resume}; omit it.")
    before = settings_of(folder)
    check_folder(folder)
    if "then_finalize" in given:
        storage.fetch_final(folder)
        if looks.holds_more(folder.final):
            go_on = "--resume" if (folder.final / "checkpoint.pt").is_file() else "--overwrite"
            raise ValueError(
                f"{folder.final} already exists; omit --then-finalize, and afterwards use "
                f"`python -m tune.finalize {shlex.quote(folder.address)} {go_on}`."
            )
    return merged(given, folder, before), before


def check_agrees(before: Settings, now: Settings) -> None:
    """ValueError if the settings are those of another search, or of a smaller one."""
    if before.space_sha256 != now.space_sha256:
        raise ValueError(
            f"{now.space} is not what the search started with, which was {before.space} as it was then; "
            "restore that file, or start a new search."
        )
    for field in dataclasses.fields(Settings):
        name = field.name
        old, new = getattr(before, name), getattr(now, name)
        if name in FREE or name in ("space", "space_sha256") or old == new:
            continue
        option = f"--{name.removesuffix('_s').replace('_', '-')}"
        if name not in EXTEND:
            raise ValueError(
                f"{option} is {new}, but the search was started with {old}; omit it, or start a new search."
            )
        if old is None or new < old:
            had = f"no {EXTEND[name]}" if old is None else old
            raise ValueError(f"{option} is {new}, but the search was started with {had}; it can only be raised.")


def given_options(parser: argparse.ArgumentParser, arguments: list[str]) -> tuple[argparse.Namespace, dict[str, Any]]:
    """All options, and those of them that are on the command line."""
    everything = parser.parse_args(arguments)
    unset = object()
    marked = parser.parse_args(arguments, argparse.Namespace(**dict.fromkeys(vars(everything), unset)))
    return everything, {name: value for name, value in vars(marked).items() if value is not unset}
