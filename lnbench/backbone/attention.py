"""Attention equal to transformers' "sdpa", with cheaper dropout on a CPU, and for several runs at once."""

from collections.abc import Callable
from contextvars import ContextVar
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn.functional import dropout as torch_dropout
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from lnbench.backbone.backbone import Backbone, role_table, views
from lnbench.backbone.dropout import drop
from lnbench.backbone.dropped_attention import dropped_attention
from lnbench.backbone.mpnet import route_mpnet
from lnbench.backbone.stack import current_stack
from lnbench.core.schema import ConfigError

NAME = "lnbench"
_CALLED: ContextVar[set[nn.Module] | None] = ContextVar("called", default=None)
"""Collects the modules that call an attention function. None: nobody collects them."""


def attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    is_causal: bool | None = None,
    position_bias: Tensor | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """An attention function for transformers.

    Args:
        module: the calling module.
        query: (B, heads, Lq, head size).
        key: (B, key-value heads, Lk, head size).
        value: as `key`.
        attention_mask: (B or 1, 1, Lq, Lk), bool or additive. None: a query sees all keys, or only earlier ones if
            attention is causal.
        dropout: dropout of the attention probabilities.
        scaling: factor of the products; None: 1 / sqrt(head size).
        is_causal: whether a missing mask means a causal one; None takes `module.is_causal`.
        position_bias: (B or 1, heads, Lq, Lk), added to the scaled products.
        softcap: number c; the scaled products s become c tanh(s / c).
        s_aux: (heads,), scores of sinks, which take a part of the attention and have no value.
        kwargs: arguments for transformers' own function. Masks already hold settings such as a sliding window.

    Returns:
        (B, Lq, heads, head size), and no probabilities.
    """
    unknown_to_torch = softcap is not None or s_aux is not None
    dropped_here = dropout > 0 and query.device.type == "cpu" and query.shape[1] == key.shape[1]
    biased_stack = position_bias is not None and current_stack() is not None
    if kwargs.get("cache") is not None or not (unknown_to_torch or dropped_here or biased_stack):
        given = {"position_bias": position_bias, "softcap": softcap, "s_aux": s_aux}
        kwargs |= {name: value for name, value in given.items() if value is not None}
        arguments = {"dropout": dropout, "scaling": scaling, "is_causal": is_causal, **kwargs}
        if current_stack() is not None:
            folded = _Folded.apply(module, query, key, value, attention_mask, arguments)  # type: ignore[no-untyped-call]
            return folded, None
        return sdpa_attention_forward(module, query, key, value, attention_mask, **arguments)
    causal = getattr(module, "is_causal", True) if is_causal is None else is_causal
    key, value = (repeat_kv(one, query.shape[1] // one.shape[1]) for one in (key, value))
    scaling = scaling or query.shape[-1] ** -0.5
    if dropped_here and not unknown_to_torch and position_bias is None and current_stack() is None:
        mask = _causal_mask(query, key) if attention_mask is None and causal else attention_mask
        return dropped_attention(query, key, value, mask, dropout, scaling), None
    scores = (query * scaling) @ key.transpose(-1, -2)
    if softcap is not None:
        scores = softcap * (scores / softcap).tanh()
    if position_bias is not None:
        scores = scores + position_bias
    probabilities = _softmax(_masked(scores, attention_mask, causal), s_aux)
    if dropout > 0:
        probabilities = (
            drop(probabilities, dropout) if query.device.type == "cpu" else torch_dropout(probabilities, dropout)
        )
    return (probabilities @ value).transpose(1, 2).contiguous(), None


def make_mask(*args: Any, **kwargs: Any) -> Tensor | None:
    """A mask function for transformers. It checks whether a batch needs a mask only where this is cheap.

    On a GPU the host would have to wait for the answer. In a stack, some runs may need a mask and others not.
    """
    padding = kwargs.get("attention_mask")
    on_gpu = padding is not None and padding.device.type != "cpu"
    if on_gpu or current_stack() is not None:
        kwargs |= {"allow_is_causal_skip": False, "allow_is_bidirectional_skip": False}
    return sdpa_mask(*args, **kwargs)


def adapt_attention(model: PreTrainedModel) -> None:
    """Makes every attention of `model` call `attention`. DeBERTa's cannot; it is made to run in bf16.

    Raises:
        ConfigError: as `use_function`.
    """
    if role_table(model.config).attention is None:
        _keep_scores_in_fp32(model)
    else:
        use_function(model, NAME, attention)


def use_function(model: PreTrainedModel, name: str, function: Callable[..., tuple[Tensor, None]]) -> None:
    """Makes every attention of `model` call `function`, which is registered with transformers as `name`.

    One forward pass checks that the function is called, because transformers accepts any name and some models ignore
    it. A model without values, on the meta device, is not checked.

    Raises:
        ConfigError: the attention of some blocks does not call it.
    """
    _choose(model, name, function)
    if model.device.type == "meta":
        return
    called = _called_on_two_tokens(model)
    for view in views(model):
        if silent := [
            str(layer + 1) for layer in range(view.num_layers) if not called.issuperset(view.attentions(layer))
        ]:
            raise ConfigError(
                f"model: the attention of the architecture {model.config.model_type!r} does not go through "
                f"transformers' attention interface in the layers {', '.join(silent)}{_of(view)}, although its role "
                f"table says so; correct `attention` in lnbench/backbone/tables.py"
            )


def callers(model: PreTrainedModel) -> set[nn.Module]:
    """The modules of a model without a role table that call transformers' attention function.

    From then on, the model's attention has no dropout.
    """
    _choose(model, "lnbench_seen", attention_without_dropout)
    return _called_on_two_tokens(model)


def attention_without_dropout(*args: Any, dropout: float = 0.0, **kwargs: Any) -> tuple[Tensor, None]:
    """`attention` without dropout, also in training."""
    return attention(*args, **kwargs)


def _of(view: Backbone) -> str:
    return f" of its {view.side}" if view.side else ""


def _choose(model: PreTrainedModel, name: str, function: Callable[..., tuple[Tensor, None]]) -> None:
    AttentionMaskInterface.register(name, make_mask)
    AttentionInterface.register(name, partial(_call, function))
    if not route_mpnet(model, name):
        model.set_attn_implementation(name)


def _called_on_two_tokens(model: PreTrainedModel) -> set[nn.Module]:
    called: set[nn.Module] = set()
    token = _CALLED.set(called)
    try:
        _look_at_two_tokens(model)
    finally:
        _CALLED.reset(token)
    return called


def _call(
    function: Callable[..., tuple[Tensor, None]], module: nn.Module, *args: Any, **kwargs: Any
) -> tuple[Tensor, None]:
    if (called := _CALLED.get()) is not None:
        called.add(module)
    return function(module, *args, **kwargs)


@torch.no_grad()
def _look_at_two_tokens(model: PreTrainedModel) -> None:
    """One forward pass in evaluation mode. It changes nothing in the model and draws no random numbers."""
    training = {module: module.training for module in model.modules()}
    tokens = torch.zeros(1, 2, dtype=torch.long, device=model.device)
    written = {"decoder_input_ids": tokens} if model.config.is_encoder_decoder else {}
    try:
        model.eval().base_model(input_ids=tokens, attention_mask=torch.ones_like(tokens), **written)
    finally:
        for module, before in training.items():
            module.training = before


class _Fp32(nn.Module):
    """Converts to fp32."""

    def forward(self, x: Tensor) -> Tensor:
        return x.float()


def _keep_scores_in_fp32(model: PreTrainedModel) -> None:
    """Makes DeBERTa's scores fp32. Under autocast it masks them with a number too large for bf16 (v2 does not)."""
    for module in model.modules():
        if getattr(module, "head_logits_proj", module) is None:
            module.head_logits_proj = _Fp32()


class _Folded(Function):
    """Transformers' own attention for a stack. Runs and rows become one dimension, as fast kernels need it."""

    @staticmethod
    def forward(module: nn.Module, *inputs: Any) -> Tensor:
        raise RuntimeError("attention to what all runs of a stack share")

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        """Nothing: autograd sees what `vmap` does."""

    @staticmethod
    def vmap(
        info: Any,
        in_dims: tuple[int | None, ...],
        module: nn.Module,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        mask: Tensor | None,
        arguments: dict[str, Any],
    ) -> tuple[Tensor, int]:
        runs = info.batch_size
        query, key, value = (_fold(one, dim, runs) for one, dim in zip((query, key, value), in_dims[1:4], strict=True))
        mask = None if mask is None else _fold(mask, in_dims[4], runs)
        output, _ = sdpa_attention_forward(module, query, key, value, mask, **arguments)
        return output.unflatten(0, (runs, -1)), 0


def _fold(tensor: Tensor, dim: int | None, runs: int) -> Tensor:
    """Joins runs and rows into one dimension: (runs * B, ...). The runs may share the rows."""
    by_run = tensor.expand(runs, *tensor.shape) if dim is None else tensor.movedim(dim, 0)
    return by_run.flatten(0, 1)


def _masked(scores: Tensor, mask: Tensor | None, causal: bool) -> Tensor:
    """Scores (..., Lq, Lk), with the lowest number for each key that a query must not see."""
    if mask is None and causal:
        mask = _causal_mask(scores, scores.mT)
    if mask is None:
        return scores
    return scores.masked_fill(~mask, torch.finfo(scores.dtype).min) if mask.dtype == torch.bool else scores + mask


def _causal_mask(query: Tensor, key: Tensor) -> Tensor | None:
    """(1, 1, Lq, Lk), bool; None if a single query sees all keys."""
    lengths = query.shape[-2], key.shape[-2]
    return None if lengths[0] == 1 else torch.ones(1, 1, *lengths, dtype=torch.bool, device=query.device).tril()


def _softmax(scores: Tensor, sinks: Tensor | None) -> Tensor:
    """Probabilities (..., Lq, Lk), which with sinks (heads,) sum to less than 1."""
    if sinks is None:
        return scores.softmax(-1)
    beside = sinks.view(-1, 1, 1).to(scores.dtype).expand(*scores.shape[:-1], 1)
    return torch.cat([scores, beside], dim=-1).softmax(-1)[..., :-1]
