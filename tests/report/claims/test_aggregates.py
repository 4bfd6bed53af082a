"""Interquartile means and probabilities of improvement, against other implementations and by hand."""

import numpy as np
import pytest
from scipy import stats

from lnbench.report.claims.aggregates import RESAMPLES, Values, interquartile_mean, probability_of_improvement

ALONE = np.ones(1)


def drawn(*sizes: int, seed: int = 0) -> list[Values]:
    rng = np.random.default_rng(seed)
    return [rng.normal(task, 1.0, size) for task, size in enumerate(sizes)]


@pytest.mark.parametrize("sizes", [(4,), (8,), (6, 6), (10, 10, 10, 10)])
def test_it_is_the_trimmed_mean_where_a_quarter_of_the_scores_is_a_whole_number(sizes: tuple[int, ...]) -> None:
    scores = drawn(*sizes)
    assert interquartile_mean(scores).value == pytest.approx(stats.trim_mean(np.concatenate(scores), 0.25))


def test_of_three_scores_the_outer_ones_count_a_quarter() -> None:
    """The middle half of the weight is all of the middle score, and a quarter of each other one."""
    found = interquartile_mean([np.array([0.1, 0.9, 0.8])])
    assert found.value == pytest.approx((0.25 * 0.1 + 0.8 + 0.25 * 0.9) / 1.5)


def test_a_task_with_more_seeds_counts_no_more_than_another() -> None:
    few, many = np.array([0.0, 1.0, 2.0]), np.array([10.0, 11.0, 12.0])
    twice = interquartile_mean([few, np.repeat(many, 2)])
    assert twice.value == pytest.approx(interquartile_mean([few, many]).value)


def test_one_bad_seed_hardly_changes_it() -> None:
    scores = [np.full(5, 0.8), np.full(5, 0.8)]
    scores[0][2] = 0.0
    assert interquartile_mean(scores).value == pytest.approx(0.8)


def test_its_interval_is_that_of_seeds_drawn_anew_within_each_task() -> None:
    scores, rng = drawn(8, 8), np.random.default_rng(1)
    again = [stats.trim_mean(np.concatenate([rng.choice(one, len(one)) for one in scores]), 0.25) for _ in range(4_000)]
    found = interquartile_mean(scores)
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(again, [0.025, 0.975])), abs=0.08)
    assert found.low < found.value < found.high
    assert found == interquartile_mean(scores), "the same each time"


def test_equal_scores_have_an_interval_of_no_width() -> None:
    found = interquartile_mean([np.full(3, 0.5), np.full(3, 0.5)])
    assert (found.value, found.low, found.high) == pytest.approx((0.5, 0.5, 0.5))


def test_improvement_is_mann_and_whitneys_statistic_averaged_over_tasks() -> None:
    pairs = list(zip(drawn(5, 7), drawn(5, 6, seed=1), strict=True))
    shares = [stats.mannwhitneyu(left, right).statistic / left.size / right.size for left, right in pairs]
    found = probability_of_improvement(pairs, np.array([0.25, 0.75]))
    assert found.value == pytest.approx(0.25 * shares[0] + 0.75 * shares[1])


def test_ties_and_rounding_errors_count_one_half() -> None:
    left, right = np.array([0.5, 0.7, 0.9]), np.array([0.5, 0.7 + 1e-12, 0.1])
    found = probability_of_improvement([(left, right)], ALONE, 1e-9)
    assert found.value == pytest.approx((0.5 + 0 + 1 + 1 + 0.5 + 1 + 1 + 1 + 1) / 9)
    equal = probability_of_improvement([(left, left)], ALONE)
    assert equal.value == pytest.approx(0.5)


def test_sides_that_do_not_overlap_have_no_other_order() -> None:
    found = probability_of_improvement([(np.array([3.0, 4.0, 5.0]), np.array([0.0, 1.0, 2.0]))], ALONE)
    assert (found.value, found.low, found.high) == pytest.approx((1.0, 1.0, 1.0))


def test_its_interval_is_that_of_both_sides_drawn_anew() -> None:
    left, right = drawn(9)[0] + 0.7, drawn(9, seed=1)[0]
    rng, found = np.random.default_rng(2), probability_of_improvement([(left, right)], ALONE)
    again = [stats.mannwhitneyu(rng.choice(left, 9), rng.choice(right, 9)).statistic / 81 for _ in range(RESAMPLES)]
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(again, [0.025, 0.975])), abs=0.03)
    assert found == probability_of_improvement([(left, right)], ALONE), "the same each time"


def test_the_interval_of_improvement_holds_about_as_often_as_it_says_with_ten_seeds() -> None:
    """The true probability is 0.76 for normal scores whose means are one standard deviation apart."""
    rng, true, held = np.random.default_rng(3), stats.norm.cdf(1 / np.sqrt(2)), 0
    for _ in range(200):
        found = probability_of_improvement([(rng.normal(1, 1, 10), rng.normal(0, 1, 10))], ALONE)
        held += found.low <= true <= found.high
    assert 0.87 <= held / 200 <= 0.98
