"""Returns finished runs as a data frame, for users' own analyses."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lnbench.core.schema import ConfigError
from lnbench.records.listing import FoundRun, check_place, find_runs, first_of_each, holds_runs
from lnbench.records.record import Record
from lnbench.records.setting import identity_of, leaves
from lnbench.report.load import COLUMNS, checked, frame, told

if TYPE_CHECKING:
    import pandas as pd

DEFAULT = "runs"
NAMED = ("seed", "task.name", "model.name")
"""Settings with a column under another name."""
OF_ITS_OWN = ("task", "model")
"""Groups of settings that are compared only within one task or one model."""

log = logging.getLogger(__name__)


def records(*folders: str | Path) -> pd.DataFrame:
    """The finished runs of one or several folders, one row a run.

    Runs that are not finished are left out. A warning names runs that are damaged or were done by a newer lnbench. A
    trial of a search is a run, too; it has no test scores.

    Args:
        folders: folders of runs, each the `runs_dir` of `python -m lnbench` or a folder of packed runs such as
            `results`; the default is `runs`. A run in several of them has one row, by the first.

    Returns:
        The columns are:

        - `id`, `folder`, `method`, `variant` (the method with its changed settings), `task`, `model`, `seed`;
        - `setting`: all other differences between the runs, in one text, and `lr`, the learning rates;
        - `validation/METRIC`, `test/METRIC`: every score, in the metric's own unit, NaN where a run has none;
        - `score`, `validation_score`: the test and validation scores by `metric`, which selected the checkpoint;
        - `baseline/SPLIT/METRIC`: scores of the input-free baseline (for classes, the majority baseline), `baseline`
          (its name) and `no_better` (whether the run is no better than it);
        - `forgetting`: the rise of the loss on a general text in nats a token, NaN where it was not measured, and
          `retention/before`, `retention/after` and `retention/tokens`, if any run measured it;
        - `trained`, `trained_percent` (of the backbone), `inserted`, `head`, `backbone`: numbers of parameters;
        - `train_seconds`, `total_seconds`, `peak_memory_bytes` and all other costs of `record.json`;
        - `protocol`, `versions/PACKAGE`, `device`, `hardware`, `finished_at`;
        - each setting with several values, under its dotted name, such as `trainer.lr` or `method.ln.terms`. Settings
          of tasks, models and parts of methods have a column only if they differ within one task, model or part.
          Lists are JSON texts, by which runs can be grouped.

    Raises:
        ConfigError: a folder does not exist, or is that of one run.
    """
    import pandas as pd

    found = first_of_each(run for folder in folders or [DEFAULT] for run in _finished(Path(folder)))
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
    if not holds_runs(folder):
        raise ConfigError(f"{str(folder)!r}: there is no such folder of runs")
    check_place(folder)
    for found in map(checked, find_runs(folder)):
        if found.record:
            yield found
        elif found.state in ("damaged", "newer"):
            log.warning("%s", told(found))


def _more(record: Record) -> dict[str, Any]:
    """Further columns, which the report does not have."""
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
    retention = {f"retention/{name}": value for name, value in record.retention or ()}
    return {**own, **scores, **retention, **costs, **versions}


def _settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Settings that can change the numbers, by dotted name. A setting that was searched has its chosen value."""
    usual, chosen = dict(leaves(identity_of(config))), dict(leaves(config))
    return {name: chosen.get(name, usual[name]) for name in usual if name not in (*NAMED, *COLUMNS)}


def _varies(texts: pd.Series[str], runs: pd.DataFrame) -> bool:
    """Whether a setting has several values; `texts` holds them by run, and lacks the runs without the setting."""
    group = str(texts.name).partition(".")[0]
    if group in OF_ITS_OWN:
        return bool((texts.groupby(runs[group]).nunique(dropna=False) > 1).any())
    return (texts.dropna() if group == "method" else texts).nunique(dropna=False) > 1


def _plain(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, list | Mapping) else value
