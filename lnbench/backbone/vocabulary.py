"""Finds tokens that a tokenizer knows but its model does not embed. They are refused, or the embedding grows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from lnbench.core.seeding import seeded

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase


START = "decoder_start_token_id"
"""Attribute of an encoder-decoder's tokenizer, and name of the setting in its configuration."""


def start_of(tokenizer: PreTrainedTokenizerBase | None) -> int | None:
    """The token with which the decoder of an encoder-decoder starts; None for the tokenizer of another model.

    Such a model reads source and target separately; other models read one text.
    """
    start: int | None = getattr(tokenizer, START, None)
    return start


def embedded_tokens(config: PreTrainedConfig) -> int:
    """Number of tokens that a model embeds."""
    return int(config.get_text_config().vocab_size)


def known_tokens(tokenizer: PreTrainedTokenizerBase) -> int:
    """Number of rows that an embedding needs for all tokens that a tokenizer knows."""
    return max(tokenizer.get_vocab().values()) + 1


def unembedded(tokenizer: PreTrainedTokenizerBase, embedded: int, highest: int) -> str | None:
    """A message that says why a model cannot take token ids up to `highest`. None if it can.

    Tokens without a row in the embedding are harmless if they do not occur. Many pretrained tokenizers have some.

    Args:
        tokenizer: the tokenizer that made the ids.
        embedded: number of tokens that the model embeds.
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
    """Extends a model's embedding and output layer to `tokens` rows, if they have fewer.

    The new rows are the mean of the old ones. No random numbers are drawn, so any run makes the same rows. Methods that
    train the embedding also train the new rows. With other methods, all new tokens stay alike.
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
