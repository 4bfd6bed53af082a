"""Slots. A slot is a GPU, or a share of the processor's cores, that runs one job at a time."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import takewhile

import pynvml

from lnbench.core.schema import ConfigError

VISIBLE = "CUDA_VISIBLE_DEVICES"
THREADS = "OMP_NUM_THREADS"


@dataclass(frozen=True)
class Slot:
    """A place for one job at a time."""

    name: str
    environment: dict[str, str] = field(default_factory=dict)
    """Environment variables that confine a job to the slot."""


def make_slots(gpus: int | Sequence[int | str] | None, per_gpu: int, cpu_slots: int) -> list[Slot]:
    """The slots of this machine.

    Args:
        gpus: number of GPUs, or their ids; None means all visible GPUs.
        per_gpu: number of jobs that share a GPU.
        cpu_slots: number of jobs that share the processor when there is no GPU.

    Raises:
        ConfigError: this machine has fewer GPUs than requested.
    """
    ids = _choose(gpus)
    if not ids:
        return [Slot(f"CPU {number}", {VISIBLE: ""}) for number in range(cpu_slots)]
    shares = [""] if per_gpu == 1 else [f" ({number} of {per_gpu})" for number in range(1, per_gpu + 1)]
    # All GPUs get their first job before any gets its second.
    return [Slot(f"GPU {gpu}{share}", {VISIBLE: gpu}) for share in shares for gpu in ids]


def divided_threads(slots: int) -> dict[str, str]:
    """Environment variables that give each of `slots` processes its share of the cores, unless already set."""
    if slots == 1 or THREADS in os.environ:
        return {}
    return {THREADS: str(max(1, _cores() // slots))}


def visible_gpus() -> list[str]:
    """Ids of the GPUs that CUDA would see, found without starting CUDA."""
    count = _gpu_count()
    chosen = os.environ.get(VISIBLE)
    if chosen is None or not count:
        return [str(gpu) for gpu in range(count)]
    # CUDA ignores all ids after an invalid one, such as -1.
    return list(takewhile(lambda gpu: gpu and not gpu.startswith("-"), map(str.strip, chosen.split(","))))


def _choose(gpus: int | Sequence[int | str] | None) -> list[str]:
    if not (gpus is None or isinstance(gpus, int)):
        return [str(gpu) for gpu in gpus]
    visible = visible_gpus()
    if gpus is not None and gpus > len(visible):
        raise ConfigError(f"hydra.launcher.gpus = {gpus}: only {len(visible)} visible here")
    return visible[:gpus]


def _gpu_count() -> int:
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return 0
    try:
        return int(pynvml.nvmlDeviceGetCount())
    finally:
        pynvml.nvmlShutdown()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
