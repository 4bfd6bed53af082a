"""Tells modules inside a transformer which tokens of the current text are padding."""

import inspect
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad


class SeenText:
    """The attention mask of the text that goes through a transformer without a head."""

    def __init__(self, body: nn.Module) -> None:
        """
        Args:
            body: the transformer. Its calls are watched from now on.
        """
        self._mask: Tensor | None = None
        self._length = 0
        body.register_forward_pre_hook(self._note, with_kwargs=True, prepend=True)  # before a prompt is added

    def __deepcopy__(self, memo: dict[int, Any]) -> "SeenText":
        """The copy of a model has seen no text yet."""
        copy = memo[id(self)] = object.__new__(SeenText)
        copy._mask, copy._length = None, 0
        return copy

    def mask(self) -> Tensor:
        """(B, cached tokens + L) bool, true for tokens that are not padding."""
        assert self._mask is not None, "the transformer has not been called"
        return self._mask

    def in_states(self, mask: Tensor, states: Tensor) -> Tensor:
        """The part of a mask that belongs to hidden states. Those of a prompt, which is no text, are masked.

        Args:
            mask: (B, cached tokens + L).
            states: (B, prompt + L, hidden size), or (B * (prompt + L), hidden size).

        Returns:
            (B, prompt + L).
        """
        now = mask[:, mask.shape[1] - self._length :]
        return pad(now, (states.shape[:-1].numel() // len(mask) - self._length, 0))

    def _note(self, body: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        inputs = named_inputs(body, args, kwargs)
        text = inputs["inputs_embeds"] if inputs.get("input_ids") is None else inputs["input_ids"]
        mask, cache = inputs.get("attention_mask"), inputs.get("past_key_values")
        if mask is None:
            mask = torch.ones(len(text), _cached_text(body, cache) + text.shape[1], device=text.device)
        if mask.ndim != 2:
            raise ValueError(f"the attention mask has the shape {tuple(mask.shape)}, not (batch, length)")
        self._mask, self._length = mask.bool(), text.shape[1]


def _cached_text(body: nn.Module, cache: Any) -> int:
    """Number of text tokens in a cache. The cache of a transformer with a prompt holds the prompt too."""
    cached = 0 if cache is None else int(cache.get_seq_length())
    prompt = getattr(body, "prompt", None)
    return cached if cached == 0 or prompt is None else cached - len(prompt.vectors)


def named_inputs(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a call of `module`, by name."""
    return {**dict(zip(inspect.signature(module.forward).parameters, args, strict=False)), **kwargs}
