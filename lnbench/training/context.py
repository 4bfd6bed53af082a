"""What surrounds the training of a run, besides its configuration, model and data."""

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
class Company:
    """What a run that trains together with others, in a thread of one process, gets from those who train it."""

    new_module: Callable[[TunedModel, RunConfig, TaskData, int], TuningModule]
    """Makes the LightningModule, with the arguments of `TuningModule`."""
    stop: Event
    """Asks the run to stop. Threads get no signals."""


@dataclass(frozen=True)
class Context:
    """The surroundings in which a run trains."""

    folder: Path
    """Folder of the run, for metrics.csv and, while they are needed, checkpoints."""
    logger: Logger | None = None
    """Also gets the metrics."""
    span: RunTime | None = None
    """Time of the run, which continues that of its earlier processes; None: it starts with training."""
    company: Company | None = None
    """None: the run trains alone."""
