import pytest

from lnbench.report.claims.looks import level_of_a_look, looks


def test_looks_grow_and_end_at_the_largest_number() -> None:
    assert looks(40) == [3, 4, 6, 8, 12, 16, 24, 32, 40]
    assert looks(3) == [3]
    assert looks(8) == [3, 4, 6, 8]


def test_the_levels_of_all_looks_and_comparisons_add_up() -> None:
    assert level_of_a_look(0.05, 25, 40) * 25 * len(looks(40)) == pytest.approx(0.05)


def test_too_few_seeds_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^most_seeds = 2"):
        looks(2)
