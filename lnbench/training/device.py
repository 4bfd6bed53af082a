"""The device and the number format of a run."""

from typing import Literal

import torch

from lnbench.config.trainer import TrainerConfig
from lnbench.core.schema import ConfigError

Precision = Literal["32-true", "bf16-mixed"]
"""Name of a number format in Lightning."""
Format = Literal["fp32", "bf16"]
"""Name of a number format in `trainer.precision`."""
FORMATS: dict[Precision, Format] = {"32-true": "fp32", "bf16-mixed": "bf16"}


def use_gpu(config: TrainerConfig) -> bool:
    """Whether the run computes on a CUDA device.

    Raises:
        ConfigError: the run asks for a CUDA device, and there is none.
    """
    available = torch.cuda.is_available()
    if config.device == "gpu" and not available:
        raise ConfigError("trainer.device = 'gpu': this machine has no usable CUDA device; use cpu or auto")
    return available and config.device != "cpu"


def choose_precision(config: TrainerConfig) -> Precision:
    """The number format, by its name in Lightning. With `auto`, a CPU never gets bf16.

    Raises:
        ConfigError: the run asks for a device that is not there, or for bf16 where it is slow or missing.
    """
    gpu = use_gpu(config)
    capable = computes_bf16("cuda" if gpu else "cpu")
    if config.precision == "bf16" and not capable:
        raise ConfigError("trainer.precision = 'bf16': this device computes it slowly or not at all; use fp32 or auto")
    wanted = config.precision == "bf16" or (config.precision == "auto" and gpu)
    return "bf16-mixed" if wanted and capable else "32-true"


def computes_bf16(device_type: str) -> bool:
    """Whether a kind of device, `cpu` or `cuda`, supports bf16 and is not far slower in it than in fp32."""
    if device_type == "cuda":
        return torch.cuda.is_available() and torch.cuda.is_bf16_supported()
    return torch.backends.cpu.get_cpu_capability() == "AVX512"


def computing_in(number_format: Format, device_type: str) -> torch.autocast:
    """Autocast context in which a model with fp32 weights computes as a run with this `trainer.precision` does."""
    return torch.autocast(device_type, torch.bfloat16, enabled=number_format == "bf16")


def count_devices(config: TrainerConfig) -> int:
    """Number of devices over which the model is sharded; on a CPU, the number of processes.

    Raises:
        ConfigError: this machine has fewer devices.
    """
    if not use_gpu(config):
        if config.devices == "all":
            raise ConfigError("trainer.devices = 'all': this machine has no usable CUDA device; name a number")
        return config.devices
    available = torch.cuda.device_count()
    if config.devices == "all":
        return available
    if config.devices > available:
        raise ConfigError(f"trainer.devices = {config.devices}: this machine has {available} usable CUDA devices")
    return config.devices


def synchronise() -> None:
    """Waits for the GPU, if the process has one in use."""
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
