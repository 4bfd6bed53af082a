"""Does a run from Python, with the overrides of the command line."""

import contextlib
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser

from lnbench.config.compose import compose_config, sweep_of, to_plain
from lnbench.config.run import validate
from lnbench.core.commands import knowing
from lnbench.core.schema import ConfigError
from lnbench.records.record import Record

_ONE_RUN = threading.RLock()


def run(*overrides: str, plugins: Sequence[str] = (), config_dir: str | Path | None = None) -> Record:
    """Does the same as `python -m lnbench`, in this process: tunes a model, or finds the record of the finished run.

    It prints the same output as on the terminal; `trainer.progress=false` turns the progress bars off. Threads that
    call it take turns, because the random numbers of a process belong to one run at a time. Afterwards torch's random
    numbers and a Hydra of the calling program are what they were.

    Args:
        overrides: overrides as on the command line, such as `"method=ln+prefix"`, `"task=sst2"`, `"seed=1"`. They
            describe one run: for a sweep, call this function in a loop, or use the command line with `-m`. An
            experiment that is a sweep needs a value for each setting that it sweeps over.
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
        RunInterrupted: Ctrl-C or SIGTERM came; the same call continues where the run stopped. Ctrl-C before training
            is a KeyboardInterrupt as usual.
    """
    from lnbench.run import lifecycle

    with _ONE_RUN:
        words = _words(overrides, plugins, config_dir)
        config = validate(to_plain(compose_config(*words, *_chosen(words))))
        with _random_numbers_kept():
            record = lifecycle.run(config)
    here = {**record.config, "runs_dir": str(config.runs_dir)}  # a record that was found may have been moved there
    return record.model_copy(update={"config": here})


def _chosen(words: Sequence[str]) -> list[str]:
    """The overrides that an experiment adds to those of a run, where it has one value for a setting.

    Raises:
        ConfigError: the experiment has several, and none is given.
    """
    experiments = [word for word in words if word.lstrip("+").startswith("experiment=")]
    if not experiments:
        return []
    swept = sweep_of(*words)
    parser = OverridesParser.create()
    several = [name for name, values in swept.items() if parser.parse_override(f"{name}={values}").is_sweep_override()]
    if several:
        raise ConfigError(
            f"{experiments[-1]}: is a sweep over {', '.join(several)}, and this is one run; give a value for each, or "
            f"type python -m lnbench {' '.join(experiments)}"
        )
    return [f"{name}={values}" for name, values in swept.items()]


@contextlib.contextmanager
def _random_numbers_kept() -> Iterator[None]:
    """Gives back torch's random numbers as they were, if the program uses them already."""
    torch = sys.modules.get("torch")
    if torch is None:
        yield
        return
    with torch.random.fork_rng(range(torch.cuda.device_count()) if torch.cuda.is_initialized() else []):
        yield


def _words(overrides: Sequence[str], plugins: Sequence[str], config_dir: str | Path | None) -> list[str]:
    """The arguments of `run` as words of a command line."""
    for word in overrides:
        if not isinstance(word, str):
            raise ConfigError(f"{word!r}: is no override; each is a text of its own, such as 'method=ln', 'seed=1'")
    return [*overrides, *knowing(plugins, config_dir)]
