"""Tokens that a tokenizer knows and its model does not embed: refused where they are used, or given rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from lnbench.core.seeding import seeded

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase


def embedded_tokens(config: PreTrainedConfig) -> int:
    """How many tokens a model embeds."""
    return int(config.get_text_config().vocab_size)


def known_tokens(tokenizer: PreTrainedTokenizerBase) -> int:
    """How many rows an embedding needs for all tokens that a tokenizer knows."""
    return max(tokenizer.get_vocab().values()) + 1


def unembedded(tokenizer: PreTrainedTokenizerBase, embedded: int, highest: int) -> str | None:
    """Why a model cannot take token ids up to `highest`, in words; None if it can.

    Tokens without a row that do not occur are no reason: many a pretrained tokenizer has some.

    Args:
        tokenizer: that made the ids.
        embedded: how many tokens the model embeds.
        highest: the highest id that occurs.
    """
    highest = max(highest, tokenizer.pad_token_id or 0)
    if highest < embedded:
        return None
    return (
        f"has no row in its embedding for the token {tokenizer.convert_ids_to_tokens(highest)!r} (id {highest:,}), "
        f"which occurs: its tokenizer knows {known_tokens(tokenizer):,} tokens, and the model embeds {embedded:,}"
    )


def grow_embedding(backbone: PreTrainedModel, tokens: int) -> None:
    """Gives a model rows for so many tokens, in its embedding and its output layer, if it has fewer.

    The new rows are the mean of the old ones, so that nothing is drawn and any run makes the same
    ones again. They are trained like the other rows: by methods that train the embedding, and else
    not at all, so that all new tokens are then alike.
    """
    old = embedded_tokens(backbone.config)
    if tokens <= old:
        return
    with seeded(0, "rows that are overwritten"):
        backbone.resize_token_embeddings(tokens, mean_resizing=False)
    for layer in (backbone.get_input_embeddings(), backbone.get_output_embeddings()):
        if layer is not None:
            for values in layer.parameters():
                with torch.no_grad():
                    values[old:] = values[:old].mean(dim=0)
