"""Pairs of runs that differ in one thing."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import TYPE_CHECKING

from lnbench.records.record import WAITED
from lnbench.report.claims.claims import DIFFERENCES, EXACT, LESS_IS_BETTER, TIMES, Comparison, Side
from lnbench.report.claims.noise import Values, resolution_of, without_noise

if TYPE_CHECKING:
    import pandas as pd

SAME = ["task", "model", "setting", "seed"]
"""Columns that are equal for the two runs of a pair."""
METRIC = ["metric", "mode", "unit"]
"""Columns that describe the metric of a task; they are equal for the two runs of a pair, too."""
BESIDE = ["no_better", "total_seconds", "id"]
"""Columns that a pair has of both runs, besides their values."""


def runs_of(side: Side, runs: pd.DataFrame) -> pd.DataFrame:
    """The runs of one side of a comparison. Halves of the layers are resolved for each model.

    Args:
        side: method with its changed settings.
        runs: table from `lnbench.report.load.frame`.
    """
    depths = runs.groupby("model")["num_layers"].max()
    names: Mapping[object, str | None] = {
        model: side.variant(int(depth) or None) for model, depth in depths.to_dict().items()
    }
    return runs[runs["variant"] == runs["model"].map(names)]


def at_best_rate(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs at the learning rate with the best mean validation score, for each variant, task, model and setting.

    A rate with fewer seeds than another one is left out first, then a rate with a score that is not a number. Of equal
    rates, the last one by name is taken.
    """
    keys = ["variant", "task", "model", "setting"]
    worth = runs["validation_score"].where(runs["mode"] == "max", -runs["validation_score"])
    rated = runs.assign(worth=worth).groupby([*keys, "lr"], as_index=False)
    ranked = rated.agg(seeds=("seed", "nunique"), worth=("worth", "mean"))
    ranked["worth"] = ranked.groupby(keys)["worth"].transform(_comparable)
    best = ranked.sort_values(["seeds", "worth"], kind="stable").drop_duplicates(keys, keep="last")
    return runs.merge(best[[*keys, "lr"]], on=[*keys, "lr"])


def undisturbed(comparison: Comparison, runs: pd.DataFrame) -> pd.DataFrame:
    """The runs that can be compared: for times, those that other programs left the cores.

    Args:
        comparison: quantity to compare.
        runs: table from `lnbench.report.load.frame`.
    """
    return runs[runs["waited"] <= WAITED] if comparison.quantity in TIMES else runs


def pairs(comparison: Comparison, right: Side, runs: pd.DataFrame) -> pd.DataFrame:
    """Pairs of runs of the same task, model, setting and seed, one row each. For costs, the hardware is the same, too.

    Args:
        comparison: quantity to compare, and the left side.
        right: one of the comparison's right sides.
        runs: table from `at_best_rate`.

    Returns:
        The columns `task`, `model`, `setting`, `seed`, `metric`, `mode`, `unit`, `no_better` (whether either run is no
        better than its baseline), `seconds` (total time of both runs), `left` and `right` (the values), `id_left` and
        `id_right` (the runs), and `difference`. For scores and forgetting, the difference is left - right, for all
        other quantities log(left / (factor * right)).
        Differences of scores are comparable only within a unit.
    """
    import numpy as np

    quantity = comparison.quantity
    same = [*SAME, *METRIC] if quantity in DIFFERENCES | EXACT else [*SAME, *METRIC, "hardware"]
    needed = runs[list(dict.fromkeys([*same, "variant", "num_layers", "finished_at", quantity, *BESIDE]))]
    values = [
        runs_of(side, needed)
        .sort_values("finished_at")
        .drop_duplicates(same, keep="last")
        .assign(value=lambda own: own[quantity])[[*same, "value", *BESIDE]]
        for side in (comparison.left, right)
    ]
    merged: pd.DataFrame = values[0].merge(values[1], on=same, suffixes=("_left", "_right"))
    merged = merged.rename(columns={"value_left": "left", "value_right": "right"})
    merged = merged[np.isfinite(merged["left"]) & np.isfinite(merged["right"])]
    merged["no_better"] = merged.pop("no_better_left") | merged.pop("no_better_right")
    merged["seconds"] = merged.pop("total_seconds_left") + merged.pop("total_seconds_right")
    if quantity not in DIFFERENCES:
        merged = merged[(merged["left"] > 0) & (merged["right"] > 0)]
    return merged.assign(difference=paired_differences(comparison, merged["left"], merged["right"]))


def paired_differences(
    comparison: Comparison, left: pd.Series[float], right: pd.Series[float]
) -> pd.Series[float] | Values:
    """What is tested: differences of scores or of forgetting, or logarithms of ratios of other quantities.

    Args:
        comparison: quantity, and the factor of the right side.
        left: values of the left side.
        right: values of the right side.
    """
    import numpy as np

    return left - right if comparison.quantity in DIFFERENCES else np.log(left / (comparison.factor * right))


def sign_of_better(comparison: Comparison, found: pd.DataFrame) -> int:
    """1 if a positive difference means that the left side is better, else -1.

    Args:
        comparison: comparison of the pairs.
        found: pairs of one unit.
    """
    if comparison.quantity == "score":
        return -1 if (found["mode"] == "min").any() else 1
    return -1 if comparison.quantity in LESS_IS_BETTER else 1


def _comparable(worth: pd.Series[float]) -> pd.Series[float]:
    """The same numbers without rounding noise. NaN and infinite numbers become less than all others."""
    import numpy as np
    import pandas as pd

    known = worth[worth.abs() < inf]
    exact = without_noise(np.asarray(known, dtype=np.float64), resolution_of(known))
    return pd.Series(exact, index=known.index).reindex(worth.index, fill_value=-inf)
