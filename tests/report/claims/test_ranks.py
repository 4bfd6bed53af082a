import numpy as np
import pandas as pd
import pytest

from lnbench.report.claims.ranks import ranks_of


def runs_of(scores: np.ndarray) -> pd.DataFrame:
    """Runs of one method, from scores of shape (tasks, seeds)."""
    places = [(f"task {task}", seed, score) for (task, seed), score in np.ndenumerate(scores)]
    return pd.DataFrame(places, columns=["task", "seed", "score"]).assign(model="m", setting="")


def told(means: list[float], spread: float, larger: bool = True, seeds: int = 5) -> list[str]:
    noise = np.random.default_rng(0).normal(0, spread, (len(means), 2, seeds))
    return [str(one) for one in ranks_of([runs_of(mean + own) for mean, own in zip(means, noise, strict=True)], larger)]


@pytest.mark.parametrize(
    ("means", "spread", "larger", "ranks"),
    [
        ([0.9, 0.7, 0.8], 0.001, True, ["1", "3", "2"]),
        ([0.9, 0.7, 0.8], 0.001, False, ["3", "1", "2"]),
        ([0.8, 0.5, 0.8], 0.01, True, ["1 to 2", "3", "1 to 2"]),
        ([0.80, 0.81, 0.82], 0.2, True, ["1 to 3"] * 3),
    ],
)
def test_a_rank_is_as_narrow_as_the_differences_are_sure(
    means: list[float], spread: float, larger: bool, ranks: list[str]
) -> None:
    assert told(means, spread, larger) == ranks


def test_equal_methods_rarely_get_different_ranks() -> None:
    """All ranks hold together with 95%: of 200 rankings of 4 equal methods, about 10 or fewer are narrower."""
    drawn = np.random.default_rng(1).normal(0, 0.02, (200, 4, 2, 5))
    narrow = sum(any(str(one) != "1 to 4" for one in ranks_of([*map(runs_of, own)], True)) for own in drawn)
    assert 1 <= narrow <= 14


def test_nothing_is_told_of_too_few_seeds() -> None:
    assert told([0.9, 0.1], 0.001, seeds=2) == []
