"""Averages of scores over tasks, which are possible only within one unit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lnbench.tasks.scores.metric import Metric, metric_of

if TYPE_CHECKING:
    import pandas as pd


def metric_in(runs: pd.DataFrame) -> Metric:
    """The metric of runs that share a unit, such as those of one task. If there are several, any of them."""
    return metric_of(runs["metric"].iloc[0], runs["mode"].iloc[0])


def titles_in(runs: pd.DataFrame) -> str:
    """The names of all metrics of some runs, for people."""
    return " and ".join(dict.fromkeys(metric_of(*one).title for one in zip(runs["metric"], runs["mode"], strict=True)))


def heading_of(runs: pd.DataFrame) -> str:
    """The names of the metrics of runs that share a unit, with the scale in which they are shown."""
    scale = metric_in(runs).scale
    return f"{titles_in(runs)} ({scale})" if scale else titles_in(runs)


def averaged(runs: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The runs of each unit that several tasks share, by the name of their average."""
    groups = [found for _, found in runs.groupby("unit", sort=False) if found["task"].nunique() > 1]
    return {f"average {heading_of(found)}": found for found in groups}
