"""The order in which jobs run, without processes."""

import pickle
from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import pytest
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import OmegaConf

from lnbench.core.errors import JobFailed
from lnbench.launch.interrupts import Interrupts
from lnbench.launch.job import KILLED, Ended, Job, failed, number
from lnbench.launch.queue import Queue
from lnbench.launch.settings import LaunchSettings
from lnbench.records.lock import RunBusy

Act = Callable[[Job], JobReturn | JobFailed]


class InstantPool:
    """Ends all that runs at every wait, the last started first."""

    def __init__(self, act: Act, size: int) -> None:
        self.act, self.size = act, size
        self.turns: list[int] = []
        self.running: list[Job] = []
        self.told: list[str] = []

    @property
    def free(self) -> int:
        return self.size - len(self.running)

    def start(self, job: Job) -> str:
        self.turns.append(job.num)
        self.running.append(job)
        return "here"

    def wait(self, seconds: float) -> list[Ended]:
        ended = [Ended(job, self.act(job), 1.0, Path("log")) for job in reversed(self.running)]
        self.running.clear()
        return ended

    def stop(self) -> None:
        self.told.append("stop")

    def kill(self) -> None:
        self.told.append("kill")

    def close(self) -> None:
        self.told.append("close")


def done(job: Job) -> JobReturn:
    """What a job returns that goes well."""
    returned = JobReturn(overrides=list(job.overrides), status=JobStatus.COMPLETED)
    returned.return_value = job.num
    return returned


def queue(
    pool: InstantPool,
    jobs: int,
    interrupts: Interrupts | None = None,
    done_before: Callable[[Job], JobReturn | None] = lambda job: None,
    on_death: Mock | None = None,
    stop_at_failure: bool = False,
) -> Queue:
    """A queue of some jobs whose display nobody sees."""
    many = number([[f"x={x}"] for x in range(jobs)], first=0)
    callbacks = done_before, on_death or Mock()
    settings = LaunchSettings(busy_poll_seconds=0.001, stop_at_failure=stop_at_failure)
    return Queue(many, pool, Mock(), interrupts or Interrupts(), *callbacks, settings)


@pytest.mark.parametrize("size", [1, 2, 5])
def test_results_come_in_the_order_of_the_jobs(size: int) -> None:
    pool = InstantPool(done, size)
    assert [job.return_value for job in queue(pool, 4).run()] == [0, 1, 2, 3]
    assert pool.turns == [0, 1, 2, 3]


def test_busy_jobs_are_tried_until_they_are_not() -> None:
    tries: list[int] = []

    def act(job: Job) -> JobReturn:
        tries.append(job.num)
        return failed(job, RunBusy("held")) if job.num < 2 and tries.count(job.num) < 3 else done(job)

    pool = InstantPool(act, size=1)
    assert [job.return_value for job in queue(pool, 4).run()] == [0, 1, 2, 3]
    assert pool.turns[:4] == [0, 1, 2, 3]
    assert sorted(pool.turns[4:]) == [0, 0, 1, 1]


def test_what_is_finished_is_not_run() -> None:
    pool = InstantPool(done, size=2)
    skip = queue(pool, 5, done_before=lambda job: done(job) if job.num in (0, 1, 3) else None)
    assert [job.return_value for job in skip.run()] == [0, 1, 2, 3, 4]
    assert pool.turns == [2, 4]


def test_an_interrupt_ends_the_skipping() -> None:
    interrupts, pool = Interrupts(), InstantPool(done, size=1)

    def done_before(job: Job) -> JobReturn:
        interrupts.count += job.num == 1
        assert job.num < 2
        return done(job)

    with pytest.raises(KeyboardInterrupt):
        queue(pool, 5, interrupts, done_before).run()


def test_deaths_are_told() -> None:
    on_death, death = Mock(), JobFailed("killed by SIGKILL", 1, KILLED)
    pool = InstantPool(lambda job: death if job.num == 1 else done(job), size=2)
    results = queue(pool, 3, on_death=on_death).run()
    assert [job.status.name for job in results] == ["COMPLETED", "FAILED", "COMPLETED"]
    ((job, reason),) = (call.args for call in on_death.call_args_list)
    assert (job.num, reason) == (1, death)


@pytest.mark.parametrize(("stop_at_failure", "started"), [(False, [0, 1, 2, 3, 4]), (True, [0, 1])])
def test_a_failure_ends_the_sweep_where_it_is_asked_for(stop_at_failure: bool, started: list[int]) -> None:
    """Of two jobs that run at once the second fails; the first goes on to its end."""
    pool = InstantPool(lambda job: failed(job, ValueError("no")) if job.num == 1 else done(job), size=2)
    results = queue(pool, 5, stop_at_failure=stop_at_failure).run()
    assert pool.turns == started
    assert [job.status.name for job in results[:2]] == ["COMPLETED", "FAILED"]
    for result in results[2:]:
        if stop_at_failure:
            with pytest.raises(JobFailed, match="not started, since x=1 failed"):
                _ = result.return_value
        else:
            assert result.status is JobStatus.COMPLETED


@pytest.mark.parametrize(("interrupts_while_stopping", "told"), [(1, ["stop"]), (2, ["stop", "kill"])])
def test_after_an_interrupt_nothing_starts(interrupts_while_stopping: int, told: list[str]) -> None:
    interrupts, on_death = Interrupts(), Mock()

    class Slow(InstantPool):
        def wait(self, seconds: float) -> list[Ended]:
            interrupts.count += 1
            return super().wait(seconds) if self.told[-1:] == told[-1:] or interrupts.count > 5 else []

    def act(job: Job) -> JobReturn | JobFailed:
        return JobFailed("killed by SIGKILL", 1, KILLED)

    pool = Slow(act, size=2)
    with pytest.raises(KeyboardInterrupt):
        queue(pool, 5, interrupts, on_death=on_death).run()
    assert (pool.turns, pool.running, pool.told) == ([0, 1], [], told)
    on_death.assert_not_called()


def test_the_results_of_a_long_sweep_take_little_memory() -> None:
    config = OmegaConf.create(
        {f"key_{number}": {"value": number, "reference": "${key_0.value}"} for number in range(300)}
    )

    def act(job: Job) -> JobReturn:
        return JobReturn(list(job.overrides), config, config, status=JobStatus.COMPLETED, _return_value=0.5)

    (returned,) = queue(InstantPool(act, 1), 1).run()
    assert (returned.cfg, returned.hydra_cfg, returned.return_value) == (config, config, 0.5)
    assert len(pickle.dumps(vars(returned))) < len(pickle.dumps(config)) / 3
