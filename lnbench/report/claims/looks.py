"""A rule for looking at differences more than once."""

from lnbench.report.claims.nested import LEAST_SEEDS


def looks(most_seeds: int) -> list[int]:
    """The numbers of seeds at which the data are looked at: 3, 4, 6, 8, 12, 16, ..., and the largest number last.

    Raises:
        ValueError: `most_seeds` is less than `LEAST_SEEDS`.
    """
    if most_seeds < LEAST_SEEDS:
        raise ValueError(f"most_seeds = {most_seeds}: must be at least {LEAST_SEEDS}")
    powers = [number for power in range(most_seeds.bit_length()) for number in (3 * 2**power, 4 * 2**power)]
    return [*(number for number in powers if number < most_seeds), most_seeds]


def level_of_a_look(level: float, comparisons: int, most_seeds: int) -> float:
    """The error level of each decision for which all decisions of all looks hold together with 1 - `level`.

    Args:
        level: error level of the whole family, such as 0.05.
        comparisons: number of comparisons.
        most_seeds: largest number of seeds.
    """
    return level / comparisons / len(looks(most_seeds))
