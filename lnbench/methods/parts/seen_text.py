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
        self._length, self._prompt = 0, 0
        body.register_forward_pre_hook(self._note, with_kwargs=True, prepend=True)  # before a prompt is added

    def __deepcopy__(self, memo: dict[int, Any]) -> "SeenText":
        """The copy of a model has seen no text yet."""
        copy = memo[id(self)] = object.__new__(SeenText)
        copy._mask, copy._length, copy._prompt = None, 0, 0
        return copy

    def mask(self) -> Tensor:
        """(B, cached tokens + L) bool, true for tokens that are not padding."""
        assert self._mask is not None, "the transformer has not been called"
        return self._mask

    def is_in(self, states: Tensor) -> bool:
        """Whether states, of a shape as for `in_states`, belong to the text, in a model that caches nothing.

        Some maps of DeBERTa also read vectors of distances (1, D, hidden size), which all texts of a batch share.
        """
        rows, tokens = len(self.mask()), self._prompt + self._length
        return tuple(states.shape[:-1]) in ((rows, tokens), (rows * tokens,))

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
        prompt = getattr(body, "prompt", None)
        self._prompt = 0 if prompt is None else len(prompt.vectors)
        if mask is None:
            cached = 0 if cache is None else int(cache.get_seq_length())
            words = max(cached - self._prompt, 0)  # a cache holds the prompt too
            mask = torch.ones(len(text), words + text.shape[1], device=text.device)
        if mask.ndim != 2:
            raise ValueError(f"the attention mask has the shape {tuple(mask.shape)}, not (batch, length)")
        self._mask, self._length = mask.bool(), text.shape[1]


def named_inputs(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a call of `module`, by name."""
    return {**dict(zip(inspect.signature(module.forward).parameters, args, strict=False)), **kwargs}
