"""Metrics of many test sets at once, which are made of the same rows, each with another number of copies.

All of them are functions of sums over rows. The sums for R test sets are a product of matrices, which takes a small
part of the time of R calls of a scorer. `Task.score_numbers` gives the same values for one test set.

In all functions, `counts` is (R, N): how often each of N rows occurs in each of R test sets, at least one row in each.
The scores are (R,). Answers (`said`) and references (`true`) are (N,).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lnbench.tasks.tokens import iob2

Values = NDArray[np.float64]
Places = NDArray[np.int64]
ROUNDING = 1e-13
"""Largest variance of equal numbers, as a share of their mean square."""


def ratio(numerators: Values, denominators: Values, counts: Values) -> Values:
    """The ratio of two sums over rows, each (N,) and not negative; 0 where the second is 0."""
    return _divided(counts @ numerators, counts @ denominators)


def macro_f1(said: Places, true: Places, labels: int, counts: Values) -> Values:
    """The mean F1 of the labels that occur in the test set, said or true; labels count from 0."""
    saids, trues, hits = _by_label(said, true, labels, counts)
    means: Values = _divided(2 * hits, saids + trues).sum(axis=1) / (saids + trues > 0).sum(axis=1)
    return means


def mcc(said: Places, true: Places, labels: int, counts: Values) -> Values:
    """Matthews' correlation coefficient, 0 if all answers or all references are equal; labels count from 0."""
    saids, trues, hits = _by_label(said, true, labels, counts)
    rows = counts.sum(axis=1)
    spread = (rows**2 - (saids**2).sum(axis=1)) * (rows**2 - (trues**2).sum(axis=1))
    return _divided(hits.sum(axis=1) * rows - (saids * trues).sum(axis=1), np.sqrt(spread))


def rmse(said: Values, true: Values, counts: Values) -> Values:
    """The root of the mean squared error."""
    return np.sqrt(_means((said - true) ** 2, counts))


def pearson(said: Values, true: Values, counts: Values) -> Values:
    """Pearson's correlation, 0 if all answers or all references are equal."""
    return _correlation(said - said.mean(), true - true.mean(), counts)


def spearman(said: Values, true: Values, counts: Values) -> Values:
    """Spearman's correlation, 0 if all answers or all references are equal."""
    return _correlation(_ranks(said, counts), _ranks(true, counts), counts)


def entities(
    said: Sequence[Sequence[int]], true: Sequence[Sequence[int]], labels: Sequence[str]
) -> tuple[Values, Values, Values]:
    """The numbers of right entities, of entities said, and of true ones in each row, (N,) each.

    Args:
        said: for each row, the places of its tags in `labels`.
        true: the same for the right tags.
        labels: tags in IOB2.

    Raises:
        ValueError: a row has not as many answers as references.
    """
    lengths = [len(row) for row in true]
    if [len(row) for row in said] != lengths:
        raise ValueError("a row has not as many answers as references")
    row = np.repeat(np.arange(len(lengths)), lengths)
    found, right = (np.array([tag for tags in side for tag in tags], dtype=np.int64) for side in (said, true))
    kinds = np.array([label[2:] for label in labels])
    ends, known = (_ends(tags, row, labels) for tags in (found, right))
    hits = (ends >= 0) & (ends == known) & (kinds[found] == kinds[right])
    same, saids, trues = (
        np.bincount(row[places], minlength=len(lengths)).astype(np.float64) for places in (hits, ends >= 0, known >= 0)
    )
    return same, saids, trues


def _ends(tags: Places, row: Places, labels: Sequence[str]) -> Places:
    """At the first word of each entity, the place after its last word; -1 at all other words.

    An I- that does not continue an entity of its type begins one, as in `lnbench.tasks.tokens.iob2.from_any`.
    """
    kind, outside, begins = (
        np.array(facts)[tags]
        for facts in (
            [label[2:] for label in labels],
            [label == iob2.OUTSIDE for label in labels],
            [label.startswith("B-") for label in labels],
        )
    )
    goes_on = np.zeros(len(tags), dtype=bool)
    goes_on[1:] = ~outside[1:] & ~begins[1:] & ~outside[:-1] & (kind[1:] == kind[:-1]) & (row[1:] == row[:-1])
    breaks, starts = np.append(np.flatnonzero(~goes_on), len(tags)), np.flatnonzero(~goes_on & ~outside)
    ends = np.full(len(tags), -1)
    ends[starts] = breaks[np.searchsorted(breaks, starts, side="right")]
    return ends


def _by_label(said: Places, true: Places, labels: int, counts: Values) -> tuple[Values, Values, Values]:
    """The numbers of answers, of references and of right answers with each label, (R, C) each."""
    each = np.eye(labels)
    return counts @ each[said], counts @ each[true], counts @ (each[true] * (said == true)[:, None])


def _correlation(one: Values, other: Values, counts: Values) -> Values:
    """Pearson's coefficient of two quantities of the rows, each (N,) or (R, N)."""
    first, second = _means(one, counts), _means(other, counts)
    spreads = _spread(one, first, counts) * _spread(other, second, counts)
    return _divided(_means(one * other, counts) - first * second, np.sqrt(spreads))


def _spread(values: Values, means: Values, counts: Values) -> Values:
    """The variance in each test set, exactly 0 if it is no more than a rounding error."""
    squares = _means(values**2, counts)
    spread = squares - means**2
    return np.where(spread > ROUNDING * squares, spread, 0.0)


def _means(values: Values, counts: Values) -> Values:
    sums = counts @ values if values.ndim == 1 else (counts * values).sum(axis=1)
    means: Values = sums / counts.sum(axis=1)
    return means


def _ranks(values: Values, counts: Values) -> Values:
    """The rank of each row in each test set, (R, N). Equal numbers share their mean rank."""
    _, place = np.unique(values, return_inverse=True)
    order = np.argsort(place, kind="stable")
    first = np.searchsorted(place[order], np.arange(place.max() + 1))
    of_value = np.add.reduceat(counts[:, order], first, axis=1)
    ranks: Values = (np.cumsum(of_value, axis=1) - (of_value - 1) / 2)[:, place]
    return ranks


def _divided(one: Values, other: Values) -> Values:
    """The quotient; 0 where the divisor is 0."""
    return np.divide(one, other, out=np.zeros_like(one), where=other > 0)
