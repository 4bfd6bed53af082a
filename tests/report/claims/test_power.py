import numpy as np
import pytest
from scipy import stats

from lnbench.report.claims.nested import Cells, decisions, on_these_tasks
from lnbench.report.claims.power import MOST, POWER, chance, seeds_to_decide

ALONE = np.array([1.0])


def cells(mean: float, deviation: float, count: int, tasks: int = 1) -> Cells:
    return Cells(np.full(tasks, mean), np.full(tasks, deviation**2), np.full(tasks, float(count)))


@pytest.mark.parametrize(("mean", "count"), [(0.5, 30), (1.0, 12), (2.0, 6)])
def test_the_chance_of_a_difference_is_the_power_of_a_t_test(mean: float, count: int) -> None:
    """The power by the noncentral t distribution; it is exact where the chance takes a known standard error."""
    bound = stats.t.isf(0.025, count - 1)
    exact = stats.nct.sf(bound, count - 1, mean * np.sqrt(count)) + stats.nct.cdf(
        -bound, count - 1, mean * np.sqrt(count)
    )
    assert chance(cells(mean, 1.0, count), ALONE, 0.05, None) == pytest.approx(exact, abs=0.03)


@pytest.mark.parametrize("mean", [0.0, 0.4, 0.8])
def test_the_chance_of_a_decision_is_how_often_it_falls(mean: float) -> None:
    rng, draws = np.random.default_rng(0), 10_000
    values = [mean + deviation * rng.standard_normal((draws, 40)) for deviation in (1.0, 2.0)]
    often = (decisions(on_these_tasks(Cells.of(values)), 0.05, 1.0) != "not decided").mean()
    weights = np.array([0.5, 0.5])
    found = chance(Cells(np.full(2, mean), np.array([1.0, 4.0]), np.full(2, 40.0)), weights, 0.05, 1.0)
    assert found == pytest.approx(often, abs=0.02)


@pytest.mark.parametrize(("mean", "margin"), [(0.5, None), (0.0, 1.0), (0.02, 0.3), (0.9, 1.0)])
def test_the_number_is_the_least_that_has_the_power(mean: float, margin: float | None) -> None:
    more = seeds_to_decide(cells(mean, 1.0, 3), ALONE, 0.01, margin)
    assert more is not None
    assert chance(cells(mean, 1.0, 3 + more), ALONE, 0.01, margin) >= POWER
    assert more == 1 or chance(cells(mean, 1.0, 2 + more), ALONE, 0.01, margin) < POWER


def test_what_no_number_decides_has_none() -> None:
    assert seeds_to_decide(cells(0.0, 1.0, 3), ALONE, 0.05, None) is None
    assert seeds_to_decide(cells(0.001, 1.0, 3), ALONE, 0.05, None) is None
    few = seeds_to_decide(cells(0.05, 1.0, 3), ALONE, 0.05, None)
    assert few is not None
    assert few < MOST
