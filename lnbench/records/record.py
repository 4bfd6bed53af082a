"""What a run leaves: one JSON file, written last and atomically."""

from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, Field, ValidationError

from lnbench.fsio import write_atomically
from lnbench.records.files import RECORD
from lnbench.schema import Schema


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
    """`train/test` and the like: rows of the second split whose text is in the first."""


class Cost(Schema):
    """What a run cost."""

    train_seconds: float
    """Training alone: without evaluation, checkpoints and set-up."""
    total_seconds: float
    """Of the process that finished the run; what interrupted ones before it took is in `train_seconds` alone."""
    train_samples_per_second: float
    train_tokens_per_second: float
    """Real tokens; padding does not count."""
    test_samples_per_second: float
    peak_memory_bytes: int
    """Of the GPU's allocator, or of the whole process on a CPU."""
    steps: int


class Selection(Schema):
    """By what the best checkpoint was chosen."""

    metric: str
    mode: Literal["max", "min"]
    score: float


class Record(Schema):
    """One finished run."""

    model_config = ConfigDict(ser_json_inf_nan="constants")

    format: Literal[1] = 1
    id: str
    status: Literal["finished"] = "finished"
    method: str
    task: str
    model: str
    seed: int
    selection: Selection
    metrics: dict[str, dict[str, float]]
    """By split, then by metric."""
    missing: dict[str, str] = Field(default_factory=dict)
    """Metrics of the task that the machine could not compute, and what each of them needs."""
    baseline: dict[str, dict[str, float]]
    """What answering without reading would score, by split and metric."""
    parameters: Parameters
    cost: Cost
    data: DataSeen
    hardware: dict[str, Any]
    versions: dict[str, str]
    git_commit: str | None
    started_at: str
    finished_at: str
    config: dict[str, Any]

    @property
    def score(self) -> float:
        """The validation score by which the checkpoint was selected."""
        return self.selection.score


class RecordError(ValueError):
    """A record file that is damaged or of an unknown format."""


def write_record(record: Record, folder: Path) -> None:
    """Writes `folder/record.json`; its presence says that the run is finished."""
    write_atomically(folder / RECORD, record.model_dump_json(indent=2) + "\n")


def read_record(folder: Path) -> Record | None:
    """The record of a finished run, or None where there is none.

    Raises:
        RecordError: the file is damaged.
    """
    path = folder / RECORD
    if not path.is_file():
        return None
    try:
        return Record.model_validate_json(path.read_bytes())
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(map(str, problem["loc"]))
        raise RecordError(
            f"{path}: is damaged or of an unknown format ({place or 'JSON'}: {problem['msg']})"
        ) from error
