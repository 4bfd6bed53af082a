"""Does a published run again, in a folder of its own, and compares the numbers."""

import contextlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from lnbench.backbone.source import content_of_model
from lnbench.config.run import RunConfig, changed_code, set_value, validate_saved
from lnbench.core.errors import DataError
from lnbench.core.schema import ConfigError
from lnbench.records.failure import RunFailed
from lnbench.records.identity import run_dir
from lnbench.records.lock import RunBusy
from lnbench.records.packed import PackedRun, history_of
from lnbench.records.packing import pack_run
from lnbench.records.record import RecordError
from lnbench.run.comparison import differences, first_differences, histories_near, is_near, unlike

PLACES = ("data_root", "model.source", "task.path", "task.validation_path", "task.test_path", "retention.path")
"""Settings that say where data and model are on this machine."""
Agreement = Literal["equal", "near", "different", "failed"]


@dataclass(frozen=True)
class Replay:
    """What a replay showed.

    Attributes:
        outcome: `equal` to the last bit; `near`: within the tolerance, on a machine or with versions that do not
            compute alike; `different`; `failed`: it could not be done.
        unlike: how machine and versions differ from those of the run.
        details: what differs, or why it failed.
    """

    outcome: Agreement
    unlike: list[str]
    details: list[str]


def replay_config(run: PackedRun, places: Mapping[str, str], out: Path) -> RunConfig:
    """The configuration that does a published run again. It keeps the choice of the search, and does not search again.

    Args:
        run: the published run.
        places: values of settings in `PLACES`, for this machine.
        out: folder of the replays.

    Raises:
        ConfigError: the configuration is not of this version, or a place is not allowed.
    """
    record = run.record
    raw: dict[str, Any] = {
        **record.config,
        "search": None,
        "runs_dir": str(out),
        "cache_dir": None,
        "logger": {},
        "rerun": False,
        "retry_failed": True,
        "model": dict(record.config["model"]),
        "task": dict(record.config["task"]),
        **({"retention": dict(record.config["retention"])} if "retention" in record.config else {}),
        "trainer": {
            **record.config["trainer"],
            "progress": False,
            "device": record.hardware.get("device", "auto"),
        },
    }
    for name, value in places.items():
        if name not in PLACES:
            raise ConfigError(f"{name} = {value!r}: must be one of {', '.join(PLACES)}")
        if name != "retention.path" or raw.get("retention", {}).get("path"):  # other runs read no such file
            set_value(raw, name, value)
    return validate_saved(raw)


def wrong_content(config: RunConfig) -> list[str]:
    """Data, models and code of one's own on this machine that differ from those of the run, one line each.

    Raises:
        DataError: a file of the user's own cannot be read.
    """
    lines = []
    model = content_of_model(config.model.model_copy(update={"content": None}))
    if model != config.model.content:
        found = f"has the content {model}" if model else "is not found"
        lines.append(f"model {config.model.name} at {config.model.source} {found}; recorded: {config.model.content}")
    here = config.task.found_content(config.data_root)
    for role, content in config.task.content.items():
        if here.get(role) != content:
            found = f"has the content {here[role]}" if role in here else "is not found"
            lines.append(f"task {config.task.name}, split {role}, {found}; recorded: {content}")
    asked = config.retention
    if asked.is_on and (text := asked.found_content(config.data_root)) != asked.content:
        found = f"has the content {text}" if text else "is not found"
        lines.append(f"retention: the general text {asked.path or asked.data} {found}; recorded: {asked.content}")
    for name, code in changed_code(config).items():
        lines.append(f"{name}: its code has the content {code}; recorded: {config.code[name]}")
    return lines


def replay(run: PackedRun, config: RunConfig) -> Replay:
    """Does a whole run again and compares all of its numbers. A replay that was done before is not repeated.

    Raises:
        RunInterrupted: a signal came; the same call continues.
    """
    from lnbench.run.lifecycle import run as do

    try:
        with _like(run):
            record = do(config)
        replayed = pack_run(record, run_dir(config))
    except (ConfigError, DataError, RunFailed, RunBusy, RecordError) as error:
        return Replay("failed", [], [str(error)])
    source = record.config["model"]["source"]
    # of the place of a folder, a public record has only the last name
    same_place = source == run.record.config["model"]["source"] and not Path(source).is_dir()
    other, details = unlike(run.record, replayed.record), differences(run, replayed, same_place)
    return Replay(_outcome(details, other, is_near(run, replayed)), other, details)


def replay_first(run: PackedRun, config: RunConfig, steps: int) -> Replay:
    """Does the first steps of a run again and compares its losses and validation scores up to there.

    Raises:
        RunInterrupted: a signal came.
    """
    from lnbench.records import environment
    from lnbench.run.execute import load_model_and_data
    from lnbench.training.device import choose_precision
    from lnbench.training.fit import fit_first_steps

    folder = run_dir(config) / f"first-{steps}"
    try:
        with _like(run):
            precision = choose_precision(config.trainer)
            model, data = load_model_and_data(config)
            fit_first_steps(config, model, data, folder, steps)
            here = environment.hardware() | {"device": run.record.hardware.get("device"), "precision": precision}
    except (ConfigError, DataError, OSError, ArithmeticError) as error:
        return Replay("failed", [], [str(error)])
    record = run.record.model_copy(update={"hardware": here, "versions": environment.versions()})
    other, sides = unlike(run.record, record), (run.history, history_of(folder))
    details = first_differences(*sides, steps)
    return Replay(_outcome(details, other, histories_near(*sides, steps)), other, details)


def _outcome(details: list[str], other: list[str], near: bool) -> Agreement:
    if not details:
        return "equal"
    return "near" if other and near else "different"


@contextlib.contextmanager
def _like(run: PackedRun) -> Any:
    """Sets the number of threads of the run, on which last digits depend, and hides the messages of runs."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(run.record.hardware.get("threads", before))
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        torch.set_num_threads(before)
