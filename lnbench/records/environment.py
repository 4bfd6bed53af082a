"""The machine and the software of a run."""

import contextlib
import math
import platform
import resource
import subprocess
import sys
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
import torch

PACKAGES = (
    "torch",
    "transformers",
    "pytorch-lightning",
    "hydra-core",
    "datasets",
    "scikit-learn",
    "tokenizers",
    "numpy",
)


def versions() -> dict[str, str]:
    """Versions of Python, of lnbench and of each package that can change a result."""
    from lnbench import __version__

    return {"python": platform.python_version(), "lnbench": __version__, **_packages()}


@cache
def _packages() -> dict[str, str]:
    """Versions by package, read once."""
    return {name: version(name) for name in PACKAGES}


def hardware() -> dict[str, Any]:
    """The properties of the machine that affect times and numbers."""
    described: dict[str, Any] = {
        "platform": platform.platform(),
        "cpu": _cpu_name(),
        "cpu_model": _cpu_model(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "memory_bytes": psutil.virtual_memory().total,
    }
    if torch.cuda.is_available():
        gpu = torch.cuda.get_device_properties(0)
        described |= {"gpu": gpu.name, "gpu_memory_bytes": gpu.total_memory, "cuda": torch.version.cuda}
    return described


def git_commit() -> str | None:
    """Commit of the checkout that lnbench runs from, `-dirty` with uncommitted changes; None if it is installed."""
    try:
        _git("ls-files", "--error-unmatch", __file__)
        return _git("describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
    except (OSError, subprocess.SubprocessError):
        return None


def forget_peak_memory() -> None:
    """Resets `peak_memory_bytes` to what is held now. Outside Linux, the peak of a process on a CPU stays."""
    if torch.cuda.is_initialized():
        torch.cuda.reset_peak_memory_stats()
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # proc_pid_clear_refs(5): resets VmHWM


def peak_memory_bytes() -> int:
    """Largest number of bytes held so far: by tensors on the GPU, or by the process on a CPU."""
    if torch.cuda.is_available() and (peak := torch.cuda.max_memory_allocated()):
        return peak
    return peak_resident_bytes()


def peak_resident_bytes() -> int:
    """Largest number of bytes of memory that the process held so far.

    Linux counts in `ru_maxrss` what the parent held when it started the process, so VmHWM is read there.
    """
    with contextlib.suppress(OSError, ValueError):
        status = Path("/proc/self/status").read_text()
        return int(status.partition("VmHWM:")[2].split("kB")[0]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def seconds_without_core() -> float:
    """Seconds in which the calling thread was ready to compute and other threads or programs had all cores.

    Only Linux counts them; NaN elsewhere. Source: proc_pid_schedstat(5).
    """
    try:
        return int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return math.nan


def _cpu_name() -> str:
    return _cpu_info().get("model name") or platform.processor() or platform.machine()


def _cpu_model() -> str:
    """Numbers that distinguish CPUs of one name; empty if the system does not list them."""
    info = _cpu_info()
    return " ".join(info[name] for name in ("cpu family", "model") if name in info)


@cache
def _cpu_info() -> dict[str, str]:
    """Linux's facts on the first core, by name."""
    try:
        first = Path("/proc/cpuinfo").read_text().partition("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(Path(__file__).parent), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
