"""Classify images with a finished model: python -m tune.predict MODEL IMAGE_OR_FOLDER ..."""

from __future__ import annotations

import signal

if __name__ == "__main__" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    # Ctrl-C during the imports below should not print a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import argparse
import json
import os
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tune import cli, image_files, progress, storage
from tune.files import as_unwritable, check_out, printable, short

if TYPE_CHECKING:
    from tune.training.checkpoint import Classifier

BATCH_SIZE = 64
TOP = 5


@dataclass(frozen=True)
class Answer:
    """The model's answer for one image."""

    path: Path
    labels: list[str]
    """The most likely first."""

    probabilities: list[float]


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = cli.parser("predict", "Classify images with a finished model, or export it.")
    parser.add_argument("model", metavar="MODEL", help="a model.pt, or the name or path of a finalized run")
    parser.add_argument("places", nargs="*", type=Path, metavar="IMAGE_OR_FOLDER",
                        help="images of any size, and folders, read with their subfolders")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print one line of JSON per image instead of a table")
    parser.add_argument("--tta", action=argparse.BooleanOptionalAction,
                        help="average over shifted and mirrored views (default: as the model was tested)")  # fmt: skip
    parser.add_argument("--export", type=Path, metavar="FILE",
                        help="write the model and its preprocessing as a .pt2 file for torch.export.load")  # fmt: skip
    cli.add_storage(parser)
    return parser.parse_intermixed_args(arguments)


def prepare(arguments: list[str]) -> Callable[[], None]:
    """Checks everything, and returns the work to do."""
    options = parse(arguments)
    if not options.places and options.export is None:
        raise ValueError("There is nothing to do; give an image or a folder of images, or --export FILE.")
    path = find_model(options.model, options.storage)
    if options.export is not None:
        check_out(options.export, "--export")
    found = image_files.find(options.places)
    if options.places and not found:
        raise ValueError(f"{', '.join(map(str, options.places))} holds no files; give a folder of images.")
    named = {place: image_files.read(place) for place, is_named in found if is_named}
    # torch is imported only after the checks that do not need it.
    import torch

    from tune.training.checkpoint import load_model

    device = torch.device("cuda" if torch.cuda.is_available() and not options.export else "cpu")
    return partial(work, load_model(path, device), [place for place, _ in found], named, options)


def find_model(given: str, where: str) -> Path:
    """The model file: `given` itself, or that of the run it names. ValueError if there is none."""
    if os.path.isfile(given):
        return Path(given)
    try:
        folder = storage.resolve(where).find(given)
    except ValueError as error:
        raise ValueError(f"{given} is neither a model file nor a run: {error}") from error
    storage.fetch_final(folder, only="model.pt")
    if not (folder.final / "model.pt").is_file():
        raise ValueError(f"{folder.name} has no final model; make it with "
                         f"`python -m tune.finalize {shlex.quote(folder.address)}`.")  # fmt: skip
    return folder.final / "model.pt"


def work(
    classifier: Classifier, places: list[Path], named: dict[Path, NDArray[np.uint8]], options: argparse.Namespace
) -> None:
    """Exports and predicts, and prints the results."""
    if options.export is not None:
        from tune.training.export import export

        with as_unwritable(options.export):
            options.export.parent.mkdir(parents=True, exist_ok=True)
        export(options.export, classifier, tta=options.tta)
        print(f"Exported: {options.export}", file=sys.stderr if options.json else sys.stdout)
    if not places:
        return
    skipped: list[Path] = []
    answers = predictions(classifier, places, named, skipped, options.tta)
    if options.json:
        for answer in answers:
            print(json.dumps(as_json(answer)))
    else:
        with progress.shown("predict", "images", Console(stderr=True)) as bar:
            rows = list(shown(answers, bar, len(places)))
            bar.advance(len(skipped), len(places))
        if rows:
            print_table(rows)
    if len(skipped) == len(places):
        raise cli.WorkFailed(describe_skipped(skipped))
    if skipped:
        print(describe_skipped(skipped), file=sys.stderr)


def predictions(
    classifier: Classifier,
    places: list[Path],
    named: dict[Path, NDArray[np.uint8]],
    skipped: list[Path],
    tta: bool | None,
) -> Iterator[Answer]:
    """One answer per image, in order. Files that are not images are left out, and added to `skipped`."""
    import torch

    predictor = classifier.predictor(tta=tta, exact=True)
    device = next(predictor.parameters()).device
    for start in range(0, len(places), BATCH_SIZE):
        seen = []
        for place in places[start : start + BATCH_SIZE]:
            try:
                seen.append((place, named[place] if place in named else image_files.read(place)))
            except image_files.UnreadableImage:
                skipped.append(place)
        if not seen:
            continue
        with torch.inference_mode():
            probabilities = predictor(torch.from_numpy(np.stack([picture for _, picture in seen])).to(device)).exp()
            top, which = (part.cpu().tolist() for part in probabilities.topk(TOP, dim=1))
        for (place, _), ranked, labels in zip(seen, top, which, strict=True):
            yield Answer(place, [classifier.class_names[label] for label in labels], ranked)


def describe_skipped(skipped: list[Path]) -> str:
    """A sentence that names the files that could not be read as images."""
    first = printable(short(skipped[0]))
    if len(skipped) == 1:
        return f"{first} cannot be read as an image."
    return f"{len(skipped)} files cannot be read as images; the first is {first}."


def shown(answers: Iterator[Answer], bar: progress.Work, total: int) -> Iterator[Answer]:
    """The same answers, advancing the bar by one for each."""
    for answer in answers:
        yield answer
        bar.advance(1, total)


def as_json(answer: Answer) -> dict[str, object]:
    top = [
        {"label": label, "probability": round(share, 6)}
        for label, share in zip(answer.labels, answer.probabilities, strict=True)
    ]
    return {"image": str(answer.path), "top5": top}


def print_table(answers: Sequence[Answer]) -> None:
    """Prints a row per image, with as many of its classes as fit into the terminal."""
    console = Console()
    if not console.is_terminal:  # output to a file or pipe is neither cut off nor wrapped
        console = Console(width=10_000)
    unlimited = console.options.update(width=10_000)
    tables = (as_table(answers, top) for top in range(TOP, 0, -1))
    fitting = (table for table in tables if console.measure(table, options=unlimited).maximum <= console.width)
    console.print(next(fitting, as_table(answers, 1)))


def as_table(answers: Sequence[Answer], top: int) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    table.add_column("image", overflow="fold")
    for rank in range(1, top + 1):
        table.add_column(str(rank), overflow="fold")
    for answer in answers:
        likely = list(zip(answer.labels, answer.probabilities, strict=True))[:top]
        cells = [f"{label} {100 * share:.1f} %" for label, share in likely]
        table.add_row(*map(Text, [printable(short(answer.path)), *cells]))
    return table


if __name__ == "__main__":
    sys.exit(cli.run(prepare))
