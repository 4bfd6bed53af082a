from math import sqrt
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from lnbench.report.claims.statistics import LEAST_FOR_RANKS, compare, holm


def drawn(n: int, mean: float = 0.5, seed: int = 0) -> list[float]:
    return list(np.random.default_rng(seed).normal(mean, 1.0, n))


@pytest.mark.parametrize("values", [[0.3], [0.3, -0.2]])
def test_one_or_two_pairs_are_not_tested(values: list[float]) -> None:
    found = compare(values)
    assert (found.n, found.mean) == pytest.approx((len(values), np.mean(values)))
    assert (found.p, found.low, found.high, found.effect) == (None, None, None, None)


def test_few_pairs_take_the_t_test() -> None:
    found = compare([1.0, 2.0, 3.0, 6.0])  # mean 3, standard deviation sqrt(14 / 3), so t = 3 / sqrt(14 / 12)
    t = 3 / sqrt(14 / 12)
    assert found.p == pytest.approx(2 * stats.t.sf(t, df=3))
    half = stats.t.ppf(0.975, df=3) * sqrt(14 / 12)
    assert (found.low, found.high) == pytest.approx((3 - half, 3 + half))
    assert (found.test, found.effect_name) == ("paired t", "d_z")
    assert found.effect == pytest.approx(3 / sqrt(14 / 3))


@pytest.mark.parametrize(("n", "test"), [(LEAST_FOR_RANKS - 1, "paired t"), (LEAST_FOR_RANKS, "Wilcoxon")])
def test_the_number_of_pairs_decides_on_the_test(n: int, test: str) -> None:
    assert compare(drawn(n)).test == test


def test_the_signed_rank_test_is_exact() -> None:
    n = 14
    found = compare([float(place) for place in range(1, n + 1)])
    assert found.p == pytest.approx(2 / 2**n), "of 2^n signs only two are as extreme"
    assert found.effect == 1.0
    negative = compare([-float(place) for place in range(1, n + 1)])
    assert (negative.p, negative.effect) == pytest.approx((2 / 2**n, -1.0))


def test_the_rank_biserial_correlation_is_the_difference_of_the_shares_of_ranks() -> None:
    values = [-1.0, *map(float, range(2, 14))]  # 13 ranks that sum to 91, one of them negative: rank 1
    assert compare(values).effect == pytest.approx((90 - 1) / 91)


def test_ties_and_zeros_do_no_harm() -> None:
    found = compare([0.0] * 4 + [1.0] * 8 + [-1.0] * 2)
    assert found.effect == pytest.approx((8 - 2) / 10)
    assert found.p == pytest.approx(stats.wilcoxon([1.0] * 8 + [-1.0] * 2).pvalue)


RIGHT = [328, 225, 349, 321, 265, 360, 353, 321, 328, 349, 316, 308, 311, 314]
MORE = [-2, -2, -2, -2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3]
"""Right answers of 408 in 14 runs, and how many more there are in the other run of each pair."""


@pytest.mark.parametrize("kind", [np.float64, np.float32])
def test_differences_that_the_test_set_cannot_tell_apart_share_a_rank(kind: type[np.floating[Any]]) -> None:
    def share(right: int) -> float:
        return float(kind(right / 408))

    differences = [share(right + more) - share(right) for right, more in zip(RIGHT, MORE, strict=True)]
    found, exact = compare(differences, resolution=1e-6), stats.wilcoxon(MORE)
    assert found.p == pytest.approx(exact.pvalue, rel=1e-12)
    assert round(exact.pvalue, 4) == 0.0578
    assert found.effect == pytest.approx((found_rank_sum(1) - found_rank_sum(-1)) / sum(range(1, 15)))
    assert found.mean == pytest.approx(np.mean(MORE) / 408, rel=1e-4)


def found_rank_sum(sign: int) -> float:
    """Of MORE: eleven 2s share the ranks 1 to 11, three 3s the ranks 12 to 14."""
    return sum({2: 6.0, 3: 13.0}[abs(more)] for more in MORE if more * sign > 0)


@pytest.mark.parametrize("n", [5, 14])
def test_noise_around_one_value_is_no_spread(n: int) -> None:
    noise = np.random.default_rng(0).uniform(-1e-8, 1e-8, n)
    exact, noisy = compare([0.05] * n, resolution=1e-6), compare(list(0.05 + noise), resolution=1e-6)
    assert (noisy.p, noisy.effect) == (exact.p, exact.effect)
    nothing = compare(list(noise), resolution=1e-6)
    assert (nothing.mean, nothing.p) == (0.0, 1.0 if n >= LEAST_FOR_RANKS else None)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(-40, 40), min_size=3, max_size=20), st.integers(41, 5_000), st.randoms())
def test_noise_changes_neither_p_nor_effect(counts: list[int], rows: int, random: Random) -> None:
    exact = compare([count / rows for count in counts], resolution=1e-6)
    noisy = compare([count / rows + random.uniform(-6e-8, 6e-8) for count in counts], resolution=1e-6)
    for name in ("p", "effect"):
        value, other = getattr(exact, name), getattr(noisy, name)
        assert other == (None if value is None else pytest.approx(value, rel=1e-2, abs=1e-6))


@pytest.mark.parametrize("rows", [10, 41, 277, 408, 1_000])
def test_an_interval_does_not_depend_on_how_scores_were_rounded(rows: int) -> None:
    """Means of resamples that equal the mean are frequent here, and must count as equal."""
    counts = np.array([0] * 8 + [1, 2, 3, 5])
    exact, rounded = compare(list(counts / 64)), compare(list(counts / rows))
    assert exact.low is not None
    assert exact.high is not None
    assert rounded.low is not None
    assert rounded.high is not None
    assert (rows * rounded.low, rows * rounded.high) == pytest.approx((64 * exact.low, 64 * exact.high))


def test_the_bootstrap_interval_is_near_the_normal_one_for_many_pairs() -> None:
    values = drawn(400)
    found, error = compare(values), np.std(values, ddof=1) / sqrt(400)
    assert found.low == pytest.approx(np.mean(values) - 1.96 * error, abs=0.01)
    assert found.high == pytest.approx(np.mean(values) + 1.96 * error, abs=0.01)
    assert compare(values) == found, "the same pairs always give the same interval"


def test_equal_differences_are_not_tested_by_t_and_are_by_ranks() -> None:
    assert compare([0.1] * 5).p is None
    found = compare([0.1] * 14)
    assert (found.low, found.high) == pytest.approx((0.1, 0.1))
    assert found.p is not None
    assert found.p < 0.01


def test_no_difference_at_all_is_no_effect() -> None:
    found = compare([0.0] * 14)
    assert (found.p, found.effect, found.low, found.high) == (1.0, 0.0, 0.0, 0.0)


def test_holm_multiplies_the_smallest_most_and_keeps_the_order() -> None:
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]


def test_what_was_not_tested_does_not_count() -> None:
    assert holm([None, 0.02, None, 0.03]) == [None, pytest.approx(0.04), None, pytest.approx(0.04)]
    assert holm([None]) == [None]
    assert holm([]) == []
