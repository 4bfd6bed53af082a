"""The runs of an experiment, found and launched as those of a sweep with the same settings are."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from hydra import initialize_config_dir
from hydra._internal.callbacks import Callbacks
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig, OmegaConf

from lnbench.__main__ import tune
from lnbench.cli import Command
from lnbench.config.compose import ROOT, explain, register, to_plain, without_hydra
from lnbench.config.overrides import several, understood
from lnbench.config.retention import WAYS
from lnbench.config.run import RunConfig, validate
from lnbench.core.commands import override
from lnbench.core.config_folders import config_dir
from lnbench.core.packages import require_tuning
from lnbench.core.schema import ConfigError
from lnbench.records.commands import changes_of_method
from lnbench.records.finished import published_run
from lnbench.records.identity import address_of
from lnbench.records.record import Record, RecordError, read_record
from lnbench.report.claims.claims import HALVES, Side
from lnbench.tasks.scores.metric import metric_of

CHOSEN = {"method": "the claims name the methods", "task": "give --tasks", "seed": "seeds are added as they are needed"}
"""Settings that no override may give, with the reason."""
MULTIRUN = "hydra.mode=MULTIRUN"


@dataclass(frozen=True)
class Run:
    """One run of the experiment: the overrides that choose its method, its task and its seed."""

    method: tuple[str, ...]
    task: str
    seed: int

    @property
    def overrides(self) -> list[str]:
        """The overrides in which the run differs from others."""
        return [*self.method, override("task", self.task), override("seed", self.seed)]


class Runs:
    """All runs that share the overrides of one command line."""

    def __init__(self, loader: ConfigLoader, master: DictConfig) -> None:
        """
        Args:
            loader: Hydra's loader.
            master: composed configuration of the sweep, with the shared overrides.
        """
        typed = OmegaConf.to_container(master.hydra.overrides.task, resolve=False)
        assert isinstance(typed, list)
        self._loader, self._master, self._shared = loader, master, [str(one) for one in typed]
        self._records: dict[Run, Record] = {}
        self._configs: dict[tuple[tuple[str, ...], str], RunConfig] = {}
        self._launched = 0

    @property
    def folder(self) -> Path:
        """Folder of the runs, once a run has been configured."""
        return next(iter(self._configs.values())).runs_dir

    def arm(self, side: Side, task: str) -> tuple[str, ...]:
        """The overrides that choose the method of a side of a comparison.

        Raises:
            ConfigError: the method cannot be composed on this model.
        """
        own = override("method", side.method)
        halves = any(value in HALVES for value in side.settings.values())
        changed = side.resolved(depth_of(self.config(Run((own,), task, 0))) if halves else None) or {}
        return (own, *changes_of_method(changed))

    def unit(self, run: Run) -> str:
        """The unit of the scores of a run.

        Raises:
            ConfigError: a setting is wrong.
            DataError: the data cannot be found.
        """
        task = self.config(run).task
        return metric_of(task.metric, task.mode).unit_on(task.name)

    def config(self, run: Run) -> RunConfig:
        """The configuration of a run.

        Raises:
            ConfigError: a setting is wrong.
            DataError: the data cannot be found.
        """
        key = run.method, run.task
        if key not in self._configs:
            first = Run(run.method, run.task, 0)
            try:
                composed = self._loader.load_sweep_config(self._master, self._overrides(first))
            except (HydraException, ValueError) as error:
                raise ConfigError(explain(error)) from error
            config = validate(to_plain(without_hydra(composed)))
            if not config.test:
                raise ConfigError("test = false: must be true, because test scores are compared")
            self._configs[key] = config
        return self._configs[key].model_copy(update={"seed": run.seed})

    def require_retention(self) -> None:
        """Makes sure that the runs measure forgetting.

        Raises:
            ConfigError: they have no general text.
        """
        if not all(config.retention.is_on for config in self._configs.values()):
            raise ConfigError(f"forgetting is measured on a general text; {WAYS}")

    def record(self, run: Run) -> Record | None:
        """The record of a run; None if it is not finished, or damaged.

        Raises:
            NewerError: a newer lnbench did the run.
        """
        if run not in self._records:
            address = address_of(self.config(run))
            with contextlib.suppress(RecordError):
                record = read_record(address.folder)
                if record is None and (published := published_run(address)):
                    record = published.record
                if record and record.id == address.id:
                    self._records[run] = record
        return self._records.get(run)

    def seconds(self, run: Run) -> float | None:
        """The likely time of a run: the mean of those of its method and task, or of its task, or of all that are done.

        None if no run is done.
        """
        done = [(other, record.cost.total_seconds) for other, record in self._records.items()]
        on_task = [(other, cost) for other, cost in done if other.task == run.task]
        same = [(other, cost) for other, cost in on_task if other.method == run.method]
        costs = [cost for _, cost in same or on_task or done]
        return fmean(costs) if costs else None

    def launch(self, runs: Sequence[Run]) -> None:
        """Does runs with the chosen launcher, as a sweep does. Runs that fail leave no record, and raise nothing.

        Raises:
            ConfigError: the launcher's settings are wrong, or this machine cannot run with them.
            KeyboardInterrupt: Ctrl-C or SIGTERM came.
        """
        context = HydraContext(config_loader=self._loader, callbacks=Callbacks())
        launcher = Plugins.instance().instantiate_launcher(context, Command(tune).run, self._master)
        launcher.launch([self._overrides(run) for run in runs], initial_job_idx=self._launched)
        self._launched += len(runs)

    def _overrides(self, run: Run) -> list[str]:
        return [*run.overrides, *self._shared]


def depth_of(config: RunConfig) -> int:
    """Number of layers of a run's model; of an encoder-decoder, those of the encoder."""
    from lnbench.backbone.backbone import views
    from lnbench.training.assemble import build_skeleton

    return views(build_skeleton(config).backbone)[0].num_layers


@contextlib.contextmanager
def opened(overrides: Sequence[str]) -> Iterator[Runs]:
    """The runs with some overrides, while the context lasts.

    Args:
        overrides: as on the command line of `python -m lnbench -m`, without method, task and seed.

    Raises:
        ConfigError: an override is wrong, gives several values, or gives what is chosen here.
    """
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises its errors, and they can be explained
    register()
    words = understood(overrides, [config_dir()])
    _check(words)
    require_tuning()
    with initialize_config_dir(str(config_dir()), job_name="lnbench", version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        try:
            master = loader.load_configuration(ROOT, [*words, MULTIRUN], RunMode.MULTIRUN)
        except (HydraException, ValueError) as error:
            raise ConfigError(explain(error)) from error
        yield Runs(loader, master)


def _check(words: Sequence[str]) -> None:
    for word, parsed in zip(words, OverridesParser.create().parse_overrides(list(words)), strict=True):
        if (key := parsed.key_or_group) in CHOSEN:
            raise ConfigError(f"{word}: {key} cannot be given here; {CHOSEN[key]}")
        if parsed.is_sweep_override():
            raise ConfigError(several(word))
