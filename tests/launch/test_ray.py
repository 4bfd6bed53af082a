"""The launcher on a Ray cluster of two small nodes, all on this machine."""

import importlib.util
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from hydra.core.utils import JobReturn
from hydra.test_utils.launcher_common_tests import LauncherTestSuite
from omegaconf import OmegaConf

import lnbench
from lnbench.config.compose import ROOT, compose_config, to_plain
from lnbench.config.run import validate
from lnbench.core.config_folders import config_dir
from lnbench.core.errors import JobFailed
from lnbench.core.schema import ConfigError
from lnbench.launch.job import Sweep, error_of
from lnbench.launch.ray.parcel import pack, unpack
from lnbench.launch.settings import RaySettings
from lnbench.records.files import RECORD, RESUME
from lnbench.records.identity import run_dir
from tests.launch import jobs
from tests.launch.launching import RAY_SETTINGS, launch_on_ray
from tests.waiting import wait_for

ray = pytest.importorskip("ray")
from ray.cluster_utils import Cluster  # noqa: E402

from lnbench.launch.ray.cluster import Head  # noqa: E402
from lnbench.launch.ray.pool import RayPool  # noqa: E402

OVERRIDES = [f"hydra.searchpath=[file://{config_dir()}]", "hydra.job.chdir=true"]
"""The second is what Hydra's suite takes for the default, which it is only until some test sets `version_base`."""
pytestmark = pytest.mark.usefixtures("hydra_restore_singletons")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A head that does no jobs, and two nodes for one job each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        for _ in range(2):
            cluster.add_node(num_cpus=1)
        yield cluster
        cluster.shutdown()


def overrides(*xs: object, **common: object) -> list[list[str]]:
    """One job for each x."""
    return [[f"+x={x}", *(f"+{key}={value}" for key, value in common.items())] for x in xs]


def failure(returned: JobReturn) -> tuple[str, str]:
    """Cause and message."""
    error = error_of(returned)
    return (error.cause, error.message) if isinstance(error, JobFailed) else (type(error).__name__, str(error))


def test_every_job_has_a_fresh_process(cluster: Cluster, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    returned = launch_on_ray(jobs.tell, overrides("a", "b", "c"), tmp_path, address=cluster.address)
    told = [job.return_value for job in returned]
    assert len({job["pid"] for job in told}) == 3
    assert [(job["x"], job["job"], job["gpus"]) for job in told] == [
        (x, (num, f"test_{num}"), "") for num, x in enumerate("abc")
    ]
    logs = sorted((tmp_path / "logs").iterdir())
    assert [log.read_text() for log in logs] == [*(f"printed {x}\nbelow Python\n" for x in "abc"), ""]
    assert capfd.readouterr().out.splitlines()[-1].startswith("3 finished, 0 failed in "), "Ray itself is quiet"
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers


def test_a_broken_job_does_not_end_the_sweep(cluster: Cluster, tmp_path: Path) -> None:
    ways = overrides("raise", "sys.exit", "kill", "well")
    broken, left, dead, well = launch_on_ray(jobs.break_down, ways, tmp_path, address=cluster.address)
    assert failure(broken) == ("ValueError", "first line\nsecond line")
    assert failure(left) == ("killed", "the process ended with exit code 3 and no result")
    assert failure(dead)[0] == "killed"
    assert failure(dead)[1].startswith("WorkerCrashedError: The worker died unexpectedly")
    assert well.return_value == 0.5


def test_files_are_collected(cluster: Cluster, tmp_path: Path) -> None:
    settings = {"address": cluster.address, "results": "collect", "max_retries": 1}
    runs_dir = tmp_path / "runs"
    one = ["method=ln", f"runs_dir={runs_dir}"]
    (returned,) = launch_on_ray(jobs.leave, [one], tmp_path, ROOT, **settings)
    assert returned.return_value == [RESUME], "what the first try saved came back, and went to the second"
    folder = run_dir(validate(to_plain(compose_config(*one))))
    assert {name: (folder / name).read_bytes() for name in (RESUME, RECORD)} == {RESUME: b"state", RECORD: b"record"}
    (log,) = (tmp_path / "logs").glob("*-0.log")
    first, second = log.read_text().splitlines()
    assert first != second
    assert not any(Path(line.removeprefix("in ")).exists() or str(runs_dir) in line for line in (first, second))


@pytest.mark.parametrize("deaf", [False, True])
def test_ctrl_c_lets_the_running_jobs_save_and_a_second_ends_them(cluster: Cluster, tmp_path: Path, deaf: bool) -> None:
    program = subprocess.Popen(
        [sys.executable, "-m", "tests.launch.launching", str(tmp_path), str(deaf), cluster.address],
        cwd=Path(lnbench.__file__).parents[1],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        wait_for(lambda: all((tmp_path / f"pid-{x}").exists() for x in range(2)))
        os.killpg(program.pid, signal.SIGINT)
        wait_for(lambda: all((tmp_path / f"saved-{x}").exists() for x in range(2)))
        if deaf:
            assert program.poll() is None, "it waits"
            os.killpg(program.pid, signal.SIGINT)
        output = program.communicate(timeout=120)[0]
    finally:
        program.kill()
        program.communicate()
    assert program.returncode == 130
    assert output.startswith("Stopping. 2 running jobs will save the state first.")
    assert output.count(" stopped after ") == 2
    assert not (tmp_path / "pid-2").exists(), "no other job starts"


def test_records_are_unpacked_last(tmp_path: Path) -> None:
    (tmp_path / ".locks").mkdir()
    for name in ("a/record.json", "b/metrics.csv", ".locks/a.lock"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    parcel = pack(tmp_path, tmp_path)
    assert parcel == {"a/record.json": b"a/record.json", "b/metrics.csv": b"b/metrics.csv"}
    other = tmp_path / "other"
    other.mkdir()
    (other / "b").touch()
    with pytest.raises(OSError, match="exists"):
        unpack(parcel, other)
    assert not (other / "a").exists()


def test_without_ray_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"hydra/launcher = 'ray': .* pip install 'lnbench\[ray\]'"):
        launch_on_ray(jobs.tell, overrides("a"), tmp_path)


def test_a_wrong_setting_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"hydra.launcher.results = 'here': "):
        launch_on_ray(jobs.tell, overrides("a"), tmp_path, results="here")


def test_a_job_that_no_node_can_do_is_refused(cluster: Cluster, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="num_cpus, num_gpus = 2, 0: no node of the Ray cluster has so many"):
        launch_on_ray(jobs.tell, overrides("a"), tmp_path, address=cluster.address, num_cpus=2)


def test_the_job_of_a_dead_node_is_done_by_another(cluster: Cluster, tmp_path: Path) -> None:
    def kill_node() -> None:
        wait_for((tmp_path / "node").exists)
        (node,) = (node for node in cluster.worker_nodes if node.node_id == (tmp_path / "node").read_text())
        cluster.remove_node(node, allow_graceful=False)

    killer = threading.Thread(target=kill_node)
    killer.start()
    settings = {"address": cluster.address, "max_retries": 1}
    (returned,) = launch_on_ray(jobs.survive, overrides("a", folder=tmp_path), tmp_path / "sweep", **settings)
    killer.join()
    assert returned.return_value in {node.node_id for node in cluster.worker_nodes}
    cluster.add_node(num_cpus=1)


def test_a_head_that_is_silent_gets_no_jobs_and_one_that_is_dead_ends_the_sweep(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        monkeypatch.setattr(ray, "get_runtime_context", lambda: SimpleNamespace(gcs_address=address))
        head = Head()
        assert head.silence() == 0
    config = OmegaConf.create({"hydra": {"sweep": {"dir": str(tmp_path)}}})
    sweep = Sweep(None, jobs.tell, config, {})  # type: ignore[arg-type]
    pool = RayPool(sweep, RaySettings(**RAY_SETTINGS))
    pool._head, pool._needs = head, {"CPU": 1, "GPU": 0}
    assert head.silence() > 0
    assert pool.free == 0
    assert pool.wait(0) == []
    monkeypatch.setattr("lnbench.launch.ray.cluster.HEAD_PATIENCE_SECONDS", 0)
    with pytest.raises(ConfigError, match=f"head of the Ray cluster, {address}, does not answer any more"):
        pool.wait(0)


@pytest.mark.parametrize(("launcher_name", "overrides"), [("ray", OVERRIDES)])
class TestLauncher:
    """Those of Hydra's own tests that other machines could fail; each starts fresh workers."""

    get_task_function = LauncherTestSuite.get_task_function
    test_sweep_2_jobs = LauncherTestSuite.test_sweep_2_jobs
    test_sweep_and_override = LauncherTestSuite.test_sweep_and_override
    test_sweep_with_custom_resolver = LauncherTestSuite.test_sweep_with_custom_resolver

    @pytest.fixture(autouse=True)
    def _connected(self, cluster: Cluster) -> Iterator[None]:
        ray.init(cluster.address, log_to_driver=False, logging_level="ERROR")
        yield
        ray.shutdown()
