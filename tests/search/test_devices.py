"""How many trials a machine holds, and what it cannot give."""

from __future__ import annotations

import os

import pytest
import torch

from tune.search import devices
from tune.search.devices import Machine, Share, resolve, this_machine

LAPTOP = Machine(cpus=8, gpus=0, names=("cpu",))
ONE_GPU = Machine(cpus=16, gpus=1, names=("cpu", "gpu"))
TWO_GPUS = Machine(cpus=16, gpus=2, names=("cpu", "gpu", "gpu"))


@pytest.mark.parametrize(
    ("machine", "cpus", "gpus", "trials"),
    [
        (LAPTOP, 1, 0.0, 8),
        (LAPTOP, 3, 0.0, 2),
        (LAPTOP, 8, 0.0, 1),
        (ONE_GPU, 1, 1.0, 1),
        (ONE_GPU, 1, 0.5, 2),
        (ONE_GPU, 1, 0.3, 3),
        (ONE_GPU, 1, 0.25, 4),
        (ONE_GPU, 1, 0.2, 5),
        (ONE_GPU, 1, 0.1, 10),
        (ONE_GPU, 1, 1 / 3, 3),
        (ONE_GPU, 1, 0.6, 1),
        (ONE_GPU, 1, 0.05, 16),  # 20 by GPU, but there are 16 cores
        (ONE_GPU, 5, 0.25, 3),
        (ONE_GPU, 1, 0.0, 16),
        (TWO_GPUS, 1, 0.5, 4),
        (TWO_GPUS, 1, 1.0, 2),
        (TWO_GPUS, 1, 0.6, 2),  # one each: a share never spans two
        (TWO_GPUS, 1, 0.3, 6),
        (TWO_GPUS, 16, 0.5, 1),
    ],
)
def test_so_many_trials_run_side_by_side(machine: Machine, cpus: int, gpus: float, trials: int) -> None:
    assert machine.at_once(Share(cpus, gpus)) == trials


@pytest.mark.parametrize("parts", [*range(1, 33), 49])  # 1 / (1 / 49) is a little under 49
def test_a_share_of_one_nth_holds_n(parts: int) -> None:
    many_cores = Machine(cpus=256, gpus=1, names=())
    assert many_cores.at_once(Share(1, 1 / parts)) == parts


def test_without_a_word_the_space_decides() -> None:
    assert resolve(ONE_GPU, None, None, space_gpus=0.25, space_cpus=2) == (Share(2, 0.25), True)


@pytest.mark.parametrize(
    ("machine", "gpus", "cpus", "share", "settled"),
    [
        (ONE_GPU, None, None, Share(1, 1.0), False),
        (ONE_GPU, None, 2, Share(2, 1.0), False),
        (ONE_GPU, 0.5, None, Share(1, 0.5), True),  # beside a GPU one core does
        (ONE_GPU, 0.0, None, Share(1, 0.0), False),
        (ONE_GPU, 0.0, 4, Share(4, 0.0), True),
        (LAPTOP, None, None, Share(1, 0.0), False),
        (LAPTOP, None, 3, Share(3, 0.0), True),
    ],
)
def test_what_neither_the_space_nor_the_user_says_is_to_be_measured(
    machine: Machine, gpus: float | None, cpus: int | None, share: Share, settled: bool
) -> None:
    assert resolve(machine, gpus, cpus, space_gpus=None, space_cpus=None) == (share, settled)


def test_without_a_word_and_without_a_gpu_trials_run_on_cores() -> None:
    share, _ = resolve(LAPTOP, None, None, space_gpus=0.25, space_cpus=2)
    assert share == Share(2, 0.0)
    assert share.device == torch.device("cpu")


@pytest.mark.parametrize("gpus", [0.0, 0.5, 1.0])
def test_what_is_asked_for_comes_before_the_space(gpus: float) -> None:
    share, _ = resolve(ONE_GPU, gpus, 3, space_gpus=0.25, space_cpus=2)
    assert share == Share(3, gpus)
    assert share.device.type == ("cuda" if gpus else "cpu")


@pytest.mark.parametrize("gpus", [0.25, 1.0])
def test_a_gpu_that_is_not_there_is_refused(gpus: float) -> None:
    with pytest.raises(ValueError, match="no CUDA GPU here; use --gpus-per-trial 0") as caught:
        resolve(LAPTOP, gpus, None, space_gpus=0.25, space_cpus=1)
    assert f"--gpus-per-trial is {gpus:g}" in str(caught.value)


def test_more_cores_than_there_are_are_refused() -> None:
    for asked, spaces in ((9, 1), (None, 9)):
        with pytest.raises(ValueError, match="needs 9 CPU cores, but there are 8; lower --cpus-per-trial"):
            resolve(LAPTOP, None, asked, space_gpus=1.0, space_cpus=spaces)
    assert resolve(LAPTOP, None, 8, space_gpus=1.0, space_cpus=9)[0].cpus == 8


def test_whatever_is_resolved_lets_a_trial_run() -> None:
    for machine in (LAPTOP, ONE_GPU, TWO_GPUS):
        for gpus in (None, 0.0, 0.3, 1.0):
            if gpus and not machine.gpus:
                continue
            share, _ = resolve(machine, gpus, machine.cpus, space_gpus=0.7, space_cpus=1)
            assert machine.at_once(share) >= 1


def test_at_a_glance_it_is_the_machine_that_torch_sees() -> None:
    glance, seen = devices.at_a_glance(), this_machine()
    assert (glance.cpus, glance.gpus, glance.names[0]) == (seen.cpus, seen.gpus, seen.names[0])


def test_this_machine_is_what_the_system_says() -> None:
    machine = this_machine()
    assert 1 <= machine.cpus <= (os.cpu_count() or 1)
    assert machine.gpus == torch.cuda.device_count()
    assert len(machine.names) == 1 + machine.gpus
    assert all(machine.names)
