"""The surroundings of a run's training: its folder, logger, time, and the runs that train with it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from pytorch_lightning.loggers import Logger

from lnbench.backbone.tuned_model import TunedModel
from lnbench.config.run import RunConfig
from lnbench.tasks.data.load import TaskData
from lnbench.training.callbacks.stopwatch import RunTime
from lnbench.training.module import TuningModule


@dataclass(frozen=True)
class FusedTraining:
    """What a run gets from the code that trains it together with others, each run in a thread of one process."""

    new_module: Callable[[TunedModel, RunConfig, TaskData, int], TuningModule]
    """Makes the LightningModule, with the arguments of `TuningModule`."""
    stop: Event
    """Asks the run to stop, because threads get no signals."""


@dataclass(frozen=True)
class Context:
    """The surroundings in which a run trains."""

    folder: Path
    """Folder of the run, for metrics.csv and, while they are needed, checkpoints."""
    logger: Logger | None = None
    """Logger that also gets the metrics; None: metrics.csv only."""
    span: RunTime | None = None
    """Time of the run, which continues that of its earlier processes; None: it starts with training."""
    fused: FusedTraining | None = None
    """Set for a run that trains together with others; None: it trains alone."""
