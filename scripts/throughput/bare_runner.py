"""Trains lnbench's model on lnbench's batches in a minimal loop."""

from itertools import islice

from torch import Tensor

from lnbench.backbone.tuned_model import TunedModel, inputs_of
from lnbench.config.run import RunConfig
from lnbench.tasks.data.load import TaskData
from lnbench.training.assemble import build_model
from lnbench.training.batching import TrainLoader
from lnbench.training.device import use_gpu
from lnbench.training.frozen.weights import round_frozen_weights
from lnbench.training.optimiser import new_optimiser
from scripts.throughput.clock import Clock, Round
from scripts.throughput.flops import RowFlops, count_flops
from scripts.throughput.step import Step, device_of, new_step


def run(config: RunConfig, data: TaskData, steps: int) -> tuple[Round, RowFlops]:
    """Trains a new model.

    Args:
        config: configuration of the run.
        data: data to train on.
        steps: number of timed steps, after a first one that is not timed.
    """
    model, device = build_model(config), device_of(config)
    flops = count_flops(model)
    clock = Clock(steps)
    model.to(device).train()
    round_frozen_weights(config, model)
    step = step_of(model, config)
    loader = TrainLoader(data.train, config.trainer.batch_size, config.seed, pin_memory=use_gpu(config.trainer))
    for (batch,) in islice(loader, steps + 1):
        moved = {name: tensor.to(device, non_blocking=True) for name, tensor in batch.rows.items()}
        step(lambda moved=moved: loss(model, config, moved))  # type: ignore[misc]
        clock.masks.append(moved["attention_mask"])
        clock.step_ended()
    return clock.round(), flops


def step_of(model: TunedModel, config: RunConfig) -> Step:
    """A step with lnbench's own optimiser."""
    return new_step(config, model.trained().values(), new_optimiser(model, config.trainer, config.method))


def loss(model: TunedModel, config: RunConfig, batch: dict[str, Tensor]) -> Tensor:
    """Mean loss of a batch on the model's device."""
    return config.task.loss(model(**inputs_of(batch)), batch)
