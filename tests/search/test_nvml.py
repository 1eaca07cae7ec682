"""Which GPUs the driver lists for this process."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from tune.search import devices, nvml

IDS = ["GPU-4c1d77aa", "GPU-4c1e0b52", "GPU-9f00aa01"]


def slice_of(name: str) -> str:
    if name != "MIG-7e57":
        raise RuntimeError("Not Found")
    return "slice"


@pytest.fixture
def three_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver with three GPUs; their handles are their numbers."""
    driver = SimpleNamespace(
        NVMLError=RuntimeError,
        nvmlInit=lambda: None,
        nvmlDeviceGetCount=lambda: 3,
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetHandleByUUID=slice_of,
        nvmlDeviceGetUUID=lambda handle: IDS[handle],
        nvmlDeviceGetName=lambda handle: f"model {handle}",
    )
    monkeypatch.setattr(nvml, "pynvml", driver)
    monkeypatch.setattr(devices, "pynvml", driver)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.mark.parametrize(
    ("names", "handles"),
    [
        (None, [0, 1, 2]),
        ("", []),
        ("1", [1]),
        ("2,0", [2, 0]),
        (" 1 , 2 ", [1, 2]),
        ("-1", []),
        ("0,-1,1", [0]),
        ("0,3,1", [0]),
        ("GPU-9f", [2]),
        ("GPU-4c1e0b52,0", [1, 0]),
        ("GPU-4c1", []),  # two of them
        ("MIG-7e57", ["slice"]),
        ("MIG-0000", []),
        ("NoDevFiles", []),
    ],
)
@pytest.mark.usefixtures("three_gpus")
def test_cuda_shows_the_gpus_that_the_variable_names(
    names: str | None, handles: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    if names is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", names)
    assert nvml.visible() == handles


@pytest.mark.usefixtures("three_gpus")
def test_a_glance_at_the_machine_names_the_gpus_that_cuda_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,1")
    machine = devices.at_a_glance()
    assert (machine.gpus, machine.names[1:]) == (2, ("model 2", "model 1"))


def test_a_machine_without_a_driver_shows_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_driver() -> None:
        raise RuntimeError("Driver Not Loaded")

    monkeypatch.setattr(nvml, "pynvml", SimpleNamespace(NVMLError=RuntimeError, nvmlInit=no_driver))
    assert nvml.visible() == []
