"""What must not be found in any file of a search, Ray's own logs included."""

from __future__ import annotations

import ipaddress
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil

from tune import cli
from tune.search.session import MARK

KEY = "0123456789abcdef" * 2 + "5eacde5"
SPACE = """
from ray import tune
from tune.space import SearchSpace

SPACE = SearchSpace(
    model="simple_cnn", epochs=1, trials=2,
    parameters={"lr": tune.loguniform(1e-2, 0.3), "batch_size": 50},
    reference={"lr": 0.1, "batch_size": 50},
)
"""


def listening(mark: str) -> set[str]:
    """The addresses on which the processes of a search listen."""
    found = set()
    for process in psutil.process_iter():
        try:
            if mark in process.environ():
                found |= {c.laddr.ip for c in process.net_connections("inet") if c.status == psutil.CONN_LISTEN}
        except psutil.Error:
            continue
    return found


def test_neither_the_wandb_key_nor_rays_token_lies_in_a_file_and_nobody_else_can_listen(
    tmp_path: Path, synthetic_root: Path
) -> None:
    """The command with a key in the environment, as a user has it, and with the dashboard."""
    (tmp_path / "space.py").write_text(SPACE)
    command = [sys.executable, "-m", "tune.run", "--space", tmp_path / "space.py", "--data", "synthetic"]
    command += ["--data-dir", synthetic_root, "--storage", tmp_path / "results", "--name", "one", "--wandb", "offline"]
    command += ["--train-subset", "100", "--gpus-per-trial", "0"]
    home = tmp_path / "home"
    home.mkdir()
    with tempfile.TemporaryDirectory() as logs:  # pytest's folders are too deep for a socket of Ray's
        own = {"WANDB_API_KEY": KEY, "HOME": str(home), "RAY_TMPDIR": logs}
        said, addresses = searched([*map(str, command)], os.environ | own)
        token = (home / ".ray" / "auth_token").read_text().strip()
        assert len(token) > 20
        assert addresses, "the dashboard listens at least"
        assert all(ipaddress.ip_address(address.removeprefix("::ffff:")).is_loopback for address in addresses)
        assert sum(path.suffix in (".log", ".out", ".err") for path in Path(logs).rglob("*")) > 10, "Ray's logs"
        files = [*tmp_path.rglob("*"), *Path(logs).rglob("*")]
        for path in files:
            if path.is_file() and path.name != "auth_token":
                content = path.read_bytes()
                assert KEY.encode() not in content, path
                assert token.encode() not in content, path
    assert KEY not in said
    assert token not in said


def searched(command: list[str], environment: dict[str, str]) -> tuple[str, set[str]]:
    """What a search prints, and on which addresses its processes listen while it trains."""
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        said, addresses = "", set[str]()
        for line in process.stdout:
            said += line
            if "starts: " in line:
                addresses |= listening(MARK)
    assert process.returncode == cli.DONE, said
    return said, addresses
