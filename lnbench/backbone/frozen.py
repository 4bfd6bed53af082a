"""The lower part of a backbone that training does not change."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from lnbench.backbone.backbone import blocks_of

FROZEN_STATES = "frozen_states"
"""Name of the model argument that carries the frozen part's output, so that it is not computed again."""


class FrozenPart:
    """The embeddings and all blocks below the lowest one that training changes.

    Its output, the hidden states of its highest block, depends only on the text, unless dropout is active in it.
    """

    def __init__(self, model: PreTrainedModel, sample: Mapping[str, Tensor]) -> None:
        """
        Args:
            model: the model with the method's parts attached.
            sample: inputs of the model, used to find the lowest block whose output has a gradient.
        """
        self.model = model
        blocks = blocks_of(model)
        outputs = _outputs(model, blocks, sample)
        changed = [number for number, output in outputs if _states_in(output).requires_grad]
        count = min(changed, default=len(blocks))
        self.blocks, self.others = blocks[:count], blocks[count:]
        self._in_tuple = isinstance(outputs[0][1], tuple)
        self._given: Tensor | None = None

    def stop_dropout(self) -> None:
        """Puts the part into evaluation mode. The blocks above it stay in training mode."""
        self.model.eval()
        for block in self.others:
            block.train()

    @torch.no_grad()
    def states(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """The part's output, (B, L, hidden size), computed without the rest of the model."""
        found: list[Any] = []
        with ExitStack() as hooks:
            for block in self.others[:1]:
                hooks.callback(block.register_forward_pre_hook(_stop).remove)
            hooks.callback(self.blocks[-1].register_forward_hook(lambda *call: found.append(call[-1])).remove)
            with suppress(_Reached):
                self.model(**inputs)
        return _states_in(found[-1])

    def is_random(self, inputs: Mapping[str, Tensor]) -> bool:
        """Whether computing the output draws random numbers."""
        before = _generator_states()
        self.states(inputs)
        return any(not torch.equal(*pair) for pair in zip(before, _generator_states(), strict=True))

    @contextmanager
    def spared(self) -> Iterator[None]:
        """Inside the context, a call of the model with `frozen_states` uses them as the part's output."""
        for block in self.blocks:
            block.forward = partial(self._forward, block.forward)
        hook = self.model.register_forward_pre_hook(self._take, with_kwargs=True)
        try:
            yield
        finally:
            hook.remove()
            self._given = None
            for block in self.blocks:
                del block.forward

    def _take(self, _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], Any]:
        self._given = kwargs.pop(FROZEN_STATES, None)
        return args, kwargs

    def _forward(self, forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Replaces the forward pass of the part's blocks. Each of them returns the given states, if there are any."""
        if self._given is None:
            return forward(*args, **kwargs)
        return (self._given, None) if self._in_tuple else self._given


class _Reached(Exception):
    """Ends a forward pass early."""


def _stop(*_: Any) -> None:
    raise _Reached


def _outputs(model: nn.Module, blocks: list[nn.Module], sample: Mapping[str, Tensor]) -> list[tuple[int, Any]]:
    """The outputs of the blocks in one forward pass, in order, each with the number of its block."""
    outputs: list[tuple[int, Any]] = []
    with ExitStack() as hooks:
        for number, block in enumerate(blocks):
            hook = block.register_forward_hook(lambda *call, number=number: outputs.append((number, call[-1])))
            hooks.callback(hook.remove)
        model(**sample)
    return outputs


def _states_in(output: Any) -> Tensor:
    """The hidden states in a block's output. In some architectures, it also has attention probabilities."""
    states = output[0] if isinstance(output, tuple) else output
    assert isinstance(states, Tensor)
    return states


def _generator_states() -> list[Tensor]:
    """The states of torch's random number generators."""
    on_gpu = [torch.cuda.get_rng_state()] if torch.cuda.is_initialized() else []
    return [torch.get_rng_state(), *on_gpu]
