"""Hydra's own tests of what a launcher must do."""

from pathlib import Path

import pytest
from hydra.test_utils.launcher_common_tests import BatchedSweeperTestSuite, IntegrationTestSuite, LauncherTestSuite

import lnbench
from lnbench.core.config_folders import config_dir

OVERRIDES = [f"hydra.searchpath=[file://{config_dir()}]", "hydra.launcher.preload=[]"]
CHDIR = "hydra.job.chdir=true"
"""Hydra's suite takes this for the default, which it is only until some test sets a later `version_base`."""


@pytest.mark.parametrize(
    ("launcher_name", "overrides"), [("gpus", [*OVERRIDES, CHDIR]), ("fused", [*OVERRIDES, CHDIR])]
)
class TestLauncher(LauncherTestSuite):
    pass


@pytest.mark.parametrize(
    ("launcher_name", "overrides"), [("gpus", [*OVERRIDES, CHDIR, "hydra.sweeper.max_batch_size=2"])]
)
class TestBatches(BatchedSweeperTestSuite):
    pass


@pytest.mark.parametrize(
    ("task_launcher_cfg", "extra_flags"), [({}, ["--multirun", "hydra/launcher=gpus", *OVERRIDES])]
)
class TestPrograms(IntegrationTestSuite):
    @pytest.fixture(autouse=True)
    def _importable(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PYTHONPATH", str(Path(lnbench.__file__).parents[1]))
