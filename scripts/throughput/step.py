"""One optimisation step, with as little code as PyTorch allows."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lnbench.config.run import RunConfig
from lnbench.training.device import choose_precision, use_gpu

Step = Callable[[Callable[[], Tensor]], None]


def device_of(config: RunConfig) -> torch.device:
    """The device of a run."""
    return torch.device("cuda" if use_gpu(config.trainer) else "cpu")


def in_bf16(config: RunConfig) -> bool:
    """Whether matrix products are in bf16."""
    return choose_precision(config.trainer) == "bf16-mixed"


def autocast(config: RunConfig) -> torch.autocast:
    """The autocast context in which a run calls its model."""
    return torch.autocast(device_of(config).type, torch.bfloat16, enabled=in_bf16(config))


def new_step(config: RunConfig, parameters: Iterable[nn.Parameter], optimiser: Optimizer) -> Step:
    """Returns a function that computes a given loss, and updates the parameters by its gradient.

    Args:
        config: configuration with device, precision and gradient clipping.
        parameters: trained parameters.
        optimiser: optimiser of these parameters.
    """
    parameters = list(parameters)
    limit = config.trainer.grad_clip or torch.inf
    precision = autocast(config)

    def step(loss: Callable[[], Tensor]) -> None:
        with precision:
            value = loss()
        value.backward()
        nn.utils.clip_grad_norm_(parameters, limit)
        optimiser.step()
        optimiser.zero_grad()

    return step
