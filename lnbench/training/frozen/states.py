"""Hidden states of every row of a split."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, from_numpy

from lnbench.tasks.tokens.examples import Examples


class FrozenStates:
    """One vector for each token of each row. The rows lie end to end, without padding, on the CPU."""

    def __init__(self, examples: Examples, state: Tensor) -> None:
        """
        Args:
            examples: N rows with T tokens, for whose states there is room.
            state: state of any token, (hidden size,); gives size and dtype.
        """
        self.examples = examples
        self._states = torch.zeros(len(examples.tokens) + 1, len(state), dtype=state.dtype)
        """States of the T tokens; the last entry is the state of padding."""

    def put(self, rows: NDArray[np.int64], states: Tensor) -> None:
        """Stores the states of some rows.

        Args:
            rows: (B,) row numbers.
            states: (B, L, hidden size), padded as `Examples.batch` pads the rows.
        """
        self._states[self._places(rows)] = states.cpu()
        self._states[-1] = 0

    def batch(self, rows: NDArray[np.int64]) -> Tensor:
        """The states of some rows, (B, L, hidden size), padded with zeros as `Examples.batch` pads the rows."""
        return self._states[self._places(rows)]

    def _places(self, rows: NDArray[np.int64]) -> Tensor:
        """Positions of the rows' tokens in the stored states, (B, L)."""
        lengths = self.examples.lengths[rows][:, None]
        columns = np.arange(lengths.max())
        return from_numpy(np.where(columns < lengths, self.examples.offsets[rows][:, None] + columns, -1))


def size_in_gib(examples: Examples, state: Tensor) -> float:
    """Memory for the states of all tokens, each as large as `state`."""
    return len(examples.tokens) * state.nbytes / 2**30
