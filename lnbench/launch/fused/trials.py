"""Does the trials of searches before the runs that need them."""

from collections.abc import Sequence
from threading import Event

from lnbench.config.run import RunConfig, trials
from lnbench.core.sealed import NewerError
from lnbench.launch.fused.groups import group
from lnbench.records.failure import read_failure
from lnbench.records.finished import finished_record
from lnbench.records.identity import address_of, run_id
from lnbench.records.record import RecordError


def do_trials(configs: Sequence[RunConfig], max_runs: int, stop: Event) -> None:
    """Does all trials that the searches of some runs still need, each once, and together where they fit.

    Args:
        configs: configurations of the runs.
        max_runs: largest number of trials that train together.
        stop: event that makes every trial save its state and end; no other trial starts then.
    """
    from lnbench.launch.fused.together import run_together

    needed = {run_id(one): one for config in configs for _, one in trials(config) if not _is_settled(one)}
    waiting = list(needed.values())
    for places in group(waiting, max_runs):
        if not stop.is_set():
            for _ in run_together([waiting[place] for place in places], stop):
                pass


def are_settled(config: RunConfig) -> bool:
    """Whether a run can start: it has no search, or all trials of its search have ended."""
    return all(_is_settled(one) for _, one in trials(config))


def _is_settled(config: RunConfig) -> bool:
    """Whether a trial has ended, successfully or not, and is not to be tried again. Trials of newer versions count."""
    address = address_of(config)
    try:
        record, failure = finished_record(address), read_failure(address.folder)
    except RecordError:
        return False
    except NewerError:
        return True
    failed = failure is not None and failure.lasts and not config.retry_failed
    return not config.rerun and (record is not None or failed)
