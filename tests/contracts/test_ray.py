"""What lnbench relies on in Ray 2.60, and what breaks here if it changes."""

import os

import pytest

from lnbench.launch.slots import VISIBLE

ray = pytest.importorskip("ray")
HIDDEN = "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"


def test_a_task_without_gpus_sees_all_gpus_of_the_node(monkeypatch: pytest.MonkeyPatch) -> None:
    """So launch/ray/pool.py hides them from jobs that asked for none; else this is not needed. Ray can do it, too."""
    monkeypatch.setenv(VISIBLE, "0,1")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.delenv(HIDDEN, raising=False)

    def visible() -> str | None:
        return os.environ.get(VISIBLE)

    ray.init(num_cpus=1, num_gpus=0, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    try:
        task = ray.remote(num_cpus=1, num_gpus=0)(visible)
        hidden = task.options(runtime_env={"env_vars": {HIDDEN: "1"}})
        assert ray.get(task.remote()) == "0,1"
        assert ray.get(hidden.remote()) == ""
    finally:
        ray.shutdown()
