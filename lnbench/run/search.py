"""Chooses one setting of a run by trials.

Trials are other runs, compared by validation score only. Their records are kept and shared.
"""

import time
from collections.abc import Callable

from lnbench.config.run import RunConfig, settled, trial
from lnbench.records.failure import TRIED_AGAIN, RunFailed
from lnbench.records.identity import run_id
from lnbench.records.lock import RunBusy
from lnbench.records.record import Record, SearchResult, Trial
from lnbench.run import messages

POLL_SECONDS = 2.0


def search_by_trials(config: RunConfig, run: Callable[[RunConfig], Record]) -> tuple[RunConfig, SearchResult]:
    """Does all trials, or uses their existing records, and chooses the value with the best validation score.

    A trial that another process is doing is waited for, after all others. A trial that fails for a reason of its own,
    such as a too large learning rate, loses.

    Args:
        config: configuration with a search.
        run: function that does a trial.

    Returns:
        The configuration with the chosen value, and the trials.

    Raises:
        RunFailed: every trial failed, or one failed for a reason outside the trial.
    """
    assert config.search
    trials: dict[float | str, Trial] = {}
    while waiting := [value for value in config.search.values if value not in trials]:
        before = len(trials)
        for value in waiting:
            messages.show_trial(config.search.parameter, value, len(trials), len(config.search.values))
            try:
                trials[value] = _try(trial(config, value), value, run)
            except RunBusy as busy:
                messages.show_busy(busy)
        if len(trials) == before:
            time.sleep(POLL_SECONDS)
    result = SearchResult(
        parameter=config.search.parameter,
        trials=[trials[value] for value in config.search.values],
        chosen=_best(config, list(trials.values())).value,
    )
    return settled(config, result.chosen), result


def _try(config: RunConfig, value: float | str, run: Callable[[RunConfig], Record]) -> Trial:
    try:
        record = run(config)
    except RunFailed as failed:
        if failed.cause in TRIED_AGAIN:  # that says nothing about the value, and a search result is final
            raise
        return Trial(value=value, id=run_id(config), score=None, problem=f"{failed.cause}: {failed.message}")
    return Trial(value=value, id=record.id, score=record.score)


def _best(config: RunConfig, trials: list[Trial]) -> Trial:
    assert config.search
    scored = {one.value: one for one in trials if one.score is not None and one.score == one.score}
    ordered = [scored[value] for value in config.search.values if value in scored]
    if not ordered:
        name = f"search of {config.search.parameter}"
        raise RunFailed(name, "error", f"every trial failed, the last with: {trials[-1].problem}")
    choose = max if config.task.mode == "max" else min
    return choose(ordered, key=lambda one: one.score or 0.0)
