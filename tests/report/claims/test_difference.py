from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from lnbench.report.claims.difference import difference_of, differences_of_scores
from lnbench.report.claims.noise import resolution_of
from lnbench.report.claims.pairs import SAME


def runs_of(seed: int) -> pd.DataFrame:
    """Runs of one method: some seeds are missing, and some are there twice."""
    draw = np.random.default_rng(seed)
    places = [(task, "m", setting, run) for task in ("b", "a", "c") for setting in ("y", "") for run in range(6)]
    chosen = draw.integers(len(places), size=30)
    return pd.DataFrame([places[one] for one in chosen], columns=SAME).assign(score=draw.normal(0.5, 0.1, 30))


def test_differences_are_those_of_pairs_of_equal_task_model_setting_and_seed() -> None:
    groups = [runs_of(seed) for seed in range(4)]
    which = list(combinations(range(4), 2))
    found = differences_of_scores(groups, which, factor=100.0)
    assert list(found) == which
    for left, right in which:
        merged = groups[left].merge(groups[right], on=SAME, suffixes=("", "_other"))
        merged["difference"] = 100 * (merged["score"] - merged["score_other"])
        wanted = difference_of(merged, 100 * resolution_of(merged["score"], merged["score_other"]))
        own = found[left, right]
        assert (own.counts, own.few, own.mean) == (wanted.counts, wanted.few, wanted.mean)
        assert own.here is not None
        assert wanted.here is not None
        assert own.here.interval(0.05) == wanted.here.interval(0.05)


def test_methods_without_pairs_have_no_difference() -> None:
    one = pd.DataFrame({"task": ["a"], "model": "m", "setting": "", "seed": [0], "score": [0.5]})
    found = differences_of_scores([one, one.assign(seed=1), one.assign(score=0.25)], [(0, 1), (0, 2)])
    assert {pair: difference.mean for pair, difference in found.items()} == {(0, 2): pytest.approx(0.25)}
