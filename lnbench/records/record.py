"""What a run leaves: one JSON file, written last and atomically."""

from math import nan
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, Field

from lnbench.core.names import plain_name
from lnbench.core.schema import Schema
from lnbench.core.sealed import SealError, file_digest, read_as, write_sealed
from lnbench.records.files import RECORD
from lnbench.records.shift import NormShift
from lnbench.tasks.scores.metric import RESOLUTION


class Parameters(Schema):
    """Sizes in numbers of parameters."""

    backbone: int
    trained: int
    """The union of what the method's parts train, without the head."""
    trained_percent: float
    """`trained` as a percentage of `backbone`."""
    inserted: int
    by_part: dict[str, int]
    head: int


class DataSeen(Schema):
    """Which data a run saw."""

    fingerprint: str
    rows: dict[str, int]
    """Of each split."""
    overlap: dict[str, int]
    """`train/test` and the like: rows of the second split whose input is in the first; `train/test COLUMN`: whose value
    in that column is; `train/test:swapped`: whose pair of texts is, the other way round."""


class Cost(Schema):
    """What a run cost. `None`: not recorded, or not known.

    Everything counts over interruptions but the test, which is done again; what a process did after it last saved its
    state, or before it could save any, is not in it.
    """

    train_seconds: float
    """All of training, its first steps too: without evaluation, checkpoints and set-up."""
    total_seconds: float
    """From loading the model and the data to the end of the test, and the same of each process that was interrupted,
    up to its last saved state; not the time between processes."""
    train_samples_per_second: float
    """Without the first steps of each process, in which it warms up, unless there are no others."""
    train_tokens_per_second: float
    """As `train_samples_per_second`, of real tokens; padding does not count."""
    test_samples_per_second: float
    peak_memory_bytes: int
    """Of the GPU's allocator since the model was ready, or of the whole process on a CPU; of the process that had
    most."""
    steps: int
    micro_batch_size: int | None = None
    """Rows whose gradients were computed at once, those of a batch being added up; None: not recorded."""
    halvings: int = 0
    """How often it was halved because memory ran out."""
    train_samples: int | None = None
    """Rows trained on in `train_seconds`; one that was seen in two epochs counts twice."""
    validation_seconds: float | None = None
    checkpoint_seconds: float | None = None
    """Of saving the best values, the state to go on from, and the losses; the last save before an interruption is not
    in it."""
    test_seconds: float | None = None
    """0 without a test."""
    first_step_seconds: float | None = None
    """From when model and data are loaded to the end of the first training step, in the first process."""
    train_joules: float | None = None
    """Of the whole GPUs in `train_seconds`, whatever else they did."""
    test_joules: float | None = None
    """Of the whole GPUs in `test_seconds`."""


class Selection(Schema):
    """By what the best checkpoint was chosen."""

    metric: str
    mode: Literal["max", "min"]
    score: float


class Trial(Schema):
    """One value that a search tried: a run of its own, without a test."""

    value: int | float | str
    id: str
    score: float | None
    """On the validation split; None if the run failed."""
    problem: str = ""
    """Why it failed."""


class SearchResult(Schema):
    """How a setting was chosen."""

    parameter: str
    trials: list[Trial]
    chosen: int | float | str


class Record(Schema):
    """One finished run."""

    model_config = ConfigDict(ser_json_inf_nan="constants")

    format: Literal[1] = 1
    protocol: int = 1
    """How the run was made, see `lnbench.records.identity.PROTOCOL`; runs of version 0.1.0 do not tell."""
    id: str
    status: Literal["finished"] = "finished"
    method: str
    task: str
    model: str
    seed: int
    search: SearchResult | None = None
    selection: Selection
    metrics: dict[str, dict[str, float]]
    """By split, then by metric."""
    missing: dict[str, str] = Field(default_factory=dict)
    """Metrics of the task that the machine could not compute, and what each of them needs."""
    baseline: dict[str, dict[str, float]]
    """What the best answer that ignores the input scores, by split and metric."""
    baseline_name: str = "input-free baseline"
    """What people call that answer."""
    parameters: Parameters
    shift: list[NormShift] = Field(default_factory=list)
    """How far each trained gain and bias of a norm moved, at the best checkpoint."""
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
        """Where the configuration puts the run; it may have been moved since."""
        groups = map(plain_name, (self.task, self.model, self.method))
        return Path(self.config["runs_dir"]).joinpath(*groups, self.id)

    @property
    def score(self) -> float:
        """The validation score by which the checkpoint was selected."""
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
    """A record file that is damaged."""


def write_record(record: Record, folder: Path) -> None:
    """Writes `folder/record.json`; its presence says that the run is finished.

    Raises:
        OSError: the file cannot be written.
    """
    write_sealed(folder / RECORD, record.model_dump(mode="json"))


def read_record(folder: Path) -> Record | None:
    """The record of a finished run, or None where there is none.

    Raises:
        RecordError: the file is damaged.
        NewerError: the file is of a newer lnbench.
    """
    path = folder / RECORD
    try:
        return read_as(Record, path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, SealError) as error:
        raise RecordError(f"{path}: is damaged or of an unknown format ({error})") from error


def check_files(record: Record, folder: Path) -> None:
    """Compares what lies beside a record with what the run wrote.

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
