"""Chooses one setting of a run by trials.

Trials are other runs, compared by validation score only. Their records are kept and shared.
"""

import time
from collections.abc import Callable

from lnbench.config.run import RunConfig, settled, trials
from lnbench.records.failure import TRIED_AGAIN, RunFailed
from lnbench.records.identity import run_id
from lnbench.records.lock import RunBusy
from lnbench.records.record import Record, SearchResult, Trial, mean_scores
from lnbench.run import messages

POLL_SECONDS = 2.0


def search_by_trials(config: RunConfig, run: Callable[[RunConfig], Record]) -> tuple[RunConfig, SearchResult]:
    """Does all trials, or uses their existing records, and chooses the value with the best validation score.

    If the search has several seeds, the mean over them counts. A trial that another process is doing is waited for,
    after all others. A value whose trial fails for a reason of its own, such as a too large learning rate, loses.

    Args:
        config: configuration with a search.
        run: function that does a trial.

    Returns:
        The configuration with the chosen value, and the trials.

    Raises:
        RunFailed: every value has a failed trial, or one failed for a reason outside the trial.
    """
    assert config.search
    wanted = trials(config)
    done: dict[int, Trial] = {}
    while waiting := [place for place in range(len(wanted)) if place not in done]:
        before = len(done)
        for place in waiting:
            value, own = wanted[place]
            messages.show_trial(config.search.parameter, value, len(done), len(wanted))
            try:
                done[place] = _try(own, value, run)
            except RunBusy as busy:
                messages.show_busy(busy)
        if len(done) == before:
            time.sleep(POLL_SECONDS)
    found = [done[place] for place in range(len(wanted))]
    result = SearchResult(parameter=config.search.parameter, trials=found, chosen=_best(config, found))
    return settled(config, result.chosen), result


def _try(config: RunConfig, value: float | str, run: Callable[[RunConfig], Record]) -> Trial:
    try:
        record = run(config)
    except RunFailed as failed:
        if failed.cause in TRIED_AGAIN:  # that says nothing about the value, and a search result is final
            raise
        problem = f"{failed.cause}: {failed.message}"
        return Trial(value=value, seed=config.seed, id=run_id(config), score=None, problem=problem)
    return Trial(value=value, seed=config.seed, id=record.id, score=record.score)


def _best(config: RunConfig, trials: list[Trial]) -> int | float | str:
    """The value with the best score; of equally good values, the first."""
    assert config.search
    scored = {value: score for value, score in mean_scores(trials).items() if score is not None and score == score}
    if not scored:
        last = next((one.problem for one in reversed(trials) if one.problem), "a score that is not a number")
        each = "trial" if config.search.seeds == 1 else "value has a trial that"
        name = f"search of {config.search.parameter}"
        raise RunFailed(name, "error", f"every {each} failed, the last with: {last}")
    choose = max if config.task.mode == "max" else min
    return choose(scored, key=scored.__getitem__)
