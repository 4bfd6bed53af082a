"""Mean and scale of the hidden states that a task's head reads."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from lnbench.backbone.tuned_model import TunedModel, inputs_of
from lnbench.config.run import RunConfig
from lnbench.core.schema import ConfigError
from lnbench.core.seeding import derive_seed
from lnbench.tasks.parts.heads import Head
from lnbench.tasks.tokens.examples import Examples
from lnbench.training.shared import Shared, states_key

ROWS = 256
"""Largest number of training rows used; the rows are the same for all seeds, methods and models."""
AT_ONCE = 8
"""Number of rows in a batch. So few rows need less memory than a training step."""


def standardise(config: RunConfig, model: TunedModel, train: Examples, shared: Shared | None = None) -> None:
    """Makes the head standardise its input by the states of some training rows, computed by the current model.

    Args:
        config: configuration of the run.
        model: model in evaluation mode; a head that is no `Head` is left unchanged.
        train: the training split.
        shared: what the runs of a search share; None: the run is alone.

    Raises:
        ConfigError: the states are not finite.
    """
    if isinstance(head := model.head, Head):
        known = (shared or Shared()).states
        head.standardise(*known.of(states_key(config), lambda: _mean_and_deviation(config, model, head, train)))


def _mean_and_deviation(config: RunConfig, model: TunedModel, head: Head, train: Examples) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of the states of some rows, each (D,)."""
    count, total, squares = 0, torch.zeros(()), torch.zeros(())
    for states in _states(model, head, train):
        count += len(states)
        total, squares = total + states.sum(dim=0).cpu(), squares + states.square().sum(dim=0).cpu()
    mean = total / count
    deviation = (squares / count - mean.square()).clamp_min(0).sqrt()
    if not deviation.isfinite().all():
        raise ConfigError(
            f"model.source = {config.model.source!r}: its states are not finite numbers for the first rows of "
            f"{config.task.name}; its weights are damaged or need another number format, or what "
            f"method={config.method_name} inserts is not finite"
        )
    return mean, deviation


def _states(model: TunedModel, head: Head, train: Examples) -> Iterator[Tensor]:
    """The states of randomly chosen rows, in batches of shape (N, D), float64."""
    rows = np.random.default_rng(derive_seed(0, "standardise")).permutation(len(train))[:ROWS]
    by_length = rows[np.argsort(train.lengths[rows], kind="stable")]
    device = next(model.parameters()).device
    with torch.no_grad():
        for start in range(0, len(by_length), AT_ONCE):
            batch = train.batch(by_length[start : start + AT_ONCE])
            inputs = {name: tensor.to(device) for name, tensor in inputs_of(batch).items()}
            yield head.read(model.backbone(**inputs), inputs["attention_mask"]).double()
