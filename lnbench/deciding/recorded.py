"""Claims judged by given records, with the rule by which `python -m lnbench.decide` judges them."""

from collections.abc import Sequence
from dataclasses import replace

from lnbench.core.schema import ConfigError
from lnbench.deciding.contest import contests, follow_all, verdicts_of
from lnbench.deciding.runs import Run
from lnbench.records.identity import title
from lnbench.records.record import Record
from lnbench.report.claims.claims import Claim, Side
from lnbench.report.claims.rows import Samples
from lnbench.report.claims.verdicts import Verdict, with_noise_of_rows
from lnbench.report.load import Loaded, frame


def decided(claims: Sequence[Claim], loaded: Loaded, level: float, most_seeds: int) -> list[Verdict]:
    """The verdicts on claims, as if `python -m lnbench.decide` had been called after each of its looks.

    Args:
        claims: claims to judge.
        loaded: runs of one model with one setting; their tasks are those of the experiment.
        level: error level of all decisions together.
        most_seeds: largest number of seeds of a task that was planned.

    Raises:
        ConfigError: two runs have the same variant, task and seed.
    """
    runs, samples = Recorded(loaded.records), Samples(loaded)
    courses = follow_all(contests(claims, runs.tasks, runs), runs, level, most_seeds)
    return [
        replace(verdict, findings=tuple(with_noise_of_rows(one, samples) for one in verdict.findings))
        for verdict in verdicts_of(claims, courses)
    ]


class Recorded:
    """The runs of an experiment, as far as records hold them."""

    def __init__(self, records: Sequence[Record]) -> None:
        """
        Args:
            records: runs of one model with one setting.

        Raises:
            ConfigError: two runs have the same variant, task and seed.
        """
        runs = frame(records)
        keys = list(zip(runs["variant"], runs["task"], runs["seed"], strict=True))
        self._records = dict(zip(keys, records, strict=True))
        self._units: dict[str, str] = dict(zip(runs["task"], runs["unit"], strict=True))
        self._depth = int(runs["num_layers"].max()) or None
        if repeated := {key for key in keys if keys.count(key) > 1}:
            variant, task, seed = min(repeated)
            several = title(variant, task, records[0].model, seed)
            raise ConfigError(f"{several}: there is more than one run; they must share all other settings")

    @property
    def tasks(self) -> list[str]:
        """The tasks of the runs."""
        return sorted(self._units)

    def arm(self, side: Side, task: str) -> tuple[str, ...]:
        """The variant of a side; it does not depend on the task."""
        del task
        return (side.variant(self._depth) or side.name,)

    def unit(self, run: Run) -> str:
        """The unit of the scores of a run's task."""
        return self._units[run.task]

    def record(self, run: Run) -> Record | None:
        """The record of a run; None if there is none."""
        return self._records.get((run.method[0], run.task, run.seed))
