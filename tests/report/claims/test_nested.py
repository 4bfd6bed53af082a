import numpy as np
import pytest
from scipy import stats

from lnbench.report.claims.nested import decisions, level_of_a_look, looks, on_tasks_like_these, on_these_tasks
from tests.report.claims.test_statistics import drawn


def test_two_tasks_of_fixed_effect_are_welchs_test() -> None:
    """The mean of x and y has the interval of Welch's test of x against -y, halved."""
    x, y = np.array(drawn(5)), 3 * np.array(drawn(10)[5:])
    found = on_these_tasks(np.array([x, y]), 0.01)
    welch = stats.ttest_ind(x, -y, equal_var=False)
    interval = welch.confidence_interval(0.99)
    assert (found.low, found.high) == pytest.approx((interval.low / 2, interval.high / 2))
    assert found.freedom == pytest.approx(welch.df)


def test_one_task_of_fixed_effect_is_a_t_test() -> None:
    found, interval = on_these_tasks(np.array([drawn(6)]), 0.05), stats.ttest_1samp(drawn(6), 0).confidence_interval()
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))


def test_tasks_like_these_are_a_t_test_of_their_means() -> None:
    values = np.array(drawn(12)).reshape(3, 4)
    interval = stats.ttest_1samp(values.mean(axis=1), 0).confidence_interval()
    found = on_tasks_like_these(values, 0.05)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))


def test_more_seeds_do_not_make_up_for_few_tasks() -> None:
    """Tasks that disagree decide nothing about other tasks, and much about themselves."""
    values = np.random.default_rng(0).normal(size=(3, 1_000)) + np.array([[1.0], [5.0], [0.5]])
    assert decisions(on_these_tasks(values, 0.05), 0.1) == "better"
    assert decisions(on_tasks_like_these(values, 0.05), 0.1) == "not decided"


@pytest.mark.parametrize(
    ("shift", "verdict"), [(0.0, "no difference that matters"), (0.5, "better"), (-0.5, "worse"), (0.08, "better")]
)
def test_a_verdict_is_read_off_the_interval(shift: float, verdict: str) -> None:
    values = np.array([[-0.1, 0.0, 0.1] * 10]) + shift
    assert decisions(on_these_tasks(values, 0.05), 0.1) == verdict


def test_an_interval_with_0_and_the_margin_in_it_decides_nothing() -> None:
    assert decisions(on_these_tasks(np.array([[-0.1, 0.0, 0.1]]), 0.05), 0.1) == "not decided"


def test_equal_differences_have_an_interval_without_width() -> None:
    found = on_these_tasks(np.full((2, 3), 0.25), 0.05)
    assert [float(found.low), float(found.high)] == [0.25, 0.25]


def test_looks_grow_and_end_at_the_largest_number() -> None:
    assert looks(40) == [3, 4, 6, 8, 12, 16, 24, 32, 40]
    assert looks(3) == [3]
    assert looks(8) == [3, 4, 6, 8]


def test_the_levels_of_all_looks_and_comparisons_add_up() -> None:
    assert level_of_a_look(0.05, 25, 40) * 25 * len(looks(40)) == pytest.approx(0.05)


def test_too_little_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^2 seeds of each task: must be at least 3"):
        on_these_tasks(np.zeros((3, 2)), 0.05)
    with pytest.raises(ValueError, match=r"^1 tasks: must be at least 2"):
        on_tasks_like_these(np.zeros((1, 5)), 0.05)
    with pytest.raises(ValueError, match=r"^level = 1.5"):
        on_these_tasks(np.zeros((1, 5)), 1.5)
    with pytest.raises(ValueError, match=r"^most_seeds = 2"):
        looks(2)
