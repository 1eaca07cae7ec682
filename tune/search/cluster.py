"""A running Ray cluster: whether a search can join it, what its nodes offer, and how the search joins.

If something is wrong, Ray itself waits for minutes or ends the process. So everything is checked first, over
connections with a timeout.
"""

from __future__ import annotations

import importlib
import json
import logging
import platform
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import ray
from ray._private import services, worker
from ray._private.authentication.authentication_token_setup import (
    ensure_token_if_auth_enabled,
    maybe_enable_token_auth_if_token_available,
)
from ray.exceptions import GetTimeoutError, RayError, RayTaskError

from tune.search.devices import Machine, Share
from tune.search.watchdog import end_at_once, sigterm_kept
from tune.training.side_by_side import CannotMeasure
from tune.wording import counted

TIMEOUT_S = 2.0
"""Timeout of each request to the cluster."""

SILENCE_S = 45.0
"""Silence after which the head node counts as dead. After 60 s Ray would abort the process itself."""

ASK_EVERY_S = 5.0

FREE_WITHIN_S = 180.0
"""Timeout of a measurement, including the wait for a free node."""

T = TypeVar("T")

PACKAGES = ("tune", "cifar_models")
"""The code that trials run."""


@dataclass(frozen=True)
class Cluster(Machine):
    """The resources of all nodes. `cpus` are those of the largest node, as a trial runs on a single one."""

    nodes: tuple[Machine, ...]
    address: str = ""

    def node(self, on_gpu: bool) -> Machine:
        if on_gpu:
            return max(self.nodes, key=lambda node: (node.gpus, node.cpus))
        return min((node for node in self.nodes if node.cpus), key=lambda node: node.cpus)

    def run(self, work: Callable[[], T], on_gpu: bool) -> T:
        """Runs `work` alone on a node's cores, or on a GPU with its part of them. CannotMeasure if no node is free."""
        node = self.node(on_gpu)
        cpus = node.cpus // node.gpus if on_gpu else node.cpus
        with joined(self.address):
            task = ray.remote(num_cpus=max(1, cpus), num_gpus=float(on_gpu), max_retries=0)(lambda: work())
            try:
                found: T = ray.get(task.remote(), timeout=FREE_WITHIN_S)
            except GetTimeoutError as error:
                raise CannotMeasure(f"no node was free, or finished, within {FREE_WITHIN_S:.0f} s") from error
            except RayTaskError as error:
                raise CannotMeasure(str(error.cause)) from error
            except RayError as error:  # the node or the process died
                raise CannotMeasure(str(error).splitlines()[0]) from error
        return found

    def at_once(self, share: Share) -> int:
        return sum(node.at_once(share) for node in self.nodes)


def look(address: str) -> Cluster:
    """The resources of the cluster at `address`. ValueError if a search could not join it."""
    where = _find(address)
    if not answers(where):
        raise ValueError(f"--address: nothing answers at {where}; start a cluster there with `ray start --head`, "
                         "or give --address local (docs/cluster.md).")  # fmt: skip
    nodes, versions = _ask(where)
    ours = {"Ray": ray.__version__, "Python": platform.python_version()}
    if versions != ours:
        theirs, here = (" and ".join(f"{name} {v}" for name, v in which.items()) for which in (versions, ours))
        raise ValueError(
            f"--address: the cluster at {where} runs {theirs}, but this is {here}; the versions must be the same."
        )
    if not {node.node_id.hex() for node in nodes} & set(services.find_node_ids()):
        raise ValueError(
            f"--address: this machine is not a node of the cluster at {where}; start the search on a node of it, or "
            f"add this machine with `ray start --address={where}`."
        )
    return _described(nodes, where)


def answers(where: str, timeout_s: float = TIMEOUT_S) -> bool:
    """Whether anything listens at `where`, HOST:PORT."""
    host, _, port = where.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout_s).close()
    except OSError:
        return False
    return True


@contextmanager
def joined(address: str) -> Iterator[Any]:
    """Joins the cluster and yields Ray's context. Leaving at the end also ends the search's trials there.

    The project's code is sent to the nodes as the trials' working directory. Otherwise Ray would make trials look first
    into the path of this process's directory, where a node may have an older checkout.
    """
    with TemporaryDirectory() as code:
        for name in PACKAGES:
            source = Path(str(importlib.import_module(name).__file__)).parent
            shutil.copytree(source, Path(code) / name, ignore=shutil.ignore_patterns("__pycache__"))
        with sigterm_kept():
            context = ray.init(
                address=_find(address),
                runtime_env={"working_dir": code},
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
    # When a node dies, Ray prints twenty lines of logs; the view says what that means for the search.
    tell, worker.print_to_stdstream = worker.print_to_stdstream, lambda *args, **kwargs: None
    try:
        yield context
    finally:
        ray.shutdown()
        worker.print_to_stdstream = tell


@contextmanager
def head_watched(resume_hint: str) -> Iterator[None]:
    """Ends the process, printing `resume_hint`, if the head node of the joined cluster stops answering.

    A thread watches it: all of Ray's calls would wait for the head, and neither Tune's callbacks nor Python's signal
    handlers would run. Does nothing for a local Ray.
    """
    node = worker._global_node
    if node is None or node.head:
        yield
        return
    over = threading.Event()

    def watch() -> None:
        heard = time.monotonic()
        while not over.wait(ASK_EVERY_S):
            began = time.monotonic()
            if answers(node.gcs_address):
                heard = time.monotonic()
            elif began - heard > SILENCE_S:
                died = f"failed: the head of the Ray cluster, {node.gcs_address}, has not answered for {SILENCE_S:g} s."
                end_at_once(1, f"{died} {resume_hint}")

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


def _find(address: str) -> str:
    """HOST:PORT of the cluster."""
    try:
        if address == "auto":
            maybe_enable_token_auth_if_token_available(warn_if_disabled=False)
        where = str(services.canonicalize_bootstrap_address(address))
        ensure_token_if_auth_enabled(create_token_if_missing=False)
    except ConnectionError:
        raise ValueError(
            "--address auto: no Ray cluster runs on this machine; `ray start --head` starts one (docs/cluster.md)."
        ) from None
    except (RayError, RuntimeError, ValueError, OSError) as error:  # no token, or an unknown host name
        why = str(error).splitlines()[0].partition(". ")[0]
        raise ValueError(f"--address {address}: {why.removesuffix('.')}.") from error
    if "://" in where:  # from RAY_ADDRESS
        raise ValueError(f"--address {address}: RAY_ADDRESS is {where}, which is for Ray's client; give HOST:PORT.")
    return where


def _ask(where: str) -> tuple[list[Any], dict[str, str]]:
    """The live nodes, as Ray describes them, and the versions of Ray and Python that they run."""
    import grpc  # Ray's own
    from ray._common.usage import usage_constants
    from ray._private import ray_constants
    from ray._private.grpc_utils import init_grpc_channel
    from ray.core.generated import gcs_pb2, gcs_service_pb2, gcs_service_pb2_grpc

    with init_grpc_channel(where) as channel:
        try:
            request = gcs_service_pb2.GetAllNodeInfoRequest(state_filter=gcs_pb2.GcsNodeInfo.ALIVE)
            nodes = gcs_service_pb2_grpc.NodeInfoGcsServiceStub(channel).GetAllNodeInfo(request, timeout=TIMEOUT_S)
            key = gcs_service_pb2.InternalKVGetRequest(
                key=usage_constants.CLUSTER_METADATA_KEY, namespace=ray_constants.KV_NAMESPACE_CLUSTER
            )
            metadata = gcs_service_pb2_grpc.InternalKVGcsServiceStub(channel).InternalKVGet(key, timeout=TIMEOUT_S)
            about = json.loads(metadata.value)
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.UNAUTHENTICATED:
                raise ValueError(
                    f"--address: the cluster at {where} requires a token: set RAY_AUTH_MODE=token, and copy the token "
                    "of its head node to ~/.ray/auth_token."
                ) from error
            raise ValueError(f"--address: what listens at {where} is not a Ray cluster, or does not answer.") from error
        except ValueError as error:
            raise ValueError(f"--address: what listens at {where} does not answer as a Ray cluster.") from error
    return list(nodes.node_info_list), {"Ray": about["ray_version"], "Python": about["python_version"]}


def _described(nodes: list[Any], where: str) -> Cluster:
    machines = []
    for node in nodes:
        has = node.resources_total
        gpus = int(has.get("GPU", 0))
        kinds = [name.partition(":")[2] for name in has if name.startswith("accelerator_type:")]
        machines.append(Machine(int(has.get("CPU", 0)), gpus, tuple((kinds or ["GPU"])[:1] * gpus)))
    cpus = sum(machine.cpus for machine in machines)
    title = f"Ray cluster of {counted(len(nodes), 'node')} with {counted(cpus, 'CPU core')}"
    names = sorted(name for machine in machines for name in machine.names)
    return Cluster(max(machine.cpus for machine in machines), len(names), (title, *names), tuple(machines), where)
