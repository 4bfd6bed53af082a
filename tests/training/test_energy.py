import math
from collections.abc import Callable
from types import SimpleNamespace

import pynvml
import pytest
import torch

from lnbench.training.energy import EnergyMeter

MILLIJOULES = {"GPU-b": 5_000, "GPU-a": 7_000, "GPU-c": 20_000}
"""Of three cards; CUDA is shown the first two."""


def fail(code: int) -> Callable[..., None]:
    def raise_it(*_: object) -> None:
        raise pynvml.NVMLError(code)

    return raise_it


@pytest.fixture(autouse=True)
def cards(monkeypatch: pytest.MonkeyPatch) -> None:
    visible = [SimpleNamespace(uuid="b"), SimpleNamespace(uuid="a")]
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda gpu: visible[gpu])
    monkeypatch.setattr(pynvml, "nvmlInit", lambda: None)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByUUID", lambda uuid: uuid)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetTotalEnergyConsumption", MILLIJOULES.__getitem__)


def test_cards_are_those_that_cuda_sees() -> None:
    assert EnergyMeter(1).joules() == 5
    assert EnergyMeter(2).joules() == 12


def test_without_gpus_nothing_is_known() -> None:
    assert math.isnan(EnergyMeter(0).joules())


@pytest.mark.parametrize(
    ("function", "code"),
    [
        ("nvmlInit", pynvml.NVML_ERROR_LIBRARY_NOT_FOUND),
        ("nvmlDeviceGetHandleByUUID", pynvml.NVML_ERROR_NOT_FOUND),
        ("nvmlDeviceGetTotalEnergyConsumption", pynvml.NVML_ERROR_NOT_SUPPORTED),
    ],
)
def test_a_driver_that_does_not_tell_stops_nothing(monkeypatch: pytest.MonkeyPatch, function: str, code: int) -> None:
    monkeypatch.setattr(pynvml, function, fail(code))
    assert math.isnan(EnergyMeter(2).joules())
