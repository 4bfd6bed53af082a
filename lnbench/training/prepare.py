"""Prepares a model for training."""

from collections.abc import Iterator

from torch import Tensor

from lnbench.backbone.tuned_model import TunedModel, inputs_of
from lnbench.config.run import RunConfig
from lnbench.tasks.data.load import TaskData
from lnbench.training.batching import TrainLoader
from lnbench.training.device import count_devices, use_gpu
from lnbench.training.frozen.weights import round_frozen_weights
from lnbench.training.shared import Shared
from lnbench.training.standardise import standardise


def prepare(config: RunConfig, model: TunedModel, data: TaskData, shared: Shared | None = None) -> None:
    """Standardises the head's input, calls `prepare` of every part of the method, and rounds the frozen weights.

    The result is the same every time for the same run.

    Args:
        config: configuration of the run.
        model: model with its initial values. It is left in evaluation mode and on the device of the run, or on the
            CPU if the run has several devices.
        data: data of the run; only the training split is used.
        shared: what the runs of a search share; None: the run is alone.

    Raises:
        ConfigError: the model's states are not finite.
    """
    device = "cuda" if use_gpu(config.trainer) and count_devices(config.trainer) == 1 else "cpu"
    model.to(device).eval()
    standardise(config, model, data.train, shared)
    for part in config.method.values():
        part.prepare(model, _losses(config, model, data, device))
    round_frozen_weights(config, model)


def _losses(config: RunConfig, model: TunedModel, data: TaskData, device: str) -> Iterator[Tensor]:
    for (batch,) in TrainLoader(data.train, config.trainer.batch_size, config.seed):
        moved = {name: tensor.to(device) for name, tensor in batch.rows.items()}
        yield config.task.loss(model(**inputs_of(moved)), moved)
