"""Cuts a running text into windows of tokens, for a language model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lnbench.core.schema import ConfigError
from lnbench.tasks.tokens.prompts import around

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True, eq=False)
class Windows:
    """Pieces of a text that follow each other and do not overlap.

    Attributes:
        ids: token ids of each, (L,).
        special: number of special tokens at the start of each.
    """

    ids: list[NDArray[np.int64]]
    special: int

    @property
    def predicted(self) -> int:
        """Number of tokens that have a loss: all of the text, without the first of a window that starts with it."""
        return sum(len(window) - max(1, self.special) for window in self.ids)

    @property
    def highest_token(self) -> int:
        """The highest token id of all windows."""
        return max(int(window.max()) for window in self.ids)


def in_windows(tokenizer: PreTrainedTokenizerBase, text: str, tokens: int, length: int) -> Windows:
    """The first tokens of a text, in windows.

    Each window begins with the special tokens that the tokenizer puts before a text, and none ends with one. A last
    window without a token to predict is left out.

    Args:
        tokenizer: tokenizer of a decoder.
        text: the text.
        tokens: most tokens of the text.
        length: tokens of a window, special tokens included. The last window may be shorter.

    Raises:
        ConfigError: the windows have no room for text, or the text has no token to predict.
    """
    opening, _ = around(tokenizer)
    room = length - len(opening)
    if room < 1:
        raise ConfigError(f"retention.window = {length}: must be more than the {len(opening)} special tokens in it")
    ids = tokenizer(text, add_special_tokens=False, return_attention_mask=False, verbose=False)["input_ids"][:tokens]
    cut = [np.array([*opening, *ids[start : start + room]], np.int64) for start in range(0, len(ids), room)]
    found = [window for window in cut if len(window) > max(1, len(opening))]
    if not found:
        raise ConfigError(f"retention.tokens = {tokens}: leaves no token of the text to predict; it needs more text")
    return Windows(found, len(opening))
