"""Does a run from Python, with the overrides of the command line."""

from collections.abc import Sequence
from pathlib import Path

from lnbench.config.compose import compose_config, to_plain
from lnbench.config.run import validate
from lnbench.core.commands import override
from lnbench.core.schema import ConfigError
from lnbench.records.record import Record


def run(*overrides: str, plugins: Sequence[str] = (), config_dir: str | Path | None = None) -> Record:
    """Does the same as `python -m lnbench`, in this process: tunes a model, or finds the record of the finished run.

    It prints the same output as on the terminal; `trainer.progress=false` turns the progress bars off.

    Args:
        overrides: overrides as on the command line, such as `"method=ln+prefix"`, `"task=sst2"`, `"seed=1"`. They
            describe one run: for a sweep, call this function in a loop, or use the command line with `-m`.
        plugins: names of modules outside lnbench with methods and tasks that the overrides may name; their code runs.
        config_dir: folder laid out like `conf/`, with further methods, tasks and models to choose from.

    Returns:
        The record of the finished run: scores, costs, sizes, versions and the whole configuration. `lnbench.load` takes
        its `folder`.

    Raises:
        ConfigError: an override is wrong, or this machine lacks something that it asks for.
        DataError: the data cannot be loaded or used.
        RunBusy: another process is doing the run.
        NewerError: a newer lnbench did the run, or has begun it.
        RunFailed: the run failed, now or earlier.
        RunInterrupted: Ctrl-C or SIGTERM came; the same call continues where the run stopped.
    """
    from lnbench.run import lifecycle

    config = validate(to_plain(compose_config(*_words(overrides, plugins, config_dir))))
    record = lifecycle.run(config)
    here = {**record.config, "runs_dir": str(config.runs_dir)}  # a record that was found may have been moved there
    return record.model_copy(update={"config": here})


def _words(overrides: Sequence[str], plugins: Sequence[str], config_dir: str | Path | None) -> list[str]:
    """The arguments of `run` as words of a command line."""
    for word in overrides:
        if not isinstance(word, str):
            raise ConfigError(f"{word!r}: is no override; each is a text of its own, such as 'method=ln', 'seed=1'")
    words = [*overrides, override("plugins", plugins)] if plugins else [*overrides]
    if config_dir is None:
        return words
    if not Path(config_dir).is_dir():
        raise ConfigError(f"config_dir = {str(config_dir)!r}: there is no such folder")
    return [*words, override("hydra.searchpath", [str(Path(config_dir).absolute())])]
