"""Finds the runs of a sweep that are not finished."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from hydra_plugins.lnbench import QuickSweeper
from lnbench.config.compose import ROOT, explain, hydra_of_ones_own, to_plain, without_hydra
from lnbench.config.overrides import NO_JOBS, understood
from lnbench.config.run import RunConfig, validate
from lnbench.core.commands import command, override
from lnbench.core.config_folders import config_dir
from lnbench.core.escape import printable
from lnbench.core.schema import ConfigError
from lnbench.records.identity import Address, address_of, title
from lnbench.records.listing import State, find_run
from lnbench.runs.display import new_console, to_json, totals


@dataclass(frozen=True)
class SweepRun:
    """One run of a sweep, with its state.

    Attributes:
        title: title of the run.
        id, folder: id and folder of the run.
        state: state of the run.
        reason: why the run failed, or cannot be read; empty otherwise.
        command: command that does the run; empty while it is being done, and if this or a newer lnbench finished it.
    """

    title: str
    id: str
    folder: str
    state: State | Literal["never started"]
    reason: str
    command: str


def runs_of_sweep(overrides: Sequence[str], runs_dir: Path | None) -> list[SweepRun]:
    """The runs of `python -m lnbench -m OVERRIDES`, each once.

    Args:
        overrides: overrides of the sweep.
        runs_dir: folder of the runs; None takes the folder of the configuration.

    Raises:
        ConfigError: the overrides describe no valid sweep.
        DataError: a task takes settings from its data, which cannot be read.
    """
    jobs: dict[str, SweepRun] = {}
    for config, own in _expand(overrides):
        place = {}
        if runs_dir:
            config, place = config.model_copy(update={"runs_dir": runs_dir}), {"runs_dir": runs_dir}
        address = address_of(config)
        jobs.setdefault(address.id, _job(config, address, own, place))
    return list(jobs.values())


def show_missing(jobs: Sequence[SweepRun]) -> None:
    """Prints the runs that are not finished, with the commands that do them."""
    console = new_console()
    for job in jobs:
        if job.state != "finished":
            console.print(f"{job.state}: {printable(job.title)}  ({job.id})", soft_wrap=True)
            if job.reason:
                console.print(f"  {printable(job.reason)}", soft_wrap=True)
            if job.command:
                console.print(f"  {job.command}", soft_wrap=True)
    console.print(totals(job.state for job in jobs))


def print_missing(jobs: Sequence[SweepRun]) -> None:
    """Prints the same runs as one line of JSON each."""
    for job in jobs:
        if job.state != "finished":
            print(to_json(vars(job)))


def _job(config: RunConfig, address: Address, overrides: Sequence[str], changes: Mapping[str, object]) -> SweepRun:
    run = find_run(address.folder, address.runs_dir)
    state = run.state if run else "never started"
    if run and run.failure and run.failure.lasts:
        changes = {**changes, "retry_failed": True}
    kept = [one for one in overrides if one.lstrip("+").partition("=")[0] not in changes]
    line = command([*kept, *(override(name, value) for name, value in changes.items())])
    return SweepRun(
        title=title(config.method_name, config.task.name, config.model.name, config.seed),
        id=address.id,
        folder=str(address.folder),
        state=state,
        reason=run.reason if run else "",
        command="" if state in ("running", "finished", "newer") else line,
    )


def _expand(overrides: Sequence[str]) -> list[tuple[RunConfig, list[str]]]:
    """The configuration of each job, and the overrides that make it, expanded like Hydra's own sweeper does."""
    with hydra_of_ones_own():
        loader = GlobalHydra.instance().config_loader()
        try:
            master = loader.load_configuration(ROOT, understood(overrides, [config_dir()]), RunMode.MULTIRUN)
            swept = [f"{name}={values}" for name, values in _params(master).items()]
            typed = OmegaConf.to_container(master.hydra.overrides.task)  # unresolved: ${...} belongs to the job
            assert isinstance(typed, list)
            parsed = OverridesParser.create(loader).parse_overrides([*swept, *typed])
            (jobs,) = BasicSweeper.split_arguments(parsed, None)
            configs = [without_hydra(loader.load_sweep_config(master, job)) for job in jobs]
        except (HydraException, ValueError) as error:
            raise ConfigError(explain(error)) from error
    if not jobs:
        raise ConfigError(NO_JOBS)
    return [(validate(to_plain(config)), job) for config, job in zip(configs, jobs, strict=True)]


def _params(master: DictConfig) -> dict[str, str]:
    """The parameters that the configuration itself sweeps over.

    Raises:
        ConfigError: the configuration's sweeper chooses its jobs only while it runs.
    """
    sweeper = master.hydra.sweeper
    if not sweeper._target_.endswith((f".{BasicSweeper.__name__}", f".{QuickSweeper.__name__}")):
        raise ConfigError(
            f"hydra.sweeper = {sweeper._target_}: only the jobs of the sweepers 'basic' and 'quick' are known ahead"
        )
    return dict(sweeper.params or {})
