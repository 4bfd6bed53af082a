"""Trains several runs together, in one process."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from threading import Event
from typing import Any

from torch import Tensor

from lnbench.backbone.tuned_model import TunedModel
from lnbench.config.run import RunConfig
from lnbench.records.record import Record
from lnbench.run.lifecycle import run
from lnbench.tasks.data.load import TaskData
from lnbench.training.context import FusedTraining
from lnbench.training.fused.module import FusedModule
from lnbench.training.fused.stacker import Stacker
from lnbench.training.fused.step import Learned, Step
from lnbench.training.fused.turns import Worker

Run = Worker[Step, Learned, Record]
RecordOrError = Record | BaseException


def run_together(configs: Sequence[RunConfig], stop: Event) -> Iterator[tuple[int, RecordOrError]]:
    """Does runs that fit together (`groups.group`). Each run leaves the same files as on its own.

    Each run executes the code of a single run until it needs the loss of its next batch. Once all runs have come so
    far, their losses are computed in one pass. A run that ends before the others takes no part in later passes.

    Args:
        configs: configurations of the runs.
        stop: event that makes every run save its state and end.

    Yields:
        For each run, as it ends, its index in `configs` and its record or exception.
    """
    shared: dict[str, Tensor] = {}
    new_module = partial(_new_module, shared=shared, together=len(configs))
    runs: dict[int, Run] = {
        place: Worker(partial(_run, _in_group(config, len(configs)), new_module, stop))
        for place, config in enumerate(configs)
    }
    for worker in runs.values():
        worker.start()
    stacker, answers = Stacker(), dict[int, Learned | Exception]()
    while runs:
        for place, worker in list(runs.items()):
            worker.go_on(answers.pop(place, None))
            if worker.result is not None:
                del runs[place]
                yield place, worker.result
        answers = stacker.answer({place: worker.asked for place, worker in runs.items() if worker.asked})


def _run(config: RunConfig, new_module: Callable[..., FusedModule], stop: Event, worker: Run) -> Record:
    return run(config, FusedTraining(partial(new_module, ask=worker.ask), stop))


def _new_module(
    model: TunedModel,
    config: RunConfig,
    data: TaskData,
    steps: int,
    *,
    shared: dict[str, Tensor],
    **fused: Any,
) -> FusedModule:
    _share(model, shared)
    return FusedModule(model, config, data, steps, **fused)


def _share(model: TunedModel, shared: dict[str, Tensor]) -> None:
    """Replaces a model's frozen parameters by those of the first model, to hold them in memory once."""
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            parameter.data = shared.setdefault(name, parameter.data)


def _in_group(config: RunConfig, runs: int) -> RunConfig:
    """Turns the progress bar off, and splits the cache budget between the runs."""
    trainer = config.trainer.model_copy(
        update={"progress": False, "cache_frozen_gib": config.trainer.cache_frozen_gib / runs}
    )
    return config.model_copy(update={"trainer": trainer})
