"""The factory of the LightningModule that trains a run."""

from collections.abc import Callable
from contextvars import ContextVar

from lnbench.backbone.tuned_model import TunedModel
from lnbench.config.run import RunConfig
from lnbench.tasks.data.load import TaskData
from lnbench.training.module import TuningModule

NEW_MODULE: ContextVar[Callable[[TunedModel, RunConfig, TaskData, int], TuningModule]] = ContextVar(
    "NEW_MODULE", default=TuningModule
)
"""Factory of the module of a run that processes whole batches, with the arguments of `TuningModule`. Runs that train
together set another factory."""
