import pytest

from scripts.simulate_decisions import LEVEL, misses, simulate


def test_without_a_difference_few_families_are_wrong_and_looking_often_spoils_more() -> None:
    found = simulate(0.0, worlds=200)
    assert found.wrong <= LEVEL + 0.03, "within chance of 200 worlds"
    assert found.uncorrected > 3 * LEVEL
    assert found.right > 0.95


@pytest.mark.parametrize("difference", [1.0, 2.0])
def test_a_difference_is_found_with_fewer_seeds_than_by_a_grid(difference: float) -> None:
    found = simulate(difference, worlds=50)
    assert found.wrong <= LEVEL + 0.05
    assert found.right > 0.95
    assert found.grid is not None
    assert found.seeds < found.grid


def test_intervals_of_few_seeds_miss_about_as_often_as_they_may() -> None:
    assert misses(3, LEVEL, draws=20_000) == pytest.approx(1.0, abs=0.25)
    assert misses(12, LEVEL, draws=20_000) == pytest.approx(1.0, abs=0.15)
