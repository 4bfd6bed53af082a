"""Energy that GPUs use, as their drivers count it."""

import math
from collections.abc import Sequence
from typing import Any

import pynvml
import torch


class EnergyMeter:
    """Reads the counters of the first visible GPUs.

    A counter is of the whole card, with its idle power and whatever else runs there, and is renewed
    some ten times a second.
    """

    def __init__(self, gpus: int) -> None:
        """
        Args:
            gpus: how many are read together; with 0 no energy is known.
        """
        self._handles = _handles(gpus)

    def joules(self) -> float:
        """What all of them have used since some moment in the past; NaN where one does not tell."""
        if not self._handles:
            return math.nan
        try:
            return float(sum(map(pynvml.nvmlDeviceGetTotalEnergyConsumption, self._handles))) / 1000
        except pynvml.NVMLError:
            return math.nan


def _handles(gpus: int) -> Sequence[Any]:
    """NVML's handles of CUDA's first GPUs, which NVML may number otherwise; none if it lacks one of them."""
    uuids = [f"GPU-{torch.cuda.get_device_properties(gpu).uuid}" for gpu in range(gpus)]
    try:
        pynvml.nvmlInit()
        return [pynvml.nvmlDeviceGetHandleByUUID(uuid) for uuid in uuids]
    except pynvml.NVMLError:
        return []
