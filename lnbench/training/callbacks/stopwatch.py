"""Time, energy and memory of the parts of a run: training itself, validation, checkpoints, and the test."""

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytorch_lightning as pl
from torch import Tensor

from lnbench.records.environment import peak_memory_bytes, seconds_without_core
from lnbench.training.batching import Piece
from lnbench.training.device import synchronise
from lnbench.training.energy import EnergyMeter

WARM_UP = 3
"""Number of a process's first steps that count as warm-up. They are slow, because memory is allocated and kernels are
loaded."""
KEPT = ("warm_up", "steady", "validation", "checkpoints")
"""Parts that a resumed run continues. The test is not among them, because it is done again."""


class RunTime:
    """Time from the beginning of a run until now, summed over all its processes."""

    def __init__(self) -> None:
        """Starts now."""
        self.started = datetime.now(UTC)
        self._earlier = 0.0
        self._clock = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Seconds taken by all processes. A process that was killed counts up to its last saved state."""
        return self._earlier + time.perf_counter() - self._clock

    def state_dict(self) -> dict[str, Any]:
        """The state that the next process continues from."""
        return {"started": self.started.isoformat(), "seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continues from the state of an earlier process."""
        self.started, self._earlier = datetime.fromisoformat(state_dict["started"]), state_dict["seconds"]


@dataclass
class Phase:
    """Cost of one part of a run, and the amount of work done in it."""

    seconds: float = 0.0
    joules: float = 0.0
    """Energy in joules; NaN where the device does not report it."""
    samples: int = 0
    tokens: Tensor | int = 0
    """Number of tokens trained on, without padding."""
    waited: float = 0.0
    """Seconds in which other programs had all cores; NaN where the system does not tell."""

    def __add__(self, other: "Phase") -> "Phase":
        return Phase(
            self.seconds + other.seconds,
            self.joules + other.joules,
            self.samples + other.samples,
            self.tokens + other.tokens,
            self.waited + other.waited,
        )


class Stopwatch(pl.Callback):
    """Measures the parts of a run one at a time, across interruptions.

    Between two parts it waits until the device has finished the work of the first. Within a part it never waits
    between steps.
    """

    def __init__(self, gpus: int, span: RunTime | None = None) -> None:
        """
        Args:
            gpus: number of GPUs of the run; their energy is measured.
            span: time of the whole run, started before anything was loaded; None starts it now.
        """
        self.span = span or RunTime()
        self.warm_up = Phase()
        self.steady = Phase()
        """Training after the warm-up steps of each process."""
        self.validation = Phase()
        self.checkpoints = Phase()
        self.test = Phase()
        self.first_step_seconds: float | None = None
        """Seconds from the creation of this object to the end of the first training step after it, in the first process
        that saved its state; None before that."""
        self._meter = EnergyMeter(gpus)
        self._made_at = time.perf_counter()
        self._first_step = 0
        self._running: Phase | None = None
        self._before_validation: Phase | None = None
        self._read = (0.0, 0.0, 0.0)
        self._peak_memory_bytes = 0

    @property
    def peak_memory_bytes(self) -> int:
        """Largest amount of memory held so far, in bytes, in any process of the run."""
        return max(self._peak_memory_bytes, peak_memory_bytes())

    @property
    def training(self) -> Phase:
        """All of training, without the other parts."""
        return self.warm_up + self.steady

    @property
    def paced(self) -> Phase:
        """Training without the warm-up, which shows the speed; with the warm-up if there is nothing else."""
        return self.steady if self.steady.samples else self.warm_up

    @contextlib.contextmanager
    def timing(self, part: Phase) -> Iterator[None]:
        """Measures the block as `part`, then continues with the previous part, except after an error."""
        before = self._running
        self._switch(part)
        yield
        self._switch(before)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Starts to measure training."""
        self._first_step = trainer.global_step
        self._switch(self.warm_up)

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Sequence[Piece],
        batch_idx: int,
    ) -> None:
        """Counts rows and tokens. It waits for the device only after the first step and after the warm-up."""
        assert self._running is not None
        for piece in batch:
            self._running.samples += len(piece.rows["input_ids"])
            self._running.tokens = self._running.tokens + piece.rows["attention_mask"].sum()
        steps = trainer.global_step - self._first_step
        if steps and self.first_step_seconds is None:
            synchronise()
            self.first_step_seconds = time.perf_counter() - self._made_at
        if steps >= WARM_UP and self._running is self.warm_up:
            self._switch(self.steady)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Switches from training to validation."""
        self._before_validation = self._running
        self._switch(self.validation)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Switches from validation back to training."""
        self._switch(self._before_validation)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stops measuring training."""
        self._switch(None)

    def state_dict(self) -> dict[str, Any]:
        """The parts up to now, from which a resumed run continues."""
        self._switch(self._running)
        parts = {name: vars(getattr(self, name)) for name in KEPT}
        return {
            **{name: {**part, "tokens": int(part["tokens"])} for name, part in parts.items()},
            "span": self.span.state_dict(),
            "first_step_seconds": self.first_step_seconds,
            "peak_memory_bytes": self.peak_memory_bytes,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continues from an earlier `state_dict`."""
        for name in KEPT:
            setattr(self, name, Phase(**state_dict[name]))
        self.span.load_state_dict(state_dict["span"])
        self.first_step_seconds = state_dict["first_step_seconds"]
        self._peak_memory_bytes = state_dict["peak_memory_bytes"]

    def _switch(self, part: Phase | None) -> None:
        """Adds time, energy and waiting since the last call to the running part, and makes `part` the running one."""
        synchronise()
        seconds, joules, waited = time.perf_counter(), self._meter.joules(), seconds_without_core()
        if self._running is not None:
            self._running.seconds += seconds - self._read[0]
            self._running.joules += joules - self._read[1]
            self._running.waited += waited - self._read[2]
        self._running, self._read = part, (seconds, joules, waited)
