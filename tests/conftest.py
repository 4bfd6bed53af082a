"""Fixtures of all tests, and when marked tests are skipped."""

import gc
import os
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from hypothesis import settings

from lnbench.config.run import RunConfig
from tests import runs
from tests.commands import Commands
from tests.tiny import ARCHITECTURES

Configure = Callable[..., RunConfig]

TESTS = Path(__file__).parent
LONGEST = (
    "training/test_fsdp.py",
    "methods/test_sums.py",
    "test_cli.py",
    "run/test_lifecycle.py",
    "test_runs.py",
    "report/test_browser.py",
    "launch/test_ray.py",
    "launch/test_hydras_suite.py",
    "launch/fused/test_launcher.py",
    "test_families.py",
    "launch/test_chaos.py",
    "test_experiments.py",
    "exchange/test_peft_import.py",
    "training/loggers/test_wandb_log.py",
    "training/test_accumulate.py",
    "tasks/test_generation.py",
    "tasks/test_encoder_decoders.py",
    "backbone/test_roles.py",
    "training/test_memory.py",
    "training/test_retention.py",
    "deciding/test_decide.py",
    "scripts/test_rates.py",
    "deciding/test_loop.py",
    "launch/test_gpus.py",
    "backbone/test_smollm2.py",
    "training/loggers/test_mlflow_log.py",
    "report/test_page.py",
    "report/test_report.py",
    "test_site.py",
    "scripts/test_reproduction.py",
    "report/test_dashboard.py",
    "exchange/test_merge.py",
    "backbone/test_quantization.py",
)
"""Files that take longer than ten seconds, the longest first."""

settings.register_profile("lnbench", deadline=None, derandomize=True)
settings.load_profile("lnbench")


def pytest_configure() -> None:
    """Lets Ctrl-C reach the processes that tests start; in a shell's background job they would ignore it.

    Waits for no disk, because no test outlives the machine.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.fsync = lambda fd: None


def pytest_collection(session: pytest.Session) -> None:
    """Collects no garbage while tests are collected: nearly all that is made then stays."""
    gc.disable()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Never looks for garbage among modules and tests, which takes longer than many a test."""
    gc.freeze()
    gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skips what this machine cannot run, and puts the longest files first, so that no process ends late."""
    skips = {
        "gpu": (not torch.cuda.is_available(), "needs a CUDA device"),
        "shared_data": (not os.environ.get("LNBENCH_DATA_ROOT"), "needs LNBENCH_DATA_ROOT, a folder of data sets"),
    }
    for item in items:
        for marker, (skip, reason) in skips.items():
            if skip and item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=reason))
    places = {TESTS / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of tiny pretrained models by architecture."""
    root = tmp_path_factory.mktemp("models")
    return {name: runs.save_model(name, root / name) for name in ARCHITECTURES}


@pytest.fixture(scope="session")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of small data sets."""
    return runs.write_data(tmp_path_factory.mktemp("data"))


@pytest.fixture
def runs_dir(tmp_path: Path) -> Path:
    """Where `configure`'s runs go."""
    return tmp_path / "runs"


@pytest.fixture
def configure(sources: dict[str, Path], data_root: Path, runs_dir: Path) -> Configure:
    """Makes configurations of runs on the tiny BERT that take a second; takes overrides."""
    return partial(runs.configure, sources["bert"], data_root, runs_dir)


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Commands:
    """Calls the commands in this process."""
    return Commands(monkeypatch, capsys)
