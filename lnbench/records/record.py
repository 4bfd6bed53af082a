"""The record of a finished run: one JSON file, written last and atomically."""

from collections import defaultdict
from collections.abc import Sequence
from math import nan
from pathlib import Path
from statistics import fmean
from typing import Any, Literal

from pydantic import ConfigDict, Field

from lnbench.core.names import plain_name
from lnbench.core.schema import Schema
from lnbench.core.sealed import SealError, file_digest, read_as, write_sealed
from lnbench.records.files import RECORD
from lnbench.records.shift import NormShift
from lnbench.tasks.scores.metric import RESOLUTION


class Parameters(Schema):
    """Sizes of the model, in numbers of parameters."""

    backbone: int
    trained: int
    """Parameters trained by at least one part of the method, without the head."""
    trained_percent: float
    """`trained` as a percentage of `backbone`."""
    inserted: int
    by_part: dict[str, int]
    head: int


class DataSeen(Schema):
    """The data of a run."""

    fingerprint: str
    rows: dict[str, int]
    """Number of rows of each split."""
    overlap: dict[str, int]
    """Number of rows that two splits share. `train/test` counts rows of the second split with an input of the first,
    `train/test COLUMN` rows with a value of the first in that column, and `train/test:swapped` pairs of texts that the
    first split has in reverse order."""


WAITED = 0.05
"""Share of the training time from which on waiting for a core makes a run's times useless."""


class Cost(Schema):
    """Cost of a run. `None` means not recorded, or not known.

    All values add up over interruptions, except those of the test, which is done again. They do not include work after
    a process's last saved state, or the work of a process that never saved its state.
    """

    train_seconds: float
    """Time of training, its first steps included, without evaluation, checkpoints and set-up."""
    total_seconds: float
    """Time from loading the model and the data to the end of the test. Interrupted processes count up to their last
    saved state, and the time between processes does not count."""
    train_samples_per_second: float
    """Speed without the first steps of each process, which are warm-up, unless the run has no other steps."""
    train_tokens_per_second: float
    """Speed as in `train_samples_per_second`, in tokens without padding."""
    test_samples_per_second: float
    peak_memory_bytes: int
    """Peak of the GPU's allocator since the model was ready, or of the whole process on a CPU; the largest value of all
    processes."""
    steps: int
    micro_batch_size: int | None = None
    """Rows whose gradients were computed at once. The gradients of a batch are added up. None means not recorded."""
    halvings: int = 0
    """Number of times that the micro-batch was halved because memory ran out."""
    train_samples: int | None = None
    """Rows trained on in `train_seconds`. A row that was seen in two epochs counts twice."""
    validation_seconds: float | None = None
    checkpoint_seconds: float | None = None
    """Time to save the best values, the state to continue from, and the losses, without the last save before an
    interruption."""
    test_seconds: float | None = None
    """Time of the test; 0 without a test."""
    first_step_seconds: float | None = None
    """Time from the end of loading to the end of the first training step, in the first process."""
    train_joules: float | None = None
    """Energy of the whole GPUs during `train_seconds`, including other programs."""
    test_joules: float | None = None
    """Energy of the whole GPUs during `test_seconds`, including other programs."""
    train_waited_seconds: float | None = None
    """Part of `train_seconds` in which the process was ready to compute, and others had all cores of the machine."""

    @property
    def waited(self) -> float:
        """Share of `train_seconds` in which others had all cores; 0 if not known."""
        return (self.train_waited_seconds or 0.0) / self.train_seconds if self.train_seconds else 0.0


class Selection(Schema):
    """The metric and the score by which the best checkpoint was selected."""

    metric: str
    mode: Literal["max", "min"]
    score: float


class Retention(Schema):
    """Mean loss of the language model on a general text, in nats a token."""

    before: float
    """Loss of the pretrained model."""
    after: float
    """Loss of the tuned model, at the checkpoint that is tested."""
    tokens: int
    """Number of tokens over which the means are taken."""

    @property
    def forgetting(self) -> float:
        """By how much tuning raised the loss, in nats a token."""
        return self.after - self.before


class Trial(Schema):
    """One value that a search tried, in a run of its own without a test."""

    value: int | float | str
    id: str
    score: float | None
    """Score on the validation split; None if the run failed."""
    problem: str = ""
    """Reason for a failure; empty otherwise."""
    seed: int | None = None
    """Seed of the run; None in records of earlier versions."""


def mean_scores(trials: Sequence[Trial]) -> dict[int | float | str, float | None]:
    """Score of each value that was tried, on the validation split: the mean over the seeds; None if a run failed."""
    found: dict[int | float | str, list[float | None]] = defaultdict(list)
    for trial in trials:
        found[trial.value].append(trial.score)
    known = {value: [score for score in scores if score is not None] for value, scores in found.items()}
    return {value: fmean(own) if len(own) == len(found[value]) else None for value, own in known.items()}


class SearchResult(Schema):
    """The result of a search for one setting."""

    parameter: str
    trials: list[Trial]
    chosen: int | float | str

    @property
    def seeds(self) -> int:
        """Number of seeds with which each value was tried."""
        return len(self.trials) // len(self.scores)

    @property
    def scores(self) -> dict[int | float | str, float | None]:
        """`mean_scores` of the trials."""
        return mean_scores(self.trials)


class Record(Schema):
    """The record of one finished run."""

    model_config = ConfigDict(ser_json_inf_nan="constants")

    format: Literal[1] = 1
    protocol: int = 1
    """Version of the way the run was made, see `lnbench.records.identity.PROTOCOL`. Version 0.1.0 did not record it."""
    id: str
    status: Literal["finished"] = "finished"
    method: str
    task: str
    model: str
    seed: int
    search: SearchResult | None = None
    selection: Selection
    metrics: dict[str, dict[str, float]]
    """Scores by split, then by metric."""
    missing: dict[str, str] = Field(default_factory=dict)
    """Metrics of the task that the machine could not compute, each with the missing requirement."""
    baseline: dict[str, dict[str, float]]
    """Scores of the input-free baseline, by split and metric."""
    baseline_name: str = "input-free baseline"
    """Name of the baseline, such as `majority baseline`."""
    parameters: Parameters
    shift: list[NormShift] = Field(default_factory=list)
    """Change of each trained gain and bias of a norm, at the best checkpoint."""
    retention: Retention | None = Field(default=None, exclude_if=lambda found: found is None)
    """Loss on a general text before and after tuning. None if the run did not measure it, and then not in the file."""
    cost: Cost
    data: DataSeen
    files: dict[str, str]
    """SHA-256 of each other file of the run, by name."""
    hardware: dict[str, Any]
    versions: dict[str, str]
    git_commit: str | None
    started_at: str
    finished_at: str
    config: dict[str, Any]

    @property
    def folder(self) -> Path:
        """Folder of the run according to its configuration. The run may have been moved since."""
        groups = map(plain_name, (self.task, self.model, self.method))
        return Path(self.config["runs_dir"]).joinpath(*groups, self.id)

    @property
    def score(self) -> float:
        """The validation score that selected the checkpoint."""
        return self.selection.score

    @property
    def no_better(self) -> tuple[str, ...]:
        """The splits on which the run is no better than the baseline, by the metric that selected the checkpoint."""
        return tuple(split for split in self.metrics if split in self.baseline and self._is_no_better(split))

    def _is_no_better(self, split: str) -> bool:
        metric = self.selection.metric
        score, least = self.metrics[split].get(metric, nan), self.baseline[split].get(metric)
        if least is None:
            return False
        gain = score - least if self.selection.mode == "max" else least - score
        return not gain > RESOLUTION * abs(least)


class RecordError(ValueError):
    """A record, or a file beside it, is damaged."""


def write_record(record: Record, folder: Path) -> None:
    """Writes `folder/record.json`. Its presence marks the run as finished.

    Raises:
        OSError: the file cannot be written.
    """
    write_sealed(folder / RECORD, record.model_dump(mode="json"))


def read_record(folder: Path, intact: bool = False) -> Record | None:
    """The record of a finished run; None if there is none.

    Args:
        folder: folder of the run.
        intact: whether this very record has been read before, and need not be checked.

    Raises:
        RecordError: the file is damaged.
        NewerError: a newer lnbench wrote the file.
    """
    path = folder / RECORD
    try:
        return read_as(Record, path, intact)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, SealError) as error:
        raise RecordError(f"{path}: is damaged or of an unknown format ({error})") from error


def check_files(record: Record, folder: Path) -> None:
    """Compares the files beside a record with the checksums in it.

    Raises:
        RecordError: a file is missing or damaged.
    """
    for name, digest in record.files.items():
        try:
            intact = file_digest(folder / name) == digest
        except OSError as error:
            raise RecordError(f"{folder / name}: cannot be read ({error.strerror})") from error
        if not intact:
            raise RecordError(f"{folder / name}: is not what the run wrote; its checksum does not fit the record")
