"""Where things are in each architecture: one role table a family, as data."""

from dataclasses import dataclass, replace
from typing import Literal

Fusion = Literal["stacked", "interleaved"]
Sublayer = Literal["mha", "ffn"]
Map = Literal["query", "key", "value", "mha_output", "ffn_input", "ffn_output"]


@dataclass(frozen=True)
class Projection:
    """A linear map of a block: a layer of its own, or a third of a layer that yields query, key and value at once."""

    path: str
    third: int | None = None
    """Which third of the layer's outputs: 0 query, 1 key, 2 value; None: the whole layer."""
    fusion: Fusion = "stacked"
    """`stacked`: all queries, all keys, all values. `interleaved`: head by head, each with the three in turn."""
    bias: str | None = None
    """Path of the map's bias where the layer has none, and the bias is added later."""


@dataclass(frozen=True)
class RoleTable:
    """Dotted paths of a transformer's parts, so that methods never name an architecture.

    Paths are relative to a block, except `blocks`, `embedding_norm` and `final_norm`, which are
    relative to the base model.
    """

    blocks: str
    """The list of transformer blocks; `*` stands for every element of a list on the way."""
    query: Projection
    key: Projection
    value: Projection
    mha_output: str
    """Output projection of multi-head attention."""
    ffn_inputs: tuple[str, ...]
    """First linear layer of the feed-forward network; two where it is gated."""
    ffn_output: str
    """Second linear layer of the feed-forward network."""
    mha_norm: str
    """Norm that belongs to the attention sublayer: after it (post-LN) or before it (pre-LN)."""
    ffn_norm: str
    """Norm that belongs to the feed-forward sublayer: after it (post-LN) or before it (pre-LN)."""
    placement: Literal["post", "pre", "parallel"]
    """Whether norms follow the residual sum of their sublayer, precede the sublayer in sequence, or
    precede two sublayers that read the same residual stream side by side."""
    attention: str | None = None
    """Attention core: the module that calls transformers' attention function, where prefixes go; None
    if the architecture computes attention by itself."""
    embedding_norm: str | None = None
    """Norm of the embeddings, outside all blocks."""
    final_norm: str | None = None
    """Norm after the last block."""
    body: str = ""
    """Part of the base model that embeds text and holds the blocks, called also where the base model is
    passed over; empty: the base model itself."""
    positions: Literal["embedded", "relative"] = "embedded"
    """`embedded`: a vector for each position, so that no text can be longer than there are vectors.
    `relative`: attention sees distances, and no length is impossible."""
    reserved_positions: int = 0
    """Rows at the start of the position embedding that are no text's."""


BERT = RoleTable(
    blocks="encoder.layer",
    attention="attention.self",
    query=Projection("attention.self.query"),
    key=Projection("attention.self.key"),
    value=Projection("attention.self.value"),
    mha_output="attention.output.dense",
    ffn_inputs=("intermediate.dense",),
    ffn_output="output.dense",
    mha_norm="attention.output.LayerNorm",
    ffn_norm="output.LayerNorm",
    placement="post",
    embedding_norm="embeddings.LayerNorm",
)

ROBERTA = replace(BERT, reserved_positions=2)

DISTILBERT = RoleTable(
    blocks="transformer.layer",
    attention="attention",
    query=Projection("attention.q_lin"),
    key=Projection("attention.k_lin"),
    value=Projection("attention.v_lin"),
    mha_output="attention.out_lin",
    ffn_inputs=("ffn.lin1",),
    ffn_output="ffn.lin2",
    mha_norm="sa_layer_norm",
    ffn_norm="output_layer_norm",
    placement="post",
    embedding_norm="embeddings.LayerNorm",
)

# One block applied again and again: "layer 1" is all of its applications.
ALBERT = RoleTable(
    blocks="encoder.albert_layer_groups.*.albert_layers",
    attention="attention",
    query=Projection("attention.query"),
    key=Projection("attention.key"),
    value=Projection("attention.value"),
    mha_output="attention.dense",
    ffn_inputs=("ffn",),
    ffn_output="ffn_output",
    mha_norm="attention.LayerNorm",
    ffn_norm="full_layer_layer_norm",
    placement="post",
    embedding_norm="embeddings.LayerNorm",
)

# Disentangled attention does not go through transformers' attention function, so there is no place for a prefix.
DEBERTA = RoleTable(
    blocks="encoder.layer",
    query=Projection("attention.self.in_proj", 0, "interleaved", bias="attention.self.q_bias"),
    key=Projection("attention.self.in_proj", 1, "interleaved"),
    value=Projection("attention.self.in_proj", 2, "interleaved", bias="attention.self.v_bias"),
    mha_output="attention.output.dense",
    ffn_inputs=("intermediate.dense",),
    ffn_output="output.dense",
    mha_norm="attention.output.LayerNorm",
    ffn_norm="output.LayerNorm",
    placement="post",
    embedding_norm="embeddings.LayerNorm",
    positions="relative",
)

DEBERTA_V2 = RoleTable(
    blocks="encoder.layer",
    query=Projection("attention.self.query_proj"),
    key=Projection("attention.self.key_proj"),
    value=Projection("attention.self.value_proj"),
    mha_output="attention.output.dense",
    ffn_inputs=("intermediate.dense",),
    ffn_output="output.dense",
    mha_norm="attention.output.LayerNorm",
    ffn_norm="output.LayerNorm",
    placement="post",
    embedding_norm="embeddings.LayerNorm",
    positions="relative",
)

GPT2 = RoleTable(
    blocks="h",
    attention="attn",
    query=Projection("attn.c_attn", 0),
    key=Projection("attn.c_attn", 1),
    value=Projection("attn.c_attn", 2),
    mha_output="attn.c_proj",
    ffn_inputs=("mlp.c_fc",),
    ffn_output="mlp.c_proj",
    mha_norm="ln_1",
    ffn_norm="ln_2",
    placement="pre",
    final_norm="ln_f",
)

OPT = RoleTable(
    body="decoder",
    blocks="decoder.layers",
    attention="self_attn",
    query=Projection("self_attn.q_proj"),
    key=Projection("self_attn.k_proj"),
    value=Projection("self_attn.v_proj"),
    mha_output="self_attn.out_proj",
    ffn_inputs=("fc1",),
    ffn_output="fc2",
    mha_norm="self_attn_layer_norm",
    ffn_norm="final_layer_norm",
    placement="pre",
    final_norm="decoder.final_layer_norm",
)

GPT_NEOX = RoleTable(
    blocks="layers",
    attention="attention",
    query=Projection("attention.query_key_value", 0, "interleaved"),
    key=Projection("attention.query_key_value", 1, "interleaved"),
    value=Projection("attention.query_key_value", 2, "interleaved"),
    mha_output="attention.dense",
    ffn_inputs=("mlp.dense_h_to_4h",),
    ffn_output="mlp.dense_4h_to_h",
    mha_norm="input_layernorm",
    ffn_norm="post_attention_layernorm",
    placement="parallel",
    final_norm="final_layer_norm",
    positions="relative",
)

LLAMA = RoleTable(
    blocks="layers",
    attention="self_attn",
    query=Projection("self_attn.q_proj"),
    key=Projection("self_attn.k_proj"),
    value=Projection("self_attn.v_proj"),
    mha_output="self_attn.o_proj",
    ffn_inputs=("mlp.gate_proj", "mlp.up_proj"),
    ffn_output="mlp.down_proj",
    mha_norm="input_layernorm",
    ffn_norm="post_attention_layernorm",
    placement="pre",
    final_norm="norm",
    positions="relative",
)

TABLES: dict[str, RoleTable] = {
    "albert": ALBERT,
    "bert": BERT,
    "deberta": DEBERTA,
    "deberta-v2": DEBERTA_V2,
    "distilbert": DISTILBERT,
    "electra": BERT,
    "gpt2": GPT2,
    "gpt_neox": GPT_NEOX,
    "llama": LLAMA,
    "opt": OPT,
    "roberta": ROBERTA,
    "xlm-roberta": ROBERTA,
}
"""Role table by the `model_type` of a transformers configuration."""
