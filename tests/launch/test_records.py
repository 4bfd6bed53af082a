"""Jobs that are runs of lnbench: finished ones need no process, and the death of one is recorded."""

import contextlib
import json
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cloudpickle
import pytest
from hydra import initialize_config_dir
from hydra._internal.callbacks import Callbacks
from hydra.core.global_hydra import GlobalHydra
from hydra.core.utils import JobStatus
from hydra.errors import HydraException
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig, OmegaConf, open_dict

import lnbench
from lnbench.config.compose import ROOT, compose_config, register, to_plain, without_hydra
from lnbench.config.run import RunConfig, validate
from lnbench.core.atomic_files import write_atomically
from lnbench.core.config_folders import config_dir
from lnbench.core.errors import JobFailed
from lnbench.core.sealed import file_digest
from lnbench.launch.job import Job, Sweep
from lnbench.launch.records import done_before, record_dead_job
from lnbench.records.failure import read_failure
from lnbench.records.files import CONFIG, FAILURE, METRICS, RECORD
from lnbench.records.identity import run_dir, run_id
from lnbench.records.record import write_record
from tests.records.builders import new_record

pytestmark = pytest.mark.usefixtures("hydra_restore_singletons")

NOT_IMPORTED = """
import sys
from multiprocessing import forkserver
from lnbench.__main__ import main
try:
    main()
finally:
    assert not {"torch", "transformers", "ray"} & set(sys.modules)
    assert forkserver._forkserver._forkserver_pid is None, "no fork server was started"
"""


@pytest.fixture
def sweep() -> Sweep:
    """A sweep of lnbench's runs."""
    register()
    with initialize_config_dir(str(config_dir()), job_name="lnbench", version_base="1.3"):
        hydra = GlobalHydra.instance().hydra
    assert hydra is not None
    config = hydra.config_loader.load_configuration(ROOT, [], RunMode.MULTIRUN)
    return Sweep.begin(HydraContext(hydra.config_loader, Callbacks()), lambda config: None, config)


def job(runs_dir: Path, *overrides: str) -> Job:
    """A run of LN-tuning."""
    return Job(0, ("method=ln", f"runs_dir={runs_dir}", *overrides), "it")


def configuration(of: Job) -> RunConfig:
    """What a job composes."""
    return validate(to_plain(compose_config(*of.overrides)))


def finish(config: RunConfig) -> Path:
    """Leaves a record and a file beside it."""
    folder = run_dir(config)
    write_atomically(folder / METRICS, "step\n")
    record = new_record(id=run_id(config), files={METRICS: file_digest(folder / METRICS)}, config=config.to_dict())
    write_record(record, folder)
    return folder


def test_a_finished_run_returns_its_score(sweep: Sweep, tmp_path: Path) -> None:
    one = job(tmp_path, "seed=4")
    assert done_before(sweep, one) is None
    finish(configuration(one))
    returned = done_before(sweep, one)
    assert returned
    assert (returned.status, returned.return_value) == (JobStatus.COMPLETED, 0.75)
    assert (returned.overrides, returned.cfg.seed if returned.cfg else None) == (list(one.overrides), 4)
    assert done_before(sweep, job(tmp_path, "seed=5")) is None
    assert done_before(sweep, job(tmp_path, "seed=4", "rerun=true")) is None


def test_the_job_itself_deals_with_a_damaged_run(sweep: Sweep, tmp_path: Path) -> None:
    one = job(tmp_path)
    folder = finish(configuration(one))
    (folder / METRICS).write_text("other")
    assert done_before(sweep, one) is None
    finish(configuration(one))
    (folder / RECORD).write_text("{")
    assert done_before(sweep, one) is None
    other = finish(configuration(job(tmp_path, "seed=1")))
    (folder / RECORD).write_bytes((other / RECORD).read_bytes())
    assert done_before(sweep, one) is None


@pytest.mark.parametrize("wrong", ["sed=1", "model=none_such", "trainer.batch_size=0", "+other=${hydra:job.none}"])
def test_the_job_itself_is_refused(sweep: Sweep, tmp_path: Path, wrong: str) -> None:
    assert done_before(sweep, job(tmp_path, wrong)) is None


def test_interpolations_mean_what_they_mean_in_the_job(sweep: Sweep, tmp_path: Path) -> None:
    one = job(tmp_path / "${hydra:runtime.choices.method}" / "${hydra:job.num}")
    finish(configuration(job(tmp_path / "ln" / "0")))
    assert done_before(sweep, one) is not None


def test_a_death_is_recorded(sweep: Sweep, tmp_path: Path) -> None:
    one, death = job(tmp_path), JobFailed("killed by SIGKILL", 1, "killed")
    config = configuration(one)
    folder = run_dir(config)
    record_dead_job(sweep, one, death)
    assert not (folder / FAILURE).exists(), "it died before it began"
    write_atomically(folder / CONFIG, json.dumps(config.to_dict()))
    record_dead_job(sweep, one, death)
    failure = read_failure(folder)
    assert failure
    assert (failure.cause, failure.message) == ("killed", "killed by SIGKILL")
    record_dead_job(sweep, job(tmp_path, "trainer.batch_size=0"), death)


def test_nothing_heavy_starts_when_all_is_finished(tmp_path: Path) -> None:
    for seed in (0, 1):
        finish(configuration(job(tmp_path, f"seed={seed}")))
    command = [sys.executable, "-c", NOT_IMPORTED, "-m", "method=ln", "seed=0,1", f"runs_dir={tmp_path}"]
    root = Path(lnbench.__file__).parents[1]
    program = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=60)
    assert (program.returncode, program.stderr) == (0, "")
    assert program.stdout.startswith("1/2 skipped, finished before: seed=0 -> 0.7500\n")


@pytest.mark.parametrize(
    "overrides",
    [
        ("seed={}", "method=ln", "task=sst2"),
        ("method=ln+prefix", "search=lr", "seed={}", "runs_dir=runs/${seed}"),
        ("hydra.job.config.override_dirname.kv_sep=-", "method=ln", "seed={}"),
        ("hydra.job.config.override_dirname.exclude_keys=[seed]", "trainer.lr=0.1", "seed={}"),
    ],
)
def test_jobs_that_differ_in_the_seed_are_composed_once(
    sweep: Sweep, monkeypatch: pytest.MonkeyPatch, overrides: tuple[str, ...]
) -> None:
    loader = sweep.hydra_context.config_loader
    typed = [tuple(word.replace("{}", seed) for word in overrides) for seed in ("3", "12", "0")]
    jobs = [Job(num, words, "") for num, words in enumerate(typed)]
    loaded: list[DictConfig] = []
    load = loader.load_sweep_config

    def counted(master: DictConfig, words: list[str]) -> DictConfig:
        loaded.append(load(master, words))
        return loaded[-1]

    monkeypatch.setattr(loader, "load_sweep_config", counted)
    composed = [sweep.compose(one) for one in jobs]
    assert len(loaded) == 1
    for one, config in zip(jobs, composed, strict=True):
        expected = load(sweep.config, list(one.overrides))
        with open_dict(expected):
            expected.hydra.job.num, expected.hydra.job.id = one.num, f"lnbench_{one.num}"
        assert OmegaConf.to_container(config) == OmegaConf.to_container(expected)
        assert to_plain(without_hydra(config)) == to_plain(without_hydra(expected))
    assert not pickle.loads(cloudpickle.dumps(replace(sweep, task_function=len)))._composed


@pytest.mark.parametrize("seed", ["seed=01", "+seed=3", "seed='3'", "seed=${oc.env:NONE,3}"])
def test_a_seed_that_is_no_plain_number_is_left_to_hydra(sweep: Sweep, seed: str) -> None:
    with contextlib.suppress(HydraException):
        sweep.compose(Job(0, ("method=ln", seed), ""))
    assert not sweep._composed


def test_the_configurations_that_a_sweep_keeps_are_limited(sweep: Sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lnbench.launch.job.REMEMBERED", 2)
    for method in ("ln", "bitfit", "full"):
        sweep.compose(Job(0, (f"method={method}", "seed=0"), ""))
    assert [key[0] for key in sweep._composed] == ["method=bitfit", "method=full"]
