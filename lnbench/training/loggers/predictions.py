"""The first test predictions of a run, as a table."""

import json
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from lnbench.records.files import PREDICTIONS
from lnbench.tasks.base import INPUT


def first_predictions(folder: Path, limit: int) -> tuple[list[str], list[list[Any]]]:
    """The columns and rows of the first `limit` test predictions of a run.

    Inputs become columns `input.COLUMN`, and lists and objects JSON. A value that a row lacks is None.
    """
    with (folder / PREDICTIONS).open(encoding="utf-8") as file:
        rows = [_flat(json.loads(line)) for line in islice(file, limit)]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    return columns, [[_cell(row.get(name)) for name in columns] for row in rows]


def as_markdown(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A table in Markdown."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(map(_plain, line))} |" for line in lines)


def _flat(prediction: dict[str, Any]) -> dict[str, Any]:
    """The input's columns beside the outputs. Predictions of an earlier version contain no input."""
    given = prediction.get(INPUT)
    if not isinstance(given, dict):
        return prediction
    outputs = {name: value for name, value in prediction.items() if name != INPUT}
    return {**{f"{INPUT}.{name}": value for name, value in given.items()}, **outputs}


def _cell(value: Any) -> Any:
    return value if value is None or isinstance(value, str | int | float) else json.dumps(value, ensure_ascii=False)


def _plain(value: Any) -> str:
    """A cell without the characters that end it."""
    return "" if value is None else " ".join(str(value).split()).replace("|", "\\|")
