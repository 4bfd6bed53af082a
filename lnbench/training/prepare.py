"""Makes a model ready to be trained."""

from collections.abc import Iterator

from torch import Tensor

from lnbench.backbone.tuned_model import TunedModel, inputs_of
from lnbench.config.run import RunConfig
from lnbench.tasks.data.load import TaskData
from lnbench.training.batching import TrainLoader
from lnbench.training.device import count_devices, use_gpu
from lnbench.training.frozen.weights import round_frozen_weights
from lnbench.training.standardise import standardise


def prepare(config: RunConfig, model: TunedModel, data: TaskData) -> None:
    """Makes the head for the model's states, calls `prepare` of every part of the method, and rounds what stays frozen.

    It is the same for the same run every time.

    Args:
        config: of the run.
        model: with its initial values; is left in evaluation mode and on the device of the run, or
            on the CPU if no one device is to hold it.
        data: of which the training split is used.

    Raises:
        ConfigError: the model's states are not finite.
    """
    device = "cuda" if use_gpu(config.trainer) and count_devices(config.trainer) == 1 else "cpu"
    model.to(device).eval()
    standardise(config, model, data.train)
    for part in config.method.values():
        part.prepare(model, _losses(config, model, data, device))
    round_frozen_weights(config, model)


def _losses(config: RunConfig, model: TunedModel, data: TaskData, device: str) -> Iterator[Tensor]:
    for (batch,) in TrainLoader(data.train, config.trainer.batch_size, config.seed):
        moved = {name: tensor.to(device) for name, tensor in batch.rows.items()}
        yield config.task.loss(model(**inputs_of(moved)), moved)
