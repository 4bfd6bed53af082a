"""Shows everything about one run."""

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.filesize import decimal
from rich.text import Text

from lnbench.config.compose import compose_config, to_plain
from lnbench.config.run import validate
from lnbench.core.config_folders import file_of
from lnbench.core.errors import DataError
from lnbench.core.escape import printable
from lnbench.core.schema import ConfigError
from lnbench.methods.base import SEPARATOR
from lnbench.records.baseline import note_on
from lnbench.records.listing import FoundRun
from lnbench.runs.display import new_console, print_json, show_values, title_of
from lnbench.runs.filters import as_text
from lnbench.runs.listed import Listed
from lnbench.runs.row import flat, name_in, row_of

SECTIONS = (
    "metrics",
    "retention",
    "baseline",
    "missing",
    "search",
    "parameters",
    "cost",
    "data",
    "hardware",
    "versions",
)
"""Sections of a record that are shown, in order."""


def find(runs: Sequence[Listed], prefix: str) -> FoundRun:
    """The run with an id that starts with `prefix`; of several copies of it, the first.

    Raises:
        ConfigError: there is no such run, or more than one.
    """
    found = [run for run in runs if run.row.id.startswith(prefix)]
    if not found:
        raise ConfigError(f"--show {prefix}: no id of a run starts with this")
    if len({run.row.id for run in found}) > 1:
        raise ConfigError(f"--show {prefix}: several runs have: {', '.join(str(run.folder) for run in found[:5])}")
    return found[0].run


def show_details(run: FoundRun) -> None:
    """Prints the state, settings, results, files and problems of a run."""
    console, row = new_console(), row_of(run)
    console.print(Text(f"{run.id}  {printable(title_of(row))}", "bold"), soft_wrap=True)
    about = {"state": row.state, "folder": row.folder, "when": row.when, "seconds": row.seconds}
    show_values(console, {name: value for name, value in about.items() if value is not None})
    _section(console, "settings that are not the defaults", _changed(run.config))
    if run.record:
        record = run.record.model_dump()
        for name in SECTIONS:
            _section(console, name, flat(record[name]) if record.get(name) else {})
            if name == "baseline" and (note := note_on(run.record)):
                console.print(printable(f"  the run is {note}"), soft_wrap=True)
    _section(console, "files", {str(path): decimal(size) for path, size in _files(run).items()})
    if run.problem:
        _section(console, run.state, {"problem": run.problem})
    if failure := run.failure:
        _section(console, "failure", {"cause": failure.cause, "message": failure.message, "host": failure.host})
        console.print(f"\n{printable(failure.traceback)}", soft_wrap=True)


def print_details(run: FoundRun) -> None:
    """Prints the same facts as one line of JSON."""
    print_json(
        row_of(run),
        config=run.config,
        changed=_changed(run.config),
        files=_files(run),
        record=run.record and run.record.model_dump(exclude={"config"}),
        failure=run.failure and run.failure.model_dump(exclude={"config"}),
    )


def _section(console: Console, name: str, values: dict[str, Any]) -> None:
    if values:
        console.print(Text(f"\n{name}", "bold"))
        show_values(console, values)


def _files(run: FoundRun) -> dict[str, int]:
    """Sizes of the run's files in bytes, by name."""
    files = sorted(path for path in run.folder.rglob("*") if path.is_file())
    return {path.relative_to(run.folder).as_posix(): path.stat().st_size for path in files}


def _changed(config: dict[str, Any]) -> dict[str, str]:
    """The settings that differ from the shipped method, task and model; empty if these cannot be composed."""
    try:
        usual = flat(validate(to_plain(compose_config(*_choices(config)))).to_dict())
    except (ConfigError, DataError):
        return {}
    return {
        name: f"{as_text(value)}  (default {as_text(usual[name]) if name in usual else 'none'})"
        for name, value in flat(config).items()
        if name not in usual or usual[name] != value
    }


def _choices(config: dict[str, Any]) -> list[str]:
    """The overrides that choose the run's method, task and model, as far as lnbench ships them."""
    method = config.get("method")
    names = {group: name_in(config, group) for group in ("task", "model")}
    names["method"] = SEPARATOR.join(method) if isinstance(method, dict) else ""
    return [
        f"{group}={name}"
        for group, name in names.items()
        if all(file_of(group, part) for part in name.split(SEPARATOR))
    ]
