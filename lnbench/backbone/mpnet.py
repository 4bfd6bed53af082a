"""Makes MPNet's attention, which computes by itself, call transformers' attention functions."""

from typing import Any

from torch import Tensor
from transformers import MPNetPreTrainedModel, PreTrainedConfig, PreTrainedModel
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.mpnet.modeling_mpnet import MPNetSelfAttention


class RoutedAttention(MPNetSelfAttention):
    """Computes the same as transformers' class, by calling the attention function that the configuration names."""

    is_causal = False
    config: PreTrainedConfig
    """Configuration of the model."""

    def forward(
        self,
        hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        position_bias: Tensor | None = None,
        output_attentions: bool = False,
        **kwargs: Any,
    ) -> tuple[Tensor, ...]:
        """
        Args:
            hidden_states: (B, L, hidden size).
            attention_mask: (B or 1, 1, L, L).
            position_bias: (B, heads, L, L), added to the scaled products of queries and keys.
            output_attentions: whether to also return None in place of the probabilities, which attention functions do
                not return.
            kwargs: not used.
        """
        shape = (*hidden_states.shape[:-1], -1, self.attention_head_size)
        query, key, value = (layer(hidden_states).view(shape).transpose(1, 2) for layer in (self.q, self.k, self.v))
        attended, none = ALL_ATTENTION_FUNCTIONS[self.config._attn_implementation](
            self,
            query,
            key,
            value,
            attention_mask,
            dropout=self.dropout.p if self.training else 0.0,
            scaling=self.attention_head_size**-0.5,
            position_bias=position_bias,
        )
        output = self.o(attended.flatten(2))
        return (output, none) if output_attentions else (output,)


def route_mpnet(model: PreTrainedModel, name: str) -> bool:
    """Makes an MPNet call the attention function that transformers knows as `name`; False for any other model."""
    if not isinstance(model, MPNetPreTrainedModel):
        return False
    model.config._attn_implementation = name
    for module in model.modules():
        if isinstance(module, MPNetSelfAttention):
            module.__class__ = RoutedAttention
            assert isinstance(module, RoutedAttention)
            module.config = model.config
    return True
