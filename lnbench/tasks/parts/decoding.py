"""Losses and generated texts of a language model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import DynamicCache, EncoderDecoderCache
from transformers.modeling_outputs import CausalLMOutput

from lnbench.tasks.parts.beam_search import BeamSearch
from lnbench.tasks.tokens.examples import IGNORED


class NextTokenLogits(nn.Module):
    """A head without parameters, for a backbone that has its own. It returns the language model's logits."""

    def forward(self, output: CausalLMOutput, attention_mask: Tensor) -> Tensor:
        """
        Args:
            output: output of a language model.
            attention_mask: unused.

        Returns:
            (B, L, V), at each token the logits of the next one.
        """
        assert output.logits is not None
        return output.logits


def token_losses(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The cross entropy of every token with a label, given all tokens before it. No shape depends on values.

    Args:
        logits: (B, L, V), at each token the logits of the next one.
        labels: (B, L), `IGNORED` for tokens without a label.

    Returns:
        (B, L) fp32, at each token the loss of the next one in nats, 0 if that has no label; (B, L) whether it has.
    """
    following = functional.pad(labels[:, 1:], (0, 1), value=IGNORED)
    losses = functional.cross_entropy(
        logits.flatten(0, 1).float(), following.flatten(), ignore_index=IGNORED, reduction="none"
    )
    return losses.view_as(following), following != IGNORED


def row_losses(logits: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """The summed loss of each row's tokens with a label, `nll`, and their number, `tokens`, both (B,) fp32."""
    losses, counts = token_losses(logits, labels)
    return {"nll": losses.sum(dim=1), "tokens": counts.sum(dim=1, dtype=losses.dtype)}


def left_padded_prompts(batch: Mapping[str, Tensor], pad_id: int) -> tuple[Tensor, Tensor]:
    """The prompts of a batch, without targets, padded on the left as generation needs them.

    Args:
        batch: `input_ids`, `attention_mask` and `labels`, (B, L), padded on the right. A prompt is all tokens before
            the first one with a label.
        pad_id: id of the padding token.

    Returns:
        Token ids and attention mask, (B, longest prompt).
    """
    lengths = (batch["attention_mask"].bool() & (batch["labels"] == IGNORED)).sum(dim=1, keepdim=True)
    columns = torch.arange(int(lengths.max()), device=lengths.device)
    places = columns - (len(columns) - lengths)
    ids = batch["input_ids"].gather(1, places.clamp(min=0))
    return ids.masked_fill(places < 0, pad_id), (places >= 0).long()


def generate(model: Any, batch: Mapping[str, Tensor], search: BeamSearch) -> Tensor:
    """Continues the prompts of a batch, with a cache; an encoder-decoder reads them, and writes.

    Args:
        model: a language model of transformers, whose generation settings name the end and the padding token.
        batch: B rows, as for `left_padded_prompts`; of an encoder-decoder, `input_ids` and `attention_mask` of the
            sources, (B, S).
        search: settings of the beam search; T is its `max_new_tokens`.

    Returns:
        (B, T) token ids. After a shorter text, an end token and padding follow.
    """
    pad_id = model.generation_config.pad_token_id
    generated = []
    for start in range(0, len(batch["input_ids"]), search.batch_size):
        part = {name: rows[start : start + search.batch_size] for name, rows in batch.items()}
        options = search.options()
        if model.config.is_encoder_decoder:
            ids, mask, given = part["input_ids"], part["attention_mask"], 1
            options["past_key_values"] = EncoderDecoderCache(DynamicCache(), DynamicCache())  # of any depth
        else:
            ids, mask = left_padded_prompts(part, pad_id)
            given = ids.shape[1]
        whole = model.generate(input_ids=ids, attention_mask=mask, use_cache=True, **options)
        new = whole[:, given:]
        generated.append(functional.pad(new, (0, search.max_new_tokens - new.shape[1]), value=pad_id))
    return torch.cat(generated)
