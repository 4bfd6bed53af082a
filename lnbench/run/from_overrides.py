"""A run from Python, by what the command line takes."""

from collections.abc import Sequence
from pathlib import Path

from lnbench.config.compose import compose_config, to_plain
from lnbench.config.run import validate
from lnbench.core.commands import override
from lnbench.core.schema import ConfigError
from lnbench.records.record import Record


def run(*overrides: str, plugins: Sequence[str] = (), config_dir: str | Path | None = None) -> Record:
    """Does in this process what `python -m lnbench` does: tunes a model and leaves a record, or finds both done before.

    What a person reads on the terminal is printed here, too; `trainer.progress=false` leaves out the bars.

    Args:
        overrides: as on the command line, each a text: `"method=ln+prefix"`, `"task=sst2"`, `"seed=1"`. They are of one
            run: for a sweep, call this in a loop, or type the command with `-m`.
        plugins: names of modules outside lnbench whose methods and tasks the overrides may name; their code runs.
        config_dir: a folder laid out as `conf/`, with methods, tasks and models of one's own to choose from.

    Returns:
        The record of the finished run: scores, costs, sizes, versions and the whole configuration. `lnbench.load` takes
        its `folder`.

    Raises:
        ConfigError: an override is wrong, or this machine has not what it asks for.
        DataError: the data cannot be had or used.
        RunBusy: another process is doing the run.
        NewerError: a newer lnbench did the run, or has begun it.
        RunFailed: the run failed, now or earlier.
        RunInterrupted: Ctrl-C or SIGTERM came; the same call goes on from where the run stopped.
    """
    from lnbench.run import lifecycle

    config = validate(to_plain(compose_config(*_words(overrides, plugins, config_dir))))
    record = lifecycle.run(config)
    here = {**record.config, "runs_dir": str(config.runs_dir)}  # one that was found may have been moved there
    return record.model_copy(update={"config": here})


def _words(overrides: Sequence[str], plugins: Sequence[str], config_dir: str | Path | None) -> list[str]:
    """All that is asked for, as words of a command line."""
    for word in overrides:
        if not isinstance(word, str):
            raise ConfigError(f"{word!r}: is no override; each is a text of its own, such as 'method=ln', 'seed=1'")
    words = [*overrides, override("plugins", plugins)] if plugins else [*overrides]
    if config_dir is None:
        return words
    if not Path(config_dir).is_dir():
        raise ConfigError(f"config_dir = {str(config_dir)!r}: there is no such folder")
    return [*words, override("hydra.searchpath", [str(Path(config_dir).absolute())])]
