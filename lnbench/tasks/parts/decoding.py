"""What a language model is asked: how likely targets are, and how it would go on from prompts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.modeling_outputs import CausalLMOutput

from lnbench.tasks.parts.beam_search import BeamSearch
from lnbench.tasks.tokens.examples import IGNORED


class NextTokenLogits(nn.Module):
    """The head of a task whose backbone has one: passes the language model's logits on, and has no parameters."""

    def forward(self, output: CausalLMOutput, attention_mask: Tensor) -> Tensor:
        """
        Args:
            output: of a language model.
            attention_mask: unused.

        Returns:
            (B, L, V), at each token the logits of the next one.
        """
        assert output.logits is not None
        return output.logits


def token_losses(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The cross entropy of every token that counts, given all before it; no shape depends on values.

    Args:
        logits: (B, L, V), at each token those of the next one.
        labels: (B, L), `IGNORED` where a token does not count.

    Returns:
        (B, L) losses in nats, fp32, of the token after each, 0 where it does not count, and (B, L) whether it does.
    """
    following = functional.pad(labels[:, 1:], (0, 1), value=IGNORED)
    losses = functional.cross_entropy(
        logits.flatten(0, 1).float(), following.flatten(), ignore_index=IGNORED, reduction="none"
    )
    return losses.view_as(following), following != IGNORED


def row_losses(logits: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """Of each row the summed loss of its tokens that count, `nll`, and their number, `tokens`, both (B,) fp32."""
    losses, counts = token_losses(logits, labels)
    return {"nll": losses.sum(dim=1), "tokens": counts.sum(dim=1, dtype=losses.dtype)}


def left_padded_prompts(batch: Mapping[str, Tensor], pad_id: int) -> tuple[Tensor, Tensor]:
    """The prompts of a batch, without targets, as generation needs them: ending side by side.

    Args:
        batch: `input_ids`, `attention_mask` and `labels`, (B, L), padded on the right; a prompt is
            what comes before the first token with a label.
        pad_id: fills up on the left.

    Returns:
        Token ids and attention mask, (B, longest prompt).
    """
    lengths = (batch["attention_mask"].bool() & (batch["labels"] == IGNORED)).sum(dim=1, keepdim=True)
    columns = torch.arange(int(lengths.max()), device=lengths.device)
    places = columns - (len(columns) - lengths)
    ids = batch["input_ids"].gather(1, places.clamp(min=0))
    return ids.masked_fill(places < 0, pad_id), (places >= 0).long()


def generate(model: Any, batch: Mapping[str, Tensor], search: BeamSearch) -> Tensor:
    """Continues the prompts of a batch, with a cache.

    Args:
        model: a language model of transformers, whose generation settings name the end and the padding token.
        batch: B rows, as for `left_padded_prompts`.
        search: how; T is its `max_new_tokens`.

    Returns:
        (B, T) token ids; a shorter text is followed by an end token and padding.
    """
    pad_id = model.generation_config.pad_token_id
    generated = []
    for start in range(0, len(batch["input_ids"]), search.batch_size):
        part = {name: rows[start : start + search.batch_size] for name, rows in batch.items()}
        ids, mask = left_padded_prompts(part, pad_id)
        whole = model.generate(input_ids=ids, attention_mask=mask, use_cache=True, **search.options())
        new = whole[:, ids.shape[1] :]
        generated.append(functional.pad(new, (0, search.max_new_tokens - new.shape[1]), value=pad_id))
    return torch.cat(generated)
