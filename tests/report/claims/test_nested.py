import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from lnbench.report.claims.nested import Cells, Estimate, decisions, on_tasks_like_these, on_these_tasks


def drawn(n: int, mean: float = 0.5, seed: int = 0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(mean, 1.0, n)


def interval(found: Estimate, level: float = 0.05) -> tuple[float, float]:
    low, high = found.interval(level)
    return float(low), float(high)


@pytest.mark.parametrize("seeds", [(5, 5), (3, 12)])
def test_two_tasks_of_fixed_effect_are_welchs_test(seeds: tuple[int, int]) -> None:
    """The mean of x and y has the interval of Welch's test of x against -y, halved."""
    x, y = drawn(seeds[0]), 3 * drawn(seeds[1], seed=1)
    found = on_these_tasks(Cells.of([x, y]))
    welch = stats.ttest_ind(x, -y, equal_var=False)
    ends = welch.confidence_interval(0.99)
    assert interval(found, 0.01) == pytest.approx((ends.low / 2, ends.high / 2))
    assert found.freedom == pytest.approx(welch.df)


def test_one_task_of_fixed_effect_is_a_t_test() -> None:
    ends = stats.ttest_1samp(drawn(6), 0).confidence_interval()
    assert interval(on_these_tasks(Cells.of([drawn(6)]))) == pytest.approx((ends.low, ends.high))


def test_tasks_with_different_numbers_of_seeds_count_the_same() -> None:
    """By hand: means 2 and 10; variances 1 and 4 of 3 and 4 seeds, so the mean's is (1/3 + 4/4) / 4 = 1/3."""
    many = np.array([-1.0, -1.0, 1.0, 1.0]) * np.sqrt(3.0) + 10
    found = on_these_tasks(Cells.of([np.array([1.0, 2.0, 3.0]), many]))
    assert float(found.mean) == pytest.approx(6.0)
    assert float(found.error) == pytest.approx(np.sqrt(1 / 3))
    assert float(found.freedom) == pytest.approx((1 / 3) ** 2 / ((1 / 12) ** 2 / 2 + (1 / 4) ** 2 / 3))


def test_weights_are_those_of_the_mean() -> None:
    x, y = drawn(5), drawn(7, mean=3.0, seed=1)
    found = on_these_tasks(Cells.of([x, y]), np.array([0.25, 0.75]))
    assert float(found.mean) == pytest.approx(0.25 * x.mean() + 0.75 * y.mean())
    assert float(found.error**2) == pytest.approx(x.var(ddof=1) / 80 + 9 * y.var(ddof=1) / 112)


def test_tasks_like_these_are_a_t_test_of_their_means() -> None:
    means = drawn(4)
    ends = stats.ttest_1samp(means, 0).confidence_interval()
    assert interval(on_tasks_like_these(means)) == pytest.approx((ends.low, ends.high))


def test_more_seeds_do_not_make_up_for_few_tasks() -> None:
    """Tasks that disagree decide nothing about other tasks, and much about themselves."""
    cells = Cells.of([drawn(1_000, mean=mean, seed=seed) for seed, mean in enumerate((1.0, 5.0, 0.5))])
    assert decisions(on_these_tasks(cells), 0.05, 0.1) == "better"
    assert decisions(on_tasks_like_these(cells.mean), 0.05, 0.1) == "not decided"


@pytest.mark.parametrize(
    ("shift", "verdict"), [(0.0, "no difference that matters"), (0.5, "better"), (-0.5, "worse"), (0.08, "better")]
)
def test_a_verdict_is_read_off_the_interval(shift: float, verdict: str) -> None:
    found = on_these_tasks(Cells.of([np.array([-0.1, 0.0, 0.1] * 10) + shift]))
    assert decisions(found, 0.05, 0.1) == verdict


def test_an_interval_with_0_and_the_margin_in_it_decides_nothing() -> None:
    assert decisions(on_these_tasks(Cells.of([np.array([-0.1, 0.0, 0.1])])), 0.05, 0.1) == "not decided"


def test_no_difference_that_matters_is_two_one_sided_tests() -> None:
    """The decision falls just where the larger of scipy's two one-sided p-values is the level."""
    values = drawn(8, mean=0.1)
    found = on_these_tasks(Cells.of([values]))
    margin = 1.0
    greater = stats.ttest_1samp(values, -margin, alternative="greater").pvalue
    p = max(greater, stats.ttest_1samp(values, margin, alternative="less").pvalue)
    assert decisions(found, 1.001 * p, margin) == "no difference that matters"
    assert decisions(found, 0.999 * p, margin) != "no difference that matters"


def test_without_a_margin_a_small_difference_is_not_nothing() -> None:
    found = on_these_tasks(Cells.of([np.array([-0.1, 0.0, 0.1] * 10)]))
    assert decisions(found, 0.05, None) == "not decided"


@pytest.mark.parametrize(("truth", "bound"), [(0.0, 0.1), (1.0, 0.1), (0.5, 0.05), (-2.0, 0.1)])
def test_any_decision_is_wrong_at_most_as_often_as_its_level(truth: float, bound: float) -> None:
    """A margin of 1: from there on a difference matters. Below it, better is right and worse is wrong."""
    rng = np.random.default_rng(0)
    deviations, sizes, draws = (1.0, 2.0), (4, 7), 20_000
    parts = zip(deviations, sizes, strict=True)
    values = [truth + one * rng.standard_normal((draws, seeds)) for one, seeds in parts]
    found = decisions(on_these_tasks(Cells.of(values)), 0.1, 1.0)
    wrong = {
        0.0: ("better", "worse"),
        0.5: ("worse",),
        1.0: ("no difference that matters", "worse"),
        -2.0: ("no difference that matters", "better"),
    }[truth]
    assert np.isin(found, wrong).mean() <= bound * 1.15


def test_too_little_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^2 seeds of each task: must be at least 3"):
        Cells.of([np.zeros(3), np.zeros(2)])
    with pytest.raises(ValueError, match=r"^1 tasks: must be at least 2"):
        on_tasks_like_these(np.zeros(1))
    with pytest.raises(ValueError, match=r"^level = 1.5"):
        on_these_tasks(Cells.of([drawn(5)])).interval(1.5)
