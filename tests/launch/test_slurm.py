"""Slurm by submitit, without a Slurm: what would be handed in there, and jobs in local processes."""

import re
import signal
from pathlib import Path

import pytest
from hydra.core.utils import JobReturn, JobStatus

from hydra_plugins.lnbench_slurm import saved_before_requeue
from lnbench.core.schema import ConfigError
from tests.launch import jobs
from tests.launch.launching import launch_by

submitit = pytest.importorskip("submitit")
pytest.importorskip("hydra_plugins.hydra_submitit_launcher")

pytestmark = pytest.mark.usefixtures("hydra_restore_singletons")


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Slurm that keeps the script that it is given, and whose jobs end at once."""
    (tmp_path / "bin").mkdir()
    for name, script in {"sbatch": f'cp "$1" {tmp_path}/script; echo Submitted batch job 1', "srun": ""}.items():
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    done = JobReturn(status=JobStatus.COMPLETED, _return_value=0.5)
    monkeypatch.setattr(submitit.SlurmJob, "results", lambda self: [done])
    return tmp_path / "script"


def test_the_preset_asks_slurm_for_a_gpu_a_run_and_for_notice(slurm: Path, tmp_path: Path) -> None:
    overrides = [[f"+x={x}"] for x in range(3)]
    returned = launch_by("slurm", jobs.tell, overrides, tmp_path, None, "hydra.launcher.partition=gpu")
    assert [job.return_value for job in returned] == [0.5] * 3
    asked = dict(re.findall(r"^#SBATCH --([\w-]+)=(.*)$", slurm.read_text(), re.MULTILINE))
    wanted = {
        "array": "0-2%3",
        "cpus-per-task": "4",
        "gpus-per-node": "1",
        "job-name": "test",
        "nodes": "1",
        "ntasks-per-node": "1",
        "partition": "gpu",
        "signal": "USR2@180",
        "time": "240",
    }
    assert {name: asked.get(name) for name in wanted} == wanted
    assert "submitit.core._submit" in slurm.read_text()


def test_without_slurm_it_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="hydra/launcher = 'slurm': there is no Slurm here"):
        launch_by("slurm", jobs.tell, [["+x=1"]], tmp_path)


def test_a_sweep_runs_through_submitit(tmp_path: Path) -> None:
    first, second = launch_by("submitit_local", jobs.break_down, [["+x=well"], ["+x=raise"]], tmp_path)
    assert first.return_value == 0.5
    assert second.status is JobStatus.FAILED


def test_a_run_whose_time_is_up_saves_and_goes_on(tmp_path: Path) -> None:
    from tests.launch.saving import LocalSlurmLauncher

    launcher = LocalSlurmLauncher(submitit_folder=str(tmp_path / "%j"), timeout_min=60)
    (returned,) = launch_by(launcher, jobs.run_out_of_time, [[f"+folder={tmp_path}"]], tmp_path / "sweep")
    assert returned.return_value == "state"


@pytest.mark.parametrize(("when", "requeued"), [("2026-11-29T18:48:19", [signal.SIGUSR2]), ("None", [])])
def test_a_run_that_ends_because_its_job_is_preempted_is_queued_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str, requeued: list[int]
) -> None:
    told = f"JobId=7 JobState=RUNNING\n   PreemptEligibleTime=2026-11-29T18:40:00 PreemptTime={when}\n"
    (tmp_path / "scontrol").write_text(f"#!/bin/sh\n[ $3 = 7 ] && printf '{told}'\n")
    (tmp_path / "scontrol").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    asked: list[int] = []
    before = signal.signal(signal.SIGUSR2, lambda number, _: asked.append(number))
    try:
        with pytest.raises(SystemExit), saved_before_requeue():
            raise SystemExit(130)
    finally:
        signal.signal(signal.SIGUSR2, before)
    assert asked == requeued


def test_other_ends_are_left_alone() -> None:
    before = signal.getsignal(signal.SIGUSR2)
    with pytest.raises(SystemExit), saved_before_requeue():
        raise SystemExit(1)
    assert signal.getsignal(signal.SIGUSR2) == before
