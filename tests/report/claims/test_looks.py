import numpy as np
import pytest

from lnbench.report.claims.looks import allocated, levels, looks, sizes
from lnbench.report.claims.nested import Cells


def cells(variances: list[float], counts: list[int]) -> Cells:
    return Cells(np.zeros(len(counts)), np.array(variances), np.array(counts, dtype=np.float64))


@pytest.mark.parametrize("most", range(3, 200))
def test_looks_grow_and_end_at_the_largest_number(most: int) -> None:
    found = sizes(most)
    assert (found[0], found[-1]) == (3, most)
    assert found == sorted(set(found))


def test_looks_become_rare() -> None:
    assert sizes(40) == [3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 16, 19, 22, 26, 31, 40]


def test_the_levels_of_all_looks_and_comparisons_add_up() -> None:
    assert 25 * sum(levels(0.05, 25, 40)) == pytest.approx(0.05)
    assert levels(0.05, 25, 40)[3] / levels(0.05, 25, 40)[0] == pytest.approx(np.sqrt(6 / 3))


def test_pairs_go_where_the_noise_is_and_where_they_are_cheap() -> None:
    """Neyman: in proportion to deviation / sqrt(time), that is 1 : 2 : 1 with equal times, 2 : 2 : 1 with others."""
    known = cells([1.0, 4.0, 1.0], [100, 100, 100])
    found = allocated(known, np.ones(3), 800, 1_000)
    assert found.tolist() == pytest.approx([200, 400, 200], abs=5)
    cheap = allocated(known, np.array([1.0, 4.0, 4.0]), 900, 1_000)
    assert cheap.tolist() == pytest.approx([360, 360, 180], abs=5)


def test_a_task_without_noise_gets_half_of_a_share() -> None:
    known = cells([0.0, 1.0], [100, 100])
    assert allocated(known, np.ones(2), 400, 1_000).tolist() == pytest.approx([100, 300], abs=3)
    assert allocated(known, np.ones(2), 800, 1_000).tolist() == pytest.approx([200, 600], abs=10)


def test_a_variance_of_few_seeds_is_trusted_little() -> None:
    few, many = (allocated(cells([0.1, 1.0], [n, n]), np.ones(2), 4 * n, 1_000) for n in (3, 100))
    assert few[0] / 3 > 1.1 * many[0] / 100


def test_no_task_gets_more_seeds_than_there_are_and_none_is_taken_back() -> None:
    known = cells([1.0, 100.0], [10, 3])
    assert allocated(known, np.ones(2), 24, 12).tolist() == [12, 12]
    assert allocated(known, np.ones(2), 14, 12).tolist() == [10, 4]
    assert allocated(cells([0.0, 0.0], [3, 3]), np.ones(2), 8, 12).tolist() == [4, 4]


def test_comparisons_side_by_side_are_as_each_alone() -> None:
    rng = np.random.default_rng(0)
    variances = rng.uniform(1, 9, (5, 3))
    together = Cells(np.zeros((5, 3)), variances, np.full((5, 3), 4.0))
    alone = [allocated(cells(list(own), [4, 4, 4]), np.ones(3), 30, 20).tolist() for own in variances]
    assert allocated(together, np.ones(3), 30, 20).tolist() == alone


def test_each_look_has_the_seeds_of_its_size() -> None:
    rule = looks(2, 16)
    counts, sums = next(rule), []
    while True:
        sums.append(int(counts.sum()))
        known = cells([1.0, 9.0], counts.tolist())
        try:
            counts = rule.send((known, np.ones(2)))
        except StopIteration:
            break
    assert sums == [2 * size for size in sizes(16)]
    assert counts.tolist() == [16, 16]


def test_too_few_seeds_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^most_seeds = 2"):
        sizes(2)
