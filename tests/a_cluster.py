"""A Ray cluster on one machine, for tests: a raylet a node, and nodes that see neither the project nor its files."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import mkdtemp

import psutil

from tune.search.cluster import look

RAY = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--disable-usage-stats"]
BLIND = """
while [ "$1" != -- ]; do
    mount -t tmpfs tmpfs "$1" && echo 'raise ImportError("not what was sent")' > "$1/__init__.py" || exit 99
    shift
done
shift
exec "$@"
"""
"""In a mount namespace of its own: other folders in the place of some, as if they held an older checkout."""


def free_port() -> int:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port: int = reserved.getsockname()[1]
        return port


@dataclass
class Cluster:
    """A head and further nodes, each `ray start --block` in a session of its own."""

    cpus: int
    """Of each node."""

    hidden: list[Path] = field(default_factory=list)
    """Folders of this machine that only the head sees."""

    mark: str = field(default_factory=lambda: str(uuid.uuid4()))
    """CLUSTER in the environment of all that belongs to it."""

    nodes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    temp: Path = field(default_factory=lambda: Path(mkdtemp(prefix="ray-", dir="/tmp")))  # a socket's path is short
    port: int = field(default_factory=free_port)

    @property
    def ip(self) -> str:
        from ray._private.services import node_ip_address_from_perspective

        return str(node_ip_address_from_perspective(None))

    @property
    def address(self) -> str:
        return f"{self.ip}:{self.port}"

    def start(self, workers: int, cwd: Path) -> None:
        """Returns when all nodes are there."""
        self.add(["--head", "--port", str(self.port), "--include-dashboard", "false"], [], cwd)
        for _ in range(workers):
            self.add(["--address", self.address], self.hidden, cwd)
        deadline = time.monotonic() + 60
        while not self._complete():
            assert time.monotonic() < deadline, [path.read_text() for path in self.temp.glob("*.log")]
            time.sleep(0.2)

    def _complete(self) -> bool:
        with suppress(ValueError):
            return len(look(self.address).nodes) == len(self.nodes)
        return False

    def add(self, options: list[str], hidden: list[Path], cwd: Path) -> None:
        """Starts a node."""
        number = len(self.nodes)
        home = self.temp / f"home{number}"
        home.mkdir()
        command = [*RAY, *options, "--num-cpus", str(self.cpus), "--num-gpus", "0"]
        command += ["--temp-dir", str(self.temp / str(number)), "--node-name", f"node{number}"]
        command += ["--object-store-memory", str(200 * 2**20), "--min-worker-port", "0", "--max-worker-port", "0"]
        for port in ("dashboard-agent-listen", "dashboard-agent-grpc", "metrics-export", "node-manager",
                     "object-manager", "runtime-env-agent"):  # fmt: skip
            command += [f"--{port}-port", str(free_port())]
        if hidden:
            command = ["unshare", "-m", "sh", "-c", BLIND, "sh", *map(str, hidden), "--", *command]
        environment = {
            name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "XDG_CACHE_HOME")
        }
        environment |= {"CLUSTER": self.mark, "HOME": str(home), "RAY_AUTH_MODE": "disabled", "NODE": str(number)}
        with (self.temp / f"node{number}.log").open("wb") as log:
            node = subprocess.Popen(command, stdout=log, stderr=log, cwd=cwd, env=environment, start_new_session=True)
        self.nodes.append(node)

    def of_node(self, number: int) -> list[psutil.Process]:
        return [process for process in self.processes() if _environ(process).get("NODE") == str(number)]

    def kill_node(self, number: int) -> None:
        """As if its plug were pulled."""
        self.nodes[number].send_signal(signal.SIGKILL)
        for process in self.of_node(number):
            with suppress(psutil.Error):
                process.kill()
        self.nodes[number].wait()

    def processes(self) -> list[psutil.Process]:
        return [process for process in psutil.process_iter() if _environ(process).get("CLUSTER") == self.mark]

    def stop(self) -> None:
        while left := self.processes():
            for process in left:
                with suppress(psutil.Error):
                    process.kill()
            time.sleep(0.1)
        for node in self.nodes:
            node.wait()
        shutil.rmtree(self.temp, ignore_errors=True)


def _environ(process: psutil.Process) -> dict[str, str]:
    with suppress(psutil.Error):
        return process.environ()
    return {}
