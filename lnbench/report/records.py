"""Finished runs as a data frame, for one's own questions."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lnbench.core.schema import ConfigError
from lnbench.records.listing import FoundRun, find_runs
from lnbench.records.record import Record
from lnbench.records.setting import identity_of, leaves
from lnbench.report.load import COLUMNS, checked, frame, told

if TYPE_CHECKING:
    import pandas as pd

DEFAULT = "runs"
NAMED = ("seed", "task.name", "model.name")
"""Settings that have a column of another name."""
OF_ITS_OWN = ("task", "model")
"""Groups whose settings differ by nature: they are compared within one task, or one model."""

log = logging.getLogger(__name__)


def records(*folders: str | Path) -> pd.DataFrame:
    """The finished runs of one or several folders, one row a run.

    Runs that are not finished are left out; of what is damaged, or was done by a newer lnbench, a warning tells. A
    trial of a search is a run too: it has no scores on the test split.

    Args:
        folders: each the `runs_dir` of `python -m lnbench`; none: `runs`. A run that is in several of them has one row.

    Returns:
        The columns are:

        - `id`, `folder`, `method`, `variant` (the method with its changed settings), `task`, `model`, `seed`;
        - `setting`: all else in which a run differs from the others, in one text, and `lr`, its learning rates;
        - `validation/METRIC`, `test/METRIC`: every score, in the metric's own unit, NaN where a run has none;
        - `score`, `validation_score`: those by `metric`, which selected the checkpoint;
        - `baseline/SPLIT/METRIC`: what the best answer that ignores the input scores (the majority baseline, for
          classes), `baseline` (what it is called) and `no_better` (whether the run is no better than it);
        - `trained`, `trained_percent` (of the backbone), `inserted`, `head`, `backbone`: numbers of parameters;
        - `train_seconds`, `total_seconds`, `peak_memory_bytes` and all other costs of `record.json`;
        - `protocol`, `versions/PACKAGE`, `device`, `hardware`, `finished_at`;
        - each setting that has several values, under its dotted name, such as `trainer.lr` or `method.ln.terms`; those
          of tasks, of models and of parts of methods if they differ within one task, model or part. Lists are JSON
          texts, so that runs can be grouped by them.

    Raises:
        ConfigError: there is no such folder.
    """
    import pandas as pd

    found = {run.id: run for folder in folders or [DEFAULT] for run in _finished(Path(folder))}
    every = {run.folder: run.record for run in found.values() if run.record}
    runs, settings = frame(list(every.values())), [_settings(record.config) for record in every.values()]
    texts = pd.DataFrame([{name: json.dumps(value) for name, value in one.items()} for one in settings])
    varied = [str(name) for name in texts if _varies(texts[name], runs)]
    more = [
        {"folder": str(folder), **_more(record), **{name: _plain(one[name]) for name in varied if name in one}}
        for (folder, record), one in zip(every.items(), settings, strict=True)
    ]
    return pd.concat([runs, pd.DataFrame(more, index=runs.index)], axis=1)


def _finished(folder: Path) -> Iterator[FoundRun]:
    if not folder.is_dir():
        raise ConfigError(f"{str(folder)!r}: there is no such folder of runs")
    for found in map(checked, find_runs(folder)):
        if found.record:
            yield found
        elif found.state in ("damaged", "newer"):
            log.warning("%s", told(found))


def _more(record: Record) -> dict[str, Any]:
    """What the report has no column for."""
    groups = {"baseline": record.baseline, "": record.metrics}
    scores = {
        "/".join(filter(None, [group, split, metric])): score
        for group, splits in groups.items()
        for split, found in splits.items()
        for metric, score in found.items()
    }
    versions = {f"versions/{package}": version for package, version in sorted(record.versions.items())}
    own = {"protocol": record.protocol, "backbone": record.parameters.backbone}
    costs = {name: value for name, value in record.cost if name not in COLUMNS}
    return {**own, **scores, **costs, **versions}


def _settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """By dotted name, each setting that can change the numbers, with the value that a search has found for it."""
    usual, chosen = dict(leaves(identity_of(config))), dict(leaves(config))
    return {name: chosen.get(name, usual[name]) for name in usual if name not in (*NAMED, *COLUMNS)}


def _varies(texts: pd.Series[str], runs: pd.DataFrame) -> bool:
    """Whether a setting, given as text by run and missing where there is none, has several values."""
    group = str(texts.name).partition(".")[0]
    if group in OF_ITS_OWN:
        return bool((texts.groupby(runs[group]).nunique(dropna=False) > 1).any())
    return (texts.dropna() if group == "method" else texts).nunique(dropna=False) > 1


def _plain(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, list | Mapping) else value
