"""Pairs of runs that differ in one thing."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import TYPE_CHECKING

from lnbench.report.claims.claims import EXACT, LESS_IS_BETTER, Comparison, Side
from lnbench.report.claims.statistics import without_noise
from lnbench.tasks.scores.metric import RESOLUTION

if TYPE_CHECKING:
    import pandas as pd

SAME = ["task", "model", "setting", "seed"]
"""What the two runs of a pair have in common."""
METRIC = ["metric", "mode", "unit"]
"""Of a task, and so of a pair."""


def runs_of(side: Side, runs: pd.DataFrame) -> pd.DataFrame:
    """The runs of one side of a comparison; the layers of a half are named as each model has them.

    Args:
        side: a method.
        runs: as `lnbench.report.load.frame` returns them.
    """
    depths = runs.groupby("model")["num_layers"].max()
    names: Mapping[object, str | None] = {
        model: side.variant(int(depth) or None) for model, depth in depths.to_dict().items()
    }
    return runs[runs["variant"] == runs["model"].map(names)]


def at_best_rate(runs: pd.DataFrame) -> pd.DataFrame:
    """For each variant, task, model and setting the runs at the learning rate that validated best on average.

    Of several rates, those with fewer seeds than another are left out first, then those whose score is not a number; of
    equals, the last by name is taken.
    """
    keys = ["variant", "task", "model", "setting"]
    worth = runs["validation_score"].where(runs["mode"] == "max", -runs["validation_score"])
    rated = runs.assign(worth=worth).groupby([*keys, "lr"], as_index=False)
    ranked = rated.agg(seeds=("seed", "nunique"), worth=("worth", "mean"))
    ranked["worth"] = ranked.groupby(keys)["worth"].transform(_comparable)
    best = ranked.sort_values(["seeds", "worth"], kind="stable").drop_duplicates(keys, keep="last")
    return runs.merge(best[[*keys, "lr"]], on=[*keys, "lr"])


def pairs(comparison: Comparison, right: Side, runs: pd.DataFrame) -> pd.DataFrame:
    """One row a pair of runs of the same task, model, setting and seed; of costs, also of the same hardware.

    Args:
        comparison: whose left side is meant, and what is compared.
        right: one of its right sides.
        runs: as `at_best_rate` returns them.

    Returns:
        The columns `task`, `model`, `setting`, `seed`, `metric`, `mode`, `unit`, `no_better` (whether either run is no
        better than its baseline), `left`, `right` (the values), and `difference`: left - right of scores,
        log(left / (factor * right)) of all else. Differences of scores are comparable within a unit only.
    """
    import numpy as np

    quantity = comparison.quantity
    scores = quantity == "score"
    same = [*SAME, *METRIC] if scores or quantity in EXACT else [*SAME, *METRIC, "hardware"]
    values = [
        runs_of(side, runs)
        .sort_values("finished_at")
        .drop_duplicates(same, keep="last")[[*same, quantity, "no_better"]]
        for side in (comparison.left, right)
    ]
    merged: pd.DataFrame = values[0].merge(values[1], on=same, suffixes=("_left", "_right"))
    merged = merged.rename(columns={f"{quantity}_left": "left", f"{quantity}_right": "right"})
    merged = merged[np.isfinite(merged["left"]) & np.isfinite(merged["right"])]
    merged["no_better"] = merged.pop("no_better_left") | merged.pop("no_better_right")
    if scores:
        return merged.assign(difference=merged["left"] - merged["right"])
    merged = merged[(merged["left"] > 0) & (merged["right"] > 0)]
    return merged.assign(difference=np.log(merged["left"] / (comparison.factor * merged["right"])))


def sign_of_better(comparison: Comparison, found: pd.DataFrame) -> int:
    """1 if a positive difference means that the left side is better, else -1.

    Args:
        comparison: what is compared.
        found: pairs of one unit.
    """
    if comparison.quantity == "score":
        return -1 if (found["mode"] == "min").any() else 1
    return -1 if comparison.quantity in LESS_IS_BETTER else 1


def _comparable(worth: pd.Series[float]) -> pd.Series[float]:
    """The same numbers without noise; what is none is less than all."""
    import numpy as np
    import pandas as pd

    known = worth[worth.abs() < inf]
    exact = without_noise(np.asarray(known, dtype=np.float64), resolution_of(known))
    return pd.Series(exact, index=known.index).reindex(worth.index, fill_value=-inf)


def resolution_of(*scores: pd.Series[float]) -> float:
    """Below which differences of scores are nothing."""
    return RESOLUTION * max((float(column.abs().max()) for column in scores if len(column)), default=0.0)
