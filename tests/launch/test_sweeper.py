"""A sweep starts without composing all of its jobs first."""

from collections.abc import Sequence
from typing import Any

import pytest
from hydra import initialize_config_dir
from hydra._internal.callbacks import Callbacks
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig

from lnbench.config.compose import ROOT, register
from lnbench.core.config_folders import config_dir
from tests.launch.jobs import work

SEEDS = ",".join(map(str, range(50)))
Composed = list[Sequence[str]]


@pytest.fixture
def composed(monkeypatch: pytest.MonkeyPatch) -> Composed:
    """The overrides of each job that is composed."""
    jobs: Composed = []
    compose = ConfigLoaderImpl.load_sweep_config

    def note(self: ConfigLoaderImpl, master_config: DictConfig, sweep_overrides: list[str]) -> DictConfig:
        jobs.append(sweep_overrides)
        return compose(self, master_config, sweep_overrides)

    monkeypatch.setattr(ConfigLoaderImpl, "load_sweep_config", note)
    return jobs


def check(*swept: str) -> int:
    """Does what Hydra does of a sweep before its first job; returns the number of jobs."""
    register()
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        hydra = GlobalHydra.instance().hydra
        assert hydra is not None
        config = hydra.config_loader.load_configuration(ROOT, [], RunMode.MULTIRUN)
        context = HydraContext(config_loader=hydra.config_loader, callbacks=Callbacks())
        sweeper: Any = Plugins.instance().instantiate_sweeper(hydra_context=context, task_function=work, config=config)
        parsed = OverridesParser.create(hydra.config_loader).parse_overrides(list(swept))
        (batch,) = sweeper.split_arguments(parsed, None)
        sweeper.validate_batch_is_legal(batch)
        return len(batch)


def test_few_jobs_are_composed_before_the_first_one_starts(composed: Composed) -> None:
    assert check("method=ln,bitfit,ln+lora", "task=sst2,rte", f"seed={SEEDS}") == 300
    assert composed == [
        ["method=ln", "task=sst2", "seed=0"],
        ["method=ln", "task=rte", "seed=0"],
        ["method=bitfit", "task=sst2", "seed=0"],
        ["method=ln+lora", "task=sst2", "seed=0"],
    ]


@pytest.mark.parametrize("swept", [("method=ln,lorra", "seed=0,1"), ("seed=0,1", "method=ln,lora", "trainer.lrr=1,2")])
def test_a_value_that_cannot_be_composed_is_found_before_the_first_job(swept: Sequence[str]) -> None:
    with pytest.raises(HydraException, match=r"lorra|lrr"):
        check(*swept)
