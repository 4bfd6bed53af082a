"""Runs that train together."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from threading import Event
from typing import Any

from torch import Tensor

from lnbench.backbone.tuned_model import TunedModel
from lnbench.config.run import RunConfig
from lnbench.core.interruption import STOP
from lnbench.records.record import Record
from lnbench.run.lifecycle import run
from lnbench.tasks.data.load import TaskData
from lnbench.training.fused.module import FusedModule
from lnbench.training.fused.stacker import Stacker
from lnbench.training.fused.step import Learned, Step
from lnbench.training.fused.turns import Worker
from lnbench.training.new_module import NEW_MODULE

Run = Worker[Step, Learned, Record]
Outcome = Record | BaseException


def run_together(configs: Sequence[RunConfig], stop: Event) -> Iterator[tuple[int, Outcome]]:
    """Does runs that fit together (`groups.group`); each leaves what it leaves alone.

    Each run goes its own way, with the code of a single run, up to the loss of its next batch. Then
    the losses of all that have come so far are computed in one pass. A run that ends before the others
    is missing from the next passes.

    Args:
        configs: of the runs.
        stop: once it is set, every run saves its state and ends.

    Yields:
        As each run ends, its place in `configs`, and its record or what it raised.
    """
    shared: dict[str, Tensor] = {}
    new_module = partial(_new_module, shared=shared, together=len(configs))
    runs: dict[int, Run] = {
        place: Worker(partial(_run, _in_company(config, len(configs)), new_module, stop))
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
    STOP.set(stop)
    NEW_MODULE.set(partial(new_module, ask=worker.ask))
    return run(config)


def _new_module(
    model: TunedModel,
    config: RunConfig,
    data: TaskData,
    steps: int,
    *,
    shared: dict[str, Tensor],
    **company: Any,
) -> FusedModule:
    _share(model, shared)
    return FusedModule(model, config, data, steps, **company)


def _share(model: TunedModel, shared: dict[str, Tensor]) -> None:
    """Lets a model's frozen parameters lie where those of the first model do."""
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            parameter.data = shared.setdefault(name, parameter.data)


def _in_company(config: RunConfig, runs: int) -> RunConfig:
    """What is there once, the terminal and the machine's memory, is shared."""
    trainer = config.trainer.model_copy(
        update={"progress": False, "cache_frozen_gib": config.trainer.cache_frozen_gib / runs}
    )
    return config.model_copy(update={"trainer": trainer})
