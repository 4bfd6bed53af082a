"""Energy used by GPUs, from the counters of their drivers."""

import math
from collections.abc import Sequence
from typing import Any

import pynvml
import torch


class EnergyMeter:
    """Reads the energy counters of the first visible GPUs.

    A counter covers the whole card, with its idle power and all other programs on it. The driver updates it about ten
    times a second.
    """

    def __init__(self, gpus: int) -> None:
        """
        Args:
            gpus: number of GPUs to add up; with 0, the energy is unknown.
        """
        self._handles = _handles(gpus)

    def joules(self) -> float:
        """Energy that all GPUs together have used since some fixed moment; NaN if one of them does not report it."""
        if not self._handles:
            return math.nan
        try:
            return float(sum(map(pynvml.nvmlDeviceGetTotalEnergyConsumption, self._handles))) / 1000
        except pynvml.NVMLError:
            return math.nan


def _handles(gpus: int) -> Sequence[Any]:
    """NVML's handles of CUDA's first GPUs, which NVML may number differently; empty if NVML lacks one of them."""
    uuids = [f"GPU-{torch.cuda.get_device_properties(gpu).uuid}" for gpu in range(gpus)]
    try:
        pynvml.nvmlInit()
        return [pynvml.nvmlDeviceGetHandleByUUID(uuid) for uuid in uuids]
    except pynvml.NVMLError:
        return []
