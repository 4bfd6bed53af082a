"""Role tables, one for each architecture: where its parts are. docs/models.md draws the kinds of blocks."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

Fusion = Literal["stacked", "interleaved"]
Side = Literal["encoder", "decoder"]
Sublayer = Literal["mha", "cross", "ffn"]
Map = Literal["query", "key", "value", "mha_output", "ffn_input", "ffn_output"]


@dataclass(frozen=True)
class Projection:
    """A linear map of a block: a whole layer, or a part of a layer that computes query, key and value at once.

    If several query heads share keys and values, the three parts differ in size.
    """

    path: str
    third: int | None = None
    """Part of the layer's outputs: 0 query, 1 key, 2 value; None: the whole layer."""
    fusion: Fusion = "stacked"
    """Order of the outputs. `stacked`: all queries, then all keys, then all values. `interleaved`: for each key head
    its queries, its key and its value."""
    bias: str | None = None
    """Path of the map's bias, if it is added after the layer, which has none."""


@dataclass(frozen=True)
class CrossAttention:
    """Dotted paths of a decoder's cross-attention, which is between self-attention and the feed-forward network."""

    query: Projection
    key: Projection
    value: Projection
    mha_output: str
    """Output projection."""
    mha_norm: str
    """Norm that belongs to this sublayer, where the table's `placement` says."""
    attention: str
    """Module that calls transformers' attention function."""


@dataclass(frozen=True)
class RoleTable:
    """Dotted paths of a transformer's parts, so that methods never name an architecture.

    Paths are relative to a block. `blocks`, `embedding_norm` and `final_norm` are relative to the base model, or to a
    side of an encoder-decoder. Each side has a table.
    """

    blocks: str
    """The list of transformer blocks; a `*` in the path stands for every element of a list."""
    query: Projection
    key: Projection
    value: Projection
    mha_output: str
    """Output projection of multi-head attention."""
    ffn_inputs: tuple[str, ...]
    """First linear layer of the feed-forward network; two if it is gated."""
    ffn_output: str
    """Second linear layer of the feed-forward network."""
    mha_norm: str
    """Norm that belongs to the attention sublayer, where `placement` says."""
    ffn_norm: str
    """Norm that belongs to the feed-forward sublayer; the same as `mha_norm` if both sublayers share it."""
    placement: Literal["post", "pre", "parallel", "branch"]
    """Where these norms stand: `post`, on the residual sum after their sublayer; `pre`, before the sublayer, in
    sequence; `parallel`, before two sublayers that read the same residual stream side by side; `branch`, on the
    sublayer's output before it is added to the stream."""
    mha_output_norm: str | None = None
    """Norm of attention's output before it is added to the stream, in addition to `mha_norm`."""
    ffn_output_norm: str | None = None
    """Norm of the feed-forward network's output before it is added to the stream, in addition to `ffn_norm`."""
    query_norm: str | None = None
    """Norm of the queries, inside attention. Some models of the architecture may not have it."""
    key_norm: str | None = None
    """Norm of the keys; see `query_norm`."""
    gain_offset: float = 0.0
    """Number that the norms add to their weight to get the gain: 1 if a weight of 0 means a gain of 1."""
    attention: str | None = None
    """Attention core: the module that calls transformers' attention function. Prefixes are inserted here. None if the
    architecture computes attention by itself."""
    embedding_norm: str | None = None
    """Norm of the embeddings, outside all blocks."""
    final_norm: str | None = None
    """Norm after the last block."""
    other_norms: tuple[tuple[str, int], ...] = ()
    """Further norms outside all blocks, each with the number of blocks before it. A model may leave them out."""
    body: str = ""
    """Part of the base model that embeds text and holds the blocks. It is called even where the base model is not.
    Empty: the base model itself."""
    positions: Literal["embedded", "relative"] = "embedded"
    """`embedded`: there is a vector for each position, which limits the length of a text. `relative`: attention sees
    distances, and any length is possible."""
    reserved_positions: int = 0
    """Number of rows at the start of the position embedding that no text uses."""
    functional_dropout: bool = False
    """Whether some of its dropout is a function call instead of a module. That dropout stays torch's own."""
    cross: CrossAttention | None = None
    """Cross-attention, in the decoder of an encoder-decoder."""


@dataclass(frozen=True)
class Variant:
    """A role table for those models of an architecture whose configuration has certain settings."""

    table: RoleTable
    settings: Mapping[str, object]
    """The settings, by name."""
    decoder: RoleTable | None = None
    """Role table of the decoder, if `table` is that of the encoder."""


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
# Attention sees distances. Models with `position_biased_input` also add a vector for each position to the embeddings.
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
    other_norms=(("encoder.LayerNorm", 0), ("encoder.conv.LayerNorm", 1)),  # of distances, and of the convolution
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
    functional_dropout=True,
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

QWEN3 = replace(LLAMA, query_norm="self_attn.q_norm", key_norm="self_attn.k_norm")

GEMMA = replace(LLAMA, gain_offset=1.0)

# Here the norm called post_attention is that of attention's output, and not the one before the feed-forward network.
GEMMA2 = replace(
    GEMMA,
    ffn_norm="pre_feedforward_layernorm",
    mha_output_norm="post_attention_layernorm",
    ffn_output_norm="post_feedforward_layernorm",
)

GEMMA3 = replace(GEMMA2, query_norm="self_attn.q_norm", key_norm="self_attn.k_norm")

OLMO2 = replace(QWEN3, mha_norm="post_attention_layernorm", ffn_norm="post_feedforward_layernorm", placement="branch")

COHERE = replace(QWEN3, ffn_norm="input_layernorm", placement="parallel")

PHI = replace(
    LLAMA,
    mha_output="self_attn.dense",
    ffn_inputs=("mlp.fc1",),
    ffn_output="mlp.fc2",
    ffn_norm="input_layernorm",
    placement="parallel",
    query_norm="self_attn.q_layernorm",
    key_norm="self_attn.k_layernorm",
    final_norm="final_layernorm",
)

PHI3 = replace(
    LLAMA,
    query=Projection("self_attn.qkv_proj", 0),
    key=Projection("self_attn.qkv_proj", 1),
    value=Projection("self_attn.qkv_proj", 2),
    ffn_inputs=("mlp.gate_up_proj",),
)

GLM = replace(LLAMA, ffn_inputs=("mlp.gate_up_proj",))

# Here the norm called post_attention is the one before the feed-forward network, beside two on the outputs.
GLM4 = replace(GLM, mha_output_norm="post_self_attn_layernorm", ffn_output_norm="post_mlp_layernorm")

APERTUS = replace(QWEN3, ffn_inputs=("mlp.up_proj",), mha_norm="attention_layernorm", ffn_norm="feedforward_layernorm")

ARCEE = replace(LLAMA, ffn_inputs=("mlp.up_proj",))

SEED_OSS = replace(LLAMA, functional_dropout=True)

HUNYUAN = replace(LLAMA, query_norm="self_attn.query_layernorm", key_norm="self_attn.key_layernorm")

STARCODER2 = replace(LLAMA, ffn_inputs=("mlp.c_fc",), ffn_output="mlp.c_proj", functional_dropout=True)

STABLELM = replace(LLAMA, query_norm="self_attn.q_layernorm", key_norm="self_attn.k_layernorm")

# The first block has no norm before attention: that of the embeddings stands there.
MODERNBERT = RoleTable(
    blocks="layers",
    attention="attn",
    query=Projection("attn.Wqkv", 0),
    key=Projection("attn.Wqkv", 1),
    value=Projection("attn.Wqkv", 2),
    mha_output="attn.Wo",
    ffn_inputs=("mlp.Wi",),
    ffn_output="mlp.Wo",
    mha_norm="attn_norm",
    ffn_norm="mlp_norm",
    placement="pre",
    embedding_norm="embeddings.norm",
    final_norm="final_norm",
    positions="relative",
)

NOMIC_BERT = replace(
    LLAMA,
    mha_norm="post_attention_layernorm",
    ffn_norm="post_mlp_layernorm",
    placement="post",
    embedding_norm="embeddings.LayerNorm",
    final_norm=None,
)

# Its attention goes through transformers' attention function once lnbench has adapted it (backbone/mpnet.py).
MPNET = replace(
    ROBERTA,
    attention="attention.attn",
    query=Projection("attention.attn.q"),
    key=Projection("attention.attn.k"),
    value=Projection("attention.attn.v"),
    mha_output="attention.attn.o",
    mha_norm="attention.LayerNorm",
)

XLM_ROBERTA_XL = replace(
    ROBERTA,
    mha_norm="attention.self_attn_layer_norm",
    ffn_norm="LayerNorm",
    placement="pre",
    embedding_norm=None,
    final_norm="encoder.LayerNorm",
)

GPT_NEO = replace(
    GPT2,
    attention=None,
    query=Projection("attn.attention.q_proj"),
    key=Projection("attn.attention.k_proj"),
    value=Projection("attn.attention.v_proj"),
    mha_output="attn.attention.out_proj",
)

GPTJ = replace(
    GPT2,
    attention=None,
    query=Projection("attn.q_proj"),
    key=Projection("attn.k_proj"),
    value=Projection("attn.v_proj"),
    mha_output="attn.out_proj",
    ffn_inputs=("mlp.fc_in",),
    ffn_output="mlp.fc_out",
    ffn_norm="ln_1",
    placement="parallel",
)

# If `apply_residual_connection_post_layernorm` is set, the stream itself passes through the norms. They still stand
# before their sublayers, and between the same ones.
BLOOM = replace(
    GPT_NEOX,
    blocks="h",
    attention=None,
    query=Projection("self_attention.query_key_value", 0, "interleaved"),
    key=Projection("self_attention.query_key_value", 1, "interleaved"),
    value=Projection("self_attention.query_key_value", 2, "interleaved"),
    mha_output="self_attention.dense",
    placement="pre",
    embedding_norm="word_embeddings_layernorm",
    final_norm="ln_f",
    functional_dropout=True,
)

FALCON = replace(BLOOM, ffn_norm="input_layernorm", placement="parallel", embedding_norm=None)

T5 = RoleTable(
    blocks="block",
    attention="layer.0.SelfAttention",
    query=Projection("layer.0.SelfAttention.q"),
    key=Projection("layer.0.SelfAttention.k"),
    value=Projection("layer.0.SelfAttention.v"),
    mha_output="layer.0.SelfAttention.o",
    ffn_inputs=("layer.1.DenseReluDense.wi",),
    ffn_output="layer.1.DenseReluDense.wo",
    mha_norm="layer.0.layer_norm",
    ffn_norm="layer.1.layer_norm",
    placement="pre",
    final_norm="final_layer_norm",
    positions="relative",
)

T5_DECODER = replace(
    T5,
    ffn_inputs=("layer.2.DenseReluDense.wi",),
    ffn_output="layer.2.DenseReluDense.wo",
    ffn_norm="layer.2.layer_norm",
    cross=CrossAttention(
        attention="layer.1.EncDecAttention",
        query=Projection("layer.1.EncDecAttention.q"),
        key=Projection("layer.1.EncDecAttention.k"),
        value=Projection("layer.1.EncDecAttention.v"),
        mha_output="layer.1.EncDecAttention.o",
        mha_norm="layer.1.layer_norm",
    ),
)

GATED_T5 = replace(T5, ffn_inputs=("layer.1.DenseReluDense.wi_0", "layer.1.DenseReluDense.wi_1"))

GATED_T5_DECODER = replace(T5_DECODER, ffn_inputs=("layer.2.DenseReluDense.wi_0", "layer.2.DenseReluDense.wi_1"))

BART = RoleTable(
    blocks="layers",
    attention="self_attn",
    query=Projection("self_attn.q_proj"),
    key=Projection("self_attn.k_proj"),
    value=Projection("self_attn.v_proj"),
    mha_output="self_attn.out_proj",
    ffn_inputs=("fc1",),
    ffn_output="fc2",
    mha_norm="self_attn_layer_norm",
    ffn_norm="final_layer_norm",
    placement="post",
    embedding_norm="layernorm_embedding",
    functional_dropout=True,
)

BART_DECODER = replace(
    BART,
    cross=CrossAttention(
        attention="encoder_attn",
        query=Projection("encoder_attn.q_proj"),
        key=Projection("encoder_attn.k_proj"),
        value=Projection("encoder_attn.v_proj"),
        mha_output="encoder_attn.out_proj",
        mha_norm="encoder_attn_layer_norm",
    ),
)

PEGASUS = replace(BART, placement="pre", embedding_norm=None, final_norm="layer_norm")

PEGASUS_DECODER = replace(BART_DECODER, placement="pre", embedding_norm=None, final_norm="layer_norm")

TABLES: dict[str, RoleTable] = {
    "albert": ALBERT,
    "apertus": APERTUS,
    "arcee": ARCEE,
    "bart": BART,
    "bert": BERT,
    "bloom": BLOOM,
    "camembert": ROBERTA,
    "cohere": COHERE,
    "cohere2": COHERE,
    "deberta": DEBERTA,
    "deberta-v2": DEBERTA_V2,
    "distilbert": DISTILBERT,
    "electra": BERT,
    "ernie4_5": LLAMA,
    "eurobert": LLAMA,
    "exaone4": OLMO2,
    "falcon": FALCON,
    "gemma": GEMMA,
    "gemma2": GEMMA2,
    "gemma3_text": GEMMA3,
    "glm": GLM,
    "glm4": GLM4,
    "gpt2": GPT2,
    "gpt_neo": GPT_NEO,
    "gpt_neox": GPT_NEOX,
    "gptj": GPTJ,
    "granite": LLAMA,
    "helium": LLAMA,
    "hunyuan_v1_dense": HUNYUAN,
    "llama": LLAMA,
    "ministral": LLAMA,
    "mistral": LLAMA,
    "modernbert": MODERNBERT,
    "mpnet": MPNET,
    "mt5": T5,
    "nomic_bert": NOMIC_BERT,
    "olmo": LLAMA,
    "olmo2": OLMO2,
    "olmo3": OLMO2,
    "opt": OPT,
    "pegasus": PEGASUS,
    "phi": PHI,
    "phi3": PHI3,
    "qwen2": LLAMA,
    "qwen3": QWEN3,
    "roberta": ROBERTA,
    "seed_oss": SEED_OSS,
    "smollm3": LLAMA,
    "stablelm": STABLELM,
    "starcoder2": STARCODER2,
    "t5": T5,
    "xlm-roberta": ROBERTA,
    "xlm-roberta-xl": XLM_ROBERTA_XL,
}
"""Role tables by the `model_type` of a transformers configuration. For an encoder-decoder it is that of the encoder."""

DECODERS: dict[str, RoleTable] = {
    "bart": BART_DECODER,
    "mt5": T5_DECODER,
    "pegasus": PEGASUS_DECODER,
    "t5": T5_DECODER,
}
"""Role tables of the decoders of encoder-decoders."""

GATED = {"is_gated_act": True}
ABSOLUTE = {"position_biased_input": True}

VARIANTS: dict[str, tuple[Variant, ...]] = {
    "deberta": (Variant(replace(DEBERTA, positions="embedded"), ABSOLUTE),),
    "deberta-v2": (Variant(replace(DEBERTA_V2, positions="embedded"), ABSOLUTE),),
    "falcon": (
        Variant(FALCON, {"new_decoder_architecture": True, "num_ln_in_parallel_attn": 1}),
        Variant(replace(FALCON, mha_norm="ln_attn", ffn_norm="ln_mlp"), {"new_decoder_architecture": True}),
        Variant(replace(BLOOM, embedding_norm=None), {"parallel_attn": False}),
    ),
    "gpt_neox": (Variant(replace(GPT_NEOX, placement="pre"), {"use_parallel_residual": False}),),
    "mt5": (Variant(GATED_T5, GATED, GATED_T5_DECODER),),
    "opt": (
        Variant(replace(OPT, placement="post", final_norm=None), {"do_layer_norm_before": False}),
        Variant(replace(OPT, final_norm=None), {"_remove_final_layer_norm": True}),
    ),
    "stablelm": (
        Variant(replace(STABLELM, ffn_norm="input_layernorm", placement="parallel"), {"use_parallel_residual": True}),
    ),
    "t5": (Variant(GATED_T5, GATED, GATED_T5_DECODER),),
}
"""Variants by `model_type`. The first one whose settings are those of the configuration replaces the table."""
