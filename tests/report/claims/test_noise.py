from random import Random

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lnbench.report.claims.difference import difference_of
from lnbench.report.claims.noise import without_noise

RIGHT = [328, 225, 349, 321, 265, 360, 353, 321, 328, 349, 316, 308, 311, 314]
MORE = [-2, -2, -2, -2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3]
"""Right answers of 408 in 14 runs, and how many more there are in the other run of each pair."""


@pytest.mark.parametrize("kind", [np.float64, np.float32])
def test_differences_that_the_test_set_cannot_tell_apart_are_equal(kind: type[np.floating]) -> None:
    def share(right: int) -> float:
        return float(kind(right / 408))

    differences = [share(right + more) - share(right) for right, more in zip(RIGHT, MORE, strict=True)]
    found = without_noise(np.array(differences), resolution=1e-6)
    assert found == pytest.approx(np.array(MORE) / 408, rel=1e-4)
    sizes = {
        abs(more): {abs(value) for value, one in zip(found, MORE, strict=True) if abs(one) == abs(more)}
        for more in MORE
    }
    assert [len(equal) for equal in sizes.values()] == [1, 1]


def test_noise_around_one_value_is_no_spread_and_around_0_is_0() -> None:
    noise = np.random.default_rng(0).uniform(-1e-8, 1e-8, 14)
    assert np.ptp(without_noise(0.05 + noise, 1e-6)) == 0
    assert not without_noise(noise, 1e-6).any()
    assert np.ptp(without_noise(0.05 + noise, 0.0)) > 0


@pytest.mark.parametrize("kind", [np.float64, np.float32])
def test_tasks_whose_means_only_rounding_tells_apart_say_nothing_of_other_tasks(
    kind: type[np.floating],
) -> None:
    """Else the interval has no width: it seems sure of what two tasks, equal by chance, cannot tell."""
    rows = [
        {"task": task, "model": "tiny", "setting": "", "difference": float(kind((300 + more) / 408) - kind(300 / 408))}
        for task, own in {"one": [28, 18, 34, 10, 16], "two": [20, 22, 20, 22, 22]}.items()
        for more in own
    ]
    found = difference_of(pd.DataFrame(rows), resolution=1e-6)
    assert found.here is not None
    assert found.elsewhere is None


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(-40, 40), min_size=3, max_size=20), st.integers(41, 5_000), st.randoms())
def test_noise_changes_no_order_and_no_tie(counts: list[int], rows: int, random: Random) -> None:
    noisy = without_noise(np.array([count / rows + random.uniform(-6e-8, 6e-8) for count in counts]), 1e-6)
    assert noisy == pytest.approx(np.array(counts) / rows, abs=1e-7)
    for value, count in zip(noisy, counts, strict=True):
        assert [value == other for other in noisy] == [count == other for other in counts]
