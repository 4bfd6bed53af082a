"""Frames and arrays of many rows, in files of no name. The system maps these into memory, and may drop their pages."""

from __future__ import annotations

import mmap
import weakref
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import IO, TYPE_CHECKING, Any, TypeVar

import numpy as np

from lnbench.core.cache import scratch_file
from lnbench.core.errors import DataError

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import ArrayLike, NDArray

ROWS = 10_000
"""Number of rows that are worked on at a time."""
MANY = 100_000
"""Number of rows above which chosen rows are in a file."""
IN_MEMORY = 2**20
"""Bytes of a growing array from which they are in a file."""


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


class Growing:
    """An array of one dimension that grows at its end. If it is large, it is in a file of no name."""

    def __init__(self, kind: type[np.generic]) -> None:
        self._bytes = bytearray()
        self._kind = kind
        self._file: IO[bytes] | None = None

    def add(self, values: NDArray[Any]) -> None:
        """Appends values.

        Raises:
            DataError: there is no room for them.
        """
        self._bytes += values.astype(self._kind, copy=False).tobytes()
        if len(self._bytes) >= IN_MEMORY:
            self._move()

    def array(self) -> NDArray[Any]:
        """All values. It cannot grow any more.

        Raises:
            DataError: there is no room for them.
        """
        if self._file is None:
            return np.frombuffer(self._bytes, self._kind)
        with self._file:
            self._move()
            return np.memmap(self._file, self._kind, "r+")

    def _move(self) -> None:
        """Moves the bytes in memory to the end of the file."""
        try:
            if self._file is None:
                self._file = scratch_file()
                weakref.finalize(self, self._file.close)
            self._file.write(self._bytes)
            self._file.flush()
        except OSError as error:
            raise DataError(
                f"data cannot be written ({error.strerror}); make room, or let $LNBENCH_CACHE name a folder with room"
            ) from error
        self._bytes.clear()


def grown(parts: Iterable[NDArray[Any]]) -> NDArray[Any]:
    """The values of all parts, one after another, in a file if they are many. There must be a part."""
    parts = iter(parts)
    first = next(parts)
    whole = Growing(first.dtype.type)
    for part in chain([first], parts):
        whole.add(part)
    return whole.array()


def slices(values: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """The values, `ROWS` entries at a time, and at least one slice."""
    for start in range(0, max(1, len(values)), ROWS):
        yield values[start : start + ROWS]


def in_order(values: NDArray[Any]) -> NDArray[Any]:
    """The values in ascending order, in a file if they are many."""
    copy = grown(slices(values))
    copy.sort()
    return copy


def converted(values: pd.Series, change: Callable[[pd.Series], ArrayLike], kind: type[np.generic]) -> pd.Series:
    """The column with a number or a bool for each value, in a file if they are many.

    Args:
        values: N values.
        change: gives the numbers of some values.
        kind: type of the numbers.
    """
    import pandas as pd

    numbers = grown(np.asarray(change(part), kind) for part in pieces(values))
    return pd.Series(numbers, values.index, name=values.name, copy=False)


def chosen(frame: pd.DataFrame, wanted: NDArray[np.bool_]) -> pd.DataFrame:
    """The rows that are wanted.

    Args:
        frame: N rows.
        wanted: (N,) whether each row is wanted.
    """
    if len(frame) <= MANY:
        return frame[wanted]
    import pandas as pd

    numbers = Growing(np.int64)

    def parts() -> Iterator[pd.DataFrame]:
        for start, part in zip(range(0, len(frame), ROWS), pieces(frame), strict=True):
            kept = part[wanted[start : start + ROWS]]
            numbers.add(kept.index.to_numpy())
            yield kept

    try:
        return on_disk(parts()).set_axis(pd.Index(numbers.array(), copy=False))
    except OSError:  # no place for the file
        return frame[wanted]


def at(frame: pd.DataFrame, places: list[int]) -> pd.DataFrame:
    """The rows at some places, which are in ascending order."""
    if len(places) <= MANY:
        return frame.iloc[places]
    wanted = np.zeros(len(frame), bool)
    wanted[places] = True
    return chosen(frame, wanted)


def on_disk(parts: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """The rows of all parts, one after another and numbered from 0.

    Texts, numbers and bools are in files. Columns of other types are in memory.

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
    places = _by_kind(first)
    numbers = {kind: Growing(kind.type) for kind in places}
    schema = pa.schema([(str(place), pa.large_string()) for place in texts])
    others, rows = [], 0
    with scratch_file() as file:
        with pa.ipc.new_file(file, schema) as writer:
            for part in _alike(first, parts):
                columns = [pa.array(part.iloc[:, place].array, pa.large_string()) for place in texts]
                writer.write_table(pa.table(columns, schema=schema))
                for kind, columns_of in numbers.items():
                    columns_of.add(part.iloc[:, places[kind]].to_numpy())
                rows += len(part)
                if rest := part.columns.delete([*texts, *chain(*places.values())]).tolist():
                    others.append(part[rest].copy())  # a view would keep the texts
        file.flush()
        table = pa.ipc.open_file(pa.py_buffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))).read_all()
    found: dict[Any, Any] = dict(pd.concat(others, ignore_index=True).items()) if others else {}
    for kind, some in places.items():
        found |= zip(first.columns[some], numbers[kind].array().reshape(rows, len(some)).T, strict=True)
    for place in texts:
        found[first.columns[place]] = first.dtypes.iloc[place].__from_arrow__(table.column(str(place)))
    whole = pd.DataFrame({name: found[name] for name in first.columns}, pd.RangeIndex(rows), copy=False)
    return whole.set_axis(first.columns, axis=1)


def _by_kind(frame: pd.DataFrame) -> dict[np.dtype[Any], list[int]]:
    """The places of the columns of each of numpy's types of numbers and bools.

    Columns of one type share a file, because a process may have only so many open.
    """
    places: defaultdict[np.dtype[Any], list[int]] = defaultdict(list)
    for place, kind in enumerate(frame.dtypes):
        if isinstance(kind, np.dtype) and kind.kind in "biuf":
            places[kind].append(place)
    return places


def _alike(first: pd.DataFrame, others: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """All frames. Refuses one that differs from the first in its columns or in their types."""
    yield first
    for part in others:
        if not part.dtypes.equals(first.dtypes):
            raise UnlikeError("its rows have different types")
        yield part
