"""Trained vectors before the embedded text. They are added at a transformer's input and cut off at its output."""

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad
from transformers.modeling_outputs import BaseModelOutput

from lnbench.core.schema import ConfigError
from lnbench.methods.parts.seen_text import named_inputs


class PromptEmbedding(nn.Module):
    """A prompt of P vectors, each of the size of the model's word embeddings.

    The model's inputs and outputs are those of the text alone, so heads and losses need not know of the prompt. A cache
    holds the prompt like text, and decoding from a filled cache does not add it again.

    In a decoder the prompt stands directly before the text, after any padding on the left. So a window of attention,
    which counts padding, reaches as far back as in the text alone.
    """

    def __init__(self, vectors: Tensor, longest: int | None, decoder: bool = False, kept: bool = False) -> None:
        """
        Args:
            vectors: (P, embedding size), the initial values.
            longest: the most tokens that the model takes; None if it has no such limit.
            decoder: whether texts may be padded on the left.
            kept: whether the prompt stays in the output, for a decoder to attend to.
        """
        super().__init__()
        self.vectors = nn.Parameter(vectors)
        self.longest = longest
        self.decoder = decoder
        self.kept = kept
        self._prepended = False

    def insert_into(self, body: nn.Module) -> None:
        """Becomes the submodule `prompt` of a transformer without a head, and acts in every call of it."""
        body.add_module("prompt", self)
        body.register_forward_pre_hook(self._before, with_kwargs=True)
        body.register_forward_hook(self._after)

    def _before(self, body: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[()], dict[str, Any]]:
        inputs = named_inputs(body, args, kwargs)
        cache = inputs.get("past_key_values")
        self._prepended = cache is None or int(cache.get_seq_length()) == 0
        if self._prepended and inputs.get("inputs_embeds") is None:
            inputs["inputs_embeds"] = body.get_input_embeddings()(inputs.pop("input_ids"))
        mask = inputs.get("attention_mask")
        order = _order(mask, len(self.vectors)) if self.decoder and mask is not None else None
        longer = {name: self._lengthen(name, value, order) for name, value in inputs.items() if value is not None}
        return (), {**inputs, **longer}

    def _lengthen(self, name: str, value: Any, order: Tensor | None) -> Any:
        """One argument of the model, extended by the prompt before the text or before the cached text."""
        length = len(self.vectors)
        if name == "attention_mask":
            return _ordered(_pad(value, length, 1), order)
        if name == "position_ids":
            shifted = value + length
            first = torch.arange(length, device=value.device).expand(len(value), -1)
            return _ordered(torch.cat([first, shifted], dim=1), order) if self._prepended else shifted
        if name == "token_type_ids" and self._prepended:
            return _ordered(_pad(value, length, 0), order)
        if name == "inputs_embeds" and self._prepended:
            return _ordered(self._prepend(value), order)
        return value

    def _prepend(self, text: Tensor) -> Tensor:
        length, whole = len(self.vectors), len(self.vectors) + text.shape[1]
        if self.longest is not None and whole > self.longest:
            raise ConfigError(
                f"method.prompt.length = {length}: with a text of {text.shape[1]} tokens that makes {whole}, and the "
                f"model has {self.longest} positions; texts may have {self.longest - length} tokens"
            )
        return torch.cat([self.vectors.to(text.dtype).expand(len(text), -1, -1), text], dim=1)

    def _after(self, body: Any, _: tuple[()], output: BaseModelOutput) -> None:
        if not self._prepended or self.kept:
            return
        assert output.last_hidden_state is not None
        text = output.last_hidden_state[:, len(self.vectors) :]
        output.last_hidden_state = text
        if output.hidden_states is not None:
            output.hidden_states = tuple(states[:, len(self.vectors) :] for states in output.hidden_states)
        if getattr(output, "pooler_output", None) is not None:
            whole_pooler = not isinstance(body.pooler, nn.Linear)  # ALBERT's pooler is only its linear layer
            output.pooler_output = body.pooler(text) if whole_pooler else None


def show_prompt(decoder: nn.Module, length: int) -> None:
    """Lets a decoder attend to its encoder's output for a prompt of `length` vectors."""
    decoder.register_forward_pre_hook(partial(_lengthen_source, length), with_kwargs=True)


def _lengthen_source(
    length: int, _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    mask = kwargs.get("encoder_attention_mask")
    return args, kwargs if mask is None else {**kwargs, "encoder_attention_mask": _pad(mask, length, 1)}


def _pad(tensor: Tensor, length: int, value: int) -> Tensor:
    """(B, L) to (B, length + L)."""
    _require_rows(tensor)
    return pad(tensor, (length, 0), value=value)


def _order(mask: Tensor, length: int) -> Tensor:
    """What stands at each place of a row: padding on the left, then the prompt, then the text.

    Args:
        mask: (B, L), the attention mask of the text.
        length: of the prompt.

    Returns:
        (B, length + L) int64, places in the prompt followed by the row.
    """
    _require_rows(mask)
    padding = (mask.cumsum(1) == 0).sum(1, keepdim=True)
    places = torch.arange(length + mask.shape[1], device=mask.device)
    before_text = torch.where(places < padding, places + length, places - padding)
    return torch.where(places < padding + length, before_text, places)


def _ordered(tensor: Tensor, order: Tensor | None) -> Tensor:
    """A (B, length + L, ...) tensor in another order along its second dimension; None: as it is."""
    return tensor if order is None else tensor.take_along_dim(order if tensor.ndim == 2 else order[..., None], dim=1)


def _require_rows(mask: Tensor) -> None:
    if mask.ndim != 2:
        raise ValueError(f"a prompt takes masks of shape (batch, length), not {tuple(mask.shape)}: use a dynamic cache")
