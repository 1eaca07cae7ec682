"""The public surface as text: what scripts and people rely on, and what must not change by accident.

After a change on purpose: `python -m tests.surface` writes tests/surface.txt anew. Say so in CHANGELOG.md.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal, get_args, get_origin, get_type_hints
from unittest.mock import patch

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from tests.a_search import SETTINGS
from tests.commands.asking import Prepare
from tests.small_data import small
from tune import cli, finalize, predict, report, run
from tune.results import EPOCHS, TRIALS, RunFolder
from tune.search import choose, confirm, warm_start
from tune.search.experiment import Experiment
from tune.space import SearchSpace
from tune.training import checkpoint, final_evaluation, final_predictions, final_training, ood
from tune.training.config import TrainConfig
from tune.training.final_folder import FinalFolder
from tune.training.request import Request

FILE = Path(__file__).with_name("surface.txt")
COMMANDS: dict[str, Prepare] = {
    "run": run.prepare, "finalize": finalize.prepare, "report": report.prepare, "predict": predict.prepare,
}  # fmt: skip
CONFIG = TrainConfig(model="simple_cnn", lr=0.01, batch_size=20, epochs=1)


def surface() -> str:
    """All of it, a heading a part."""
    parts = [(f"python -m tune.{name}", options(prepare)) for name, prepare in COMMANDS.items()]
    parts += [("exit codes", exit_codes())]
    parts += [(of.__name__, fields(of)) for of in (TrainConfig, SearchSpace)]
    tables = {"trials.parquet": TRIALS, "epochs.parquet": EPOCHS, "confirm.parquet": confirm.RERUNS}
    parts += [(name, columns(schema)) for name, schema in (tables | {"warm_start.parquet": warm_start.TAKEN}).items()]
    parts += [("best.json", keys(choose.choose([trial()], "val_acc")))]
    parts += [("best.json with --confirm", keys(confirmed()))]
    with tempfile.TemporaryDirectory() as folder:
        parts += [("experiment.json", keys(experiment(Path(folder))))]
        parts += final_files(Path(folder))
    return "\n".join("".join(f"{line}\n" for line in (heading, *(f"  {line}" for line in lines)))
                     for heading, lines in parts)  # fmt: skip


def options(prepare: Prepare) -> Iterator[str]:
    """What a command takes: its arguments, then its options by name, each with its default."""
    with patch.object(argparse.ArgumentParser, "print_help", autospec=True) as helped, suppress(SystemExit):
        prepare(["--help"])
    parser: argparse.ArgumentParser = helped.call_args.args[0]
    for action in sorted(parser._actions, key=lambda action: action.option_strings):
        value = action.metavar or (f"{{{','.join(action.choices)}}}" if action.choices else action.dest.upper())
        value = {"?": f"[{value}]", "+": f"{value} ...", "*": f"[{value} ...]", "0": ""}.get(str(action.nargs), value)
        told = re.search(r"\(default: (.+)\)", action.help or "")
        default = action.default if action.default not in (None, False) else told and told[1]
        parts = (", ".join(action.option_strings), value, f"= {default}" if default else "")
        if "--help" not in action.option_strings:
            yield " ".join(filter(None, parts))


def exit_codes() -> Iterator[str]:
    for name in ("DONE", "FAILED", "WRONG_INPUT", "INTERRUPTED"):
        yield f"{getattr(cli, name)} {name}"


def fields(of: Any) -> Iterator[str]:
    """The fields of a dataclass with their types and defaults."""
    kinds = get_type_hints(of)
    for field in dataclasses.fields(of):
        kind = kinds[field.name]
        told = "|".join(get_args(kind)) if get_origin(kind) is Literal else field.type
        yield f"{field.name}: {told}" + ("" if field.default is dataclasses.MISSING else f" = {field.default!r}")


def columns(schema: pa.Schema) -> Iterator[str]:
    more = schema.names[: len(TRIALS)] == TRIALS.names and len(schema) > len(TRIALS)
    if more:
        yield "all of trials.parquet"
    for field in list(schema)[len(TRIALS) if more else 0 :]:
        yield f"{field.name}: {field.type}"


def keys(value: Any, of: str = "") -> Iterator[str]:
    """The keys of a JSON object, those within others after a dot. A list of objects is its first."""
    if isinstance(value, list) and value and isinstance(value[0], dict):
        yield from keys(value[0], f"{of}[]")
    elif isinstance(value, dict) and set(value) == set(TrainConfig.fields()):
        yield f"{of}: as TrainConfig"
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from keys(item, f"{of}.{key}" if of else key)
    else:
        yield of


def trial() -> dict[str, Any]:
    """A row of trials.parquet."""
    config = {f"config.{name}": value for name, value in CONFIG.to_dict().items()}
    return dict.fromkeys(TRIALS.names) | {"status": "finished", "epochs": 1, "val_acc": 1.0, "trial_id": "0"} | config


def confirmed() -> dict[str, Any]:
    again = [{"trial_id": "0", "status": "finished", "wall_s": 1.0, "val_acc": acc} for acc in (1.0, 2.0)]
    return confirm.choose({"0": trial()}, again, "val_acc")


def experiment(folder: Path) -> dict[str, Any]:
    machine, nothing = SimpleNamespace(names=["CPU"]), dict.fromkeys(("data_fingerprint", "weights_sha256"))
    plan: Any = SimpleNamespace(settings=SETTINGS, machine=machine, calibration=None, **nothing)
    Experiment(RunFolder(folder), plan, {}, 0.0).write()
    return RunFolder(folder).read_json("experiment.json")


def final_files(folder: Path) -> Iterator[tuple[str, Iterator[str]]]:
    """What lies in `final/` after a training on two seeds, with all that can be asked for."""
    final, data = FinalFolder(RunFolder(folder), torch.device("cpu")), small(folder)
    asked = Request(CONFIG, "0", "train", "synthetic", data, 0.2, 0, None, seeds=2, tta=True)
    list(final_training.train(final, asked))
    final_evaluation.evaluate(final, asked)
    final_predictions.predict(final, [data / f"{name}.npy" for name in ood.NAMES], tta=False, adapt=False)
    for name in ("metrics.json", "test_looks.json"):
        yield f"final/{name}", keys(json.loads((final.folder.path / name).read_text()))
    for name in ("epochs", "test_predictions", "ood_predictions"):
        yield f"final/{name}.parquet", columns(pq.read_schema(final.folder.path / f"{name}.parquet"))
    yield "final/model.pt", iter(checkpoint.load(final.model))
    with final.submission.open() as submission:
        yield "final/submission_ood.csv", iter([submission.readline().strip()])


if __name__ == "__main__":
    FILE.write_text(surface())
