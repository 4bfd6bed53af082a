"""Frames of many rows. Their texts are in a file of no name, which the system maps into memory and may drop from it."""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

from lnbench.core.cache import scratch_file

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

ROWS = 10_000
"""Number of rows that are worked on at a time."""
MANY = 100_000
"""Number of rows above which the texts of chosen rows are in a file."""


Values = TypeVar("Values", "pd.DataFrame", "pd.Series")


class UnlikeError(ValueError):
    """Pieces of a table whose columns, or their types, differ."""


def pieces(values: Values) -> Iterator[Values]:
    """The values, `ROWS` rows at a time."""
    if len(values) <= ROWS:
        yield values
        return
    for start in range(0, len(values), ROWS):
        yield values.iloc[start : start + ROWS]


def chosen(frame: pd.DataFrame, wanted: NDArray[np.bool_]) -> pd.DataFrame:
    """The rows that are wanted.

    Args:
        frame: N rows.
        wanted: (N,) whether each row is wanted.
    """
    if len(frame) <= MANY:
        return frame[wanted]
    starts = range(0, len(frame), ROWS)
    try:
        return on_disk(part[wanted[start : start + ROWS]] for start, part in zip(starts, pieces(frame), strict=True))
    except OSError:  # no place for the file
        return frame[wanted]


def numbered(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame, with its rows numbered from 0."""
    import pandas as pd

    return frame.set_axis(pd.RangeIndex(len(frame)))


def on_disk(parts: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """The rows of all parts, one after another, with the columns of texts in a file and all others in memory.

    Args:
        parts: frames. No column name occurs twice in one.

    Raises:
        OSError: the file cannot be written.
        UnlikeError: there is no part, or parts differ in their columns or in the types of these.
    """
    import pandas as pd
    import pyarrow as pa

    parts = iter(parts)
    if (first := next(parts, None)) is None:
        raise UnlikeError("it has no rows")
    texts = [place for place, kind in enumerate(first.dtypes) if isinstance(kind, pd.StringDtype)]
    schema = pa.schema([(str(place), pa.large_string()) for place in texts])
    others = []
    with scratch_file() as file:
        with pa.ipc.new_file(file, schema) as writer:
            for part in _alike(first, parts):
                columns = [pa.array(part.iloc[:, place].array, pa.large_string()) for place in texts]
                writer.write_table(pa.table(columns, schema=schema))
                others.append(part.drop(columns=part.columns[texts]).copy())  # a view would keep the texts
        file.flush()
        table = pa.ipc.open_file(pa.py_buffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))).read_all()
    rest = pd.concat(others)
    found = {name: rest[name] for name in rest}
    for place in texts:
        column = first.dtypes.iloc[place].__from_arrow__(table.column(str(place)))
        found[first.columns[place]] = pd.Series(column, rest.index, copy=False)
    return pd.DataFrame(found, rest.index, copy=False)[list(first.columns)].set_axis(first.columns, axis=1)


def _alike(first: pd.DataFrame, others: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """All frames. Refuses one that differs from the first in its columns or in their types."""
    yield first
    for part in others:
        if not part.dtypes.equals(first.dtypes):
            raise UnlikeError("its rows have different types")
        yield part
