"""The runs that compare learning rates. They are ordinary runs with records."""

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from omegaconf import OmegaConf

from lnbench.config.compose import compose_config, to_plain
from lnbench.config.run import RunConfig, validate
from lnbench.core.config_folders import config_dir
from lnbench.methods.base import SEPARATOR
from lnbench.records.failure import RunFailed
from lnbench.records.record import Record
from lnbench.run.lifecycle import run
from scripts.rates.acceptability import NAME, write_acceptability

TASKS = ["sst2", "sick", "conll2004"]
BESIDE = {"unipelt": ("adapter", "lora", "prefix")}
"""Parts that a method needs beside it. They keep their own rates while its rate is searched."""


@dataclass(frozen=True)
class Budget:
    """The limits of every run."""

    out: Path
    """Folder of the results, with the records in `runs`."""
    steps: int
    batch_size: int
    rows: int
    """Largest number of rows to validate on."""
    more: Sequence[str]
    """Overrides of all runs, such as `trainer.precision=bf16`."""

    @classmethod
    def of(cls, options: Namespace) -> Self:
        """Reads the limits from the options of `add_options`."""
        return cls(options.out, options.steps, options.batch_size, options.rows, options.overrides)

    def configure(self, method: str, task: str, seed: int, *overrides: str) -> RunConfig:
        """Configures a run within the limits that never uses the test split.

        It validates only at its end, so that no checkpoint is chosen by chance.
        """
        common = [
            f"seed={seed}",
            f"runs_dir={self.out / 'runs'}",
            "test=false",
            f"trainer.max_steps={self.steps}",
            f"trainer.batch_size={self.batch_size}",
            "trainer.max_epochs=1000",
            f"trainer.validate_every={self.steps}",
            "trainer.progress=false",
            f"++task.splits.validation_limit={self.rows}",
        ]
        chosen = write_acceptability(self.out / NAME, self._data_root()) if task == NAME else [f"task={task}"]
        return validate(to_plain(compose_config(f"method={method}", *chosen, *common, *self.more, *overrides)))

    def _data_root(self) -> Path:
        given = [Path(one.partition("=")[2]) for one in self.more if one.startswith("data_root=")]
        if not given:
            raise SystemExit(f"--tasks {NAME}: is made of SST-2; add data_root=FOLDER")
        return given[-1]


def add_options(parser: ArgumentParser) -> None:
    """Adds the options of all scripts about rates."""
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs and the results")
    parser.add_argument("--methods", nargs="+", default=methods(), help="names of methods (default: all shipped ones)")
    parser.add_argument(
        "--tasks",
        nargs="+",
        default=TASKS,
        help=f"names of tasks, or {NAME}: SST-2 with two words swapped in some rows",
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--rows", type=int, default=400, help="number of validation rows")
    parser.add_argument("--overrides", nargs="+", default=[], help="for all runs: data_root=FOLDER task.max_length=64")


def methods() -> list[str]:
    """The shipped methods."""
    files = sorted((config_dir() / "method").glob("*.yaml"))
    return [file.stem for file in files if "lr" in OmegaConf.load(file)]


def together(method: str) -> str:
    """A method, with the parts that it needs beside it."""
    return SEPARATOR.join([method, *BESIDE.get(method, ())])


def at_factor(method: str, shipped: float, factor: float) -> str:
    """The override that multiplies the rate of a method alone.

    Args:
        method: name of a shipped method.
        shipped: its shipped rate.
        factor: factor of the rate.
    """
    if method not in BESIDE:
        return f"trainer.lr_factor={factor}"
    return f"method.{method}.lr={shipped * factor:.10g}"


def attempt(config: RunConfig) -> Record | None:
    """The record of a run, which is done if it was not before; None if it failed, as too large a rate may cause."""
    try:
        return run(config)
    except RunFailed:
        return None
