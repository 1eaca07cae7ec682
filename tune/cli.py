"""What the commands share: options, exit codes, signals, and how errors are reported."""

from __future__ import annotations

import argparse
import errno
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn, get_args

from tune.files import Unwritable, printable
from tune.settings import WandbMode

DONE, FAILED, WRONG_INPUT, INTERRUPTED = 0, 1, 2, 130


class Parser(argparse.ArgumentParser):
    """An ArgumentParser that raises ValueError, with a one-sentence message, instead of exiting."""

    def error(self, message: str) -> NoReturn:
        raise ValueError(f"{message} (`{self.prog} --help` lists the options)")


class WorkFailed(Exception):
    """The input was valid, but the work failed. The message is all that the user needs."""


def parser(command: str, about: str) -> Parser:
    return Parser(f"python -m tune.{command}", description=about, allow_abbrev=False)


def add_storage(group: argparse._ActionsContainer) -> None:
    """Adds --storage, which every command has."""
    about = "folder of the runs, or a URI such as s3://bucket/path (default: results)"
    group.add_argument("--storage", default="results", metavar="DIR", help=about)


def add_wandb(group: argparse._ActionsContainer, default: str | None, about: str) -> None:
    """Adds --wandb, which the commands that train have; `about` describes the default."""
    group.add_argument(
        "--wandb", choices=("auto", *get_args(WandbMode)), default=default, help=f"Weights & Biases (default: {about})"
    )


def at_least(low: int, high: int | None = None) -> Callable[[str], int]:
    """An argparse type: a whole number of at least `low`, and at most `high`."""

    def whole_number(text: str) -> int:
        value = int(text)
        if value < low:
            raise argparse.ArgumentTypeError(f"{value} is less than {low}")
        if high is not None and value > high:
            raise argparse.ArgumentTypeError(f"{value} is more than {high}")
        return value

    whole_number.__name__ = f"whole number of at least {low}"
    return whole_number


def _check_text(argument: str) -> None:
    """ValueError for a file name that is not valid text: it could not be stored in experiment.json."""
    try:
        argument.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{argument} is not valid UTF-8; rename the file.") from error


def run(prepare: Callable[[list[str]], Callable[[], None]], arguments: list[str] | None = None) -> int:
    """Runs a command; returns its exit code, after printing errors to stderr.

    `prepare` checks the arguments and returns the work. A ValueError is a user's mistake only in `prepare`; in the work
    it is a bug and propagates, as its traceback is needed.
    """
    with _interruptible():
        arguments = sys.argv[1:] if arguments is None else arguments
        try:
            for argument in arguments:
                _check_text(argument)
            work = prepare(arguments)
        except ValueError as error:
            print(f"error: {printable(str(error))}", file=sys.stderr)
            return WRONG_INPUT
        except Unwritable as error:
            print(f"failed: {error}", file=sys.stderr)
            return FAILED
        except KeyboardInterrupt:
            return INTERRUPTED
        return _done(work)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Makes SIGTERM, which batch systems send, raise KeyboardInterrupt as Ctrl-C does."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number, handler in before.items():
        if handler != signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _done(work: Callable[[], None]) -> int:
    """Does the work; returns the exit code."""
    try:
        work()
        sys.stdout.flush()  # here a reader that has gone can be told
    except (WorkFailed, Unwritable) as error:
        print(f"failed: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    except OSError as error:
        if error.errno not in (errno.EPIPE, errno.ENOSPC):
            raise
        # `| head` has closed the pipe, or a file is full; the work may be unfinished.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if error.errno == errno.ENOSPC:
            print(f"failed: {error.strerror}; free some space, and start it again.", file=sys.stderr)
        return FAILED
    return DONE
