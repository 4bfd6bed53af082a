"""A pretrained transformer seen through its role table."""

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.pytorch_utils import Conv1D

from lnbench.backbone.tables import (
    DECODERS,
    TABLES,
    VARIANTS,
    CrossAttention,
    Map,
    Projection,
    RoleTable,
    Side,
    Sublayer,
)
from lnbench.core.schema import ConfigError

NormReading = Literal["position", "sublayer"]
Inner = Literal["query", "key"]
SIDES: tuple[Side, ...] = get_args(Side)
SUBLAYERS: tuple[Sublayer, ...] = ("mha", "ffn")
"""Those of a block without cross-attention."""
INNER: tuple[Inner, ...] = get_args(Inner)


@dataclass(frozen=True)
class LinearMap:
    """One linear map of a block, which may share its layer with others."""

    layer: nn.Module
    """An `nn.Linear`, or a `Conv1D`, whose weight is transposed."""
    rows: Tensor | None = None
    """(out_features,) int64, which of the layer's outputs are the map's; None: all."""
    later_bias: nn.Parameter | None = None
    """Of the map, where the layer has none and the bias is added later."""

    @property
    def in_features(self) -> int:
        """Size of the input."""
        weight = self.layer.get_parameter("weight")
        return weight.shape[0 if isinstance(self.layer, Conv1D) else 1]

    @property
    def out_features(self) -> int:
        """Size of the map's output."""
        return _outputs(self.layer) if self.rows is None else len(self.rows)


class Backbone:
    """Finds the parts of a pretrained model, or of one side of an encoder-decoder, by role; `views` makes one of each.

    A decoder's blocks may have cross-attention, attention to what the encoder yields, beside that to their own states,
    which is then called self-attention.
    """

    def __init__(self, model: PreTrainedModel, side: Side | None = None) -> None:
        self.model = model
        self.side = side
        self.base: nn.Module = model.base_model if side is None else model.base_model.get_submodule(side)
        self.table = role_table(model.config, side)
        self.blocks = _elements(self.base, self.table.blocks)
        self.pretrained = [dict(block.named_parameters()) for block in self.blocks]
        """Parameters by name of each block, without what methods insert later."""

    @property
    def config(self) -> PreTrainedConfig:
        """The transformers configuration of the model."""
        return self.model.config

    @property
    def num_layers(self) -> int:
        """Number of distinct transformer blocks."""
        return len(self.blocks)

    @property
    def body(self) -> nn.Module:
        """What embeds text and applies the blocks to it."""
        return self.base.get_submodule(self.table.body)

    @property
    def output_size(self) -> int:
        """Size of the last hidden states; some OPT models project them to another than that of their blocks."""
        return int(getattr(self.config, "word_embed_proj_dim", self.config.hidden_size))

    @property
    def heads(self) -> int:
        """Number of heads of queries."""
        number: int = getattr(self.config, f"{self.side}_attention_heads", self.config.num_attention_heads)
        return number

    @property
    def sublayers(self) -> tuple[Sublayer, ...]:
        """Those that a block has, in order."""
        return get_args(Sublayer) if self.table.cross else SUBLAYERS

    def parts_of(self, sublayer: Sublayer) -> tuple[Sublayer, ...]:
        """The sublayers that a block has of one kind: of `mha`, which is all attention, self- and cross-attention."""
        return tuple(one for one in self.sublayers if one == sublayer or (one == "cross" and sublayer == "mha"))

    def attentions(self, layer: int) -> list[nn.Module]:
        """The modules of block `layer` (counted from 0) that call transformers' attention function.

        Raises:
            ConfigError: the architecture computes attention by itself.
        """
        if self.table.attention is None:
            raise ConfigError(
                f"method: prefix has no place in the architecture {self.config.model_type!r}, whose attention does not "
                f"go through transformers' attention interface; all other methods work"
            )
        paths = [self.table.attention, *([self.table.cross.attention] if self.table.cross else [])]
        return [self.blocks[layer].get_submodule(path) for path in paths]

    def linear_maps(self, name: Map, layer: int) -> list[LinearMap]:
        """The linear maps of block `layer` (counted from 0) by role.

        A gated network has two `ffn_input`. Of a map of attention, cross-attention has another.
        """
        if name == "ffn_input":
            block = self.blocks[layer]
            return [LinearMap(block.get_submodule(path)) for path in self.table.ffn_inputs]
        sublayers = self.parts_of("ffn" if name == "ffn_output" else "mha")
        return [self._linear_map(name, sublayer, layer) for sublayer in sublayers]

    def reader_of(self, sublayer: Sublayer, layer: int) -> nn.Module:
        """The layer, one of several, by which a sublayer of block `layer` (counted from 0) reads its input, once.

        For attention that is the value projection: DeBERTa applies the others to its position
        embeddings too. Cross-attention reads its input by its queries alone.
        """
        if sublayer == "ffn":
            return self.linear_maps("ffn_input", layer)[0].layer
        return self._linear_map("query" if sublayer == "cross" else "value", sublayer, layer).layer

    def output_of(self, sublayer: Sublayer, layer: int) -> nn.Module:
        """The last linear layer of a sublayer of block `layer` (counted from 0)."""
        return self._linear_map("ffn_output" if sublayer == "ffn" else "mha_output", sublayer, layer).layer

    def norm_after(self, sublayer: Sublayer, layer: int, reading: NormReading) -> nn.Module | None:
        """The norm "after" a sublayer of block `layer` (counted from 0); None where the model has none in this place.

        Where norms follow the residual sum (post-LN) or close the branch, both readings mean the sublayer's own. In
        a pre-LN model `position` is the next norm on the residual stream (after FFN: the first one
        of the next block, or the final norm), `sublayer` the norm that feeds the sublayer itself.
        Where both sublayers read the stream side by side, no norm lies between them, and both
        readings mean the sublayer's own.
        """
        if self.table.placement != "pre" or reading == "sublayer":
            return self._norm(layer, self._own_norm(sublayer))
        following = self.sublayers[self.sublayers.index(sublayer) + 1 :]
        if following:
            return self._norm(layer, self._own_norm(following[0]))
        return self._norm(layer + 1, self.table.mha_norm) if layer + 1 < self.num_layers else self.final_norm()

    def output_norm(self, sublayer: Sublayer, layer: int) -> nn.Module | None:
        """The norm of a sublayer's output, inside the branch, of a model that has others beside it.

        It comes after its sublayer by position, and belongs to it: in both readings it goes with `norm_after`.
        """
        paths = {"mha": self.table.mha_output_norm, "cross": None, "ffn": self.table.ffn_output_norm}
        return self._norm(layer, paths[sublayer])

    def norms_after(self, sublayer: Sublayer, layer: int, reading: NormReading) -> list[nn.Module]:
        """Both norms that a reading gives to a sublayer of block `layer` (counted from 0), as far as they are there."""
        found = (self.output_norm(sublayer, layer), self.norm_after(sublayer, layer, reading))
        return [norm for norm in found if norm is not None]

    def inner_norms(self, name: Inner, layer: int) -> list[nn.Module]:
        """The norms of the queries or keys of block `layer` (counted from 0): none, one, or one for each head."""
        path = self.table.query_norm if name == "query" else self.table.key_norm
        attention, _, leaf = (path or "").rpartition(".")
        norm = getattr(self.blocks[layer].get_submodule(attention), leaf, None)  # a model may leave it out
        return [] if norm is None else [one for one in norm.modules() if list(one.parameters(recurse=False))]

    def norms_of(self, layer: int) -> list[nn.Module]:
        """All norms inside block `layer` (counted from 0), each once."""
        outer = [norm for sublayer in self.sublayers for norm in self.norms_after(sublayer, layer, "sublayer")]
        inner = [norm for name in INNER for norm in self.inner_norms(name, layer)]
        return list(dict.fromkeys([*outer, *inner]))

    @property
    def shares_norms(self) -> bool:
        """Whether attention and the feed-forward network of a block read what one norm yields."""
        return self.table.mha_norm == self.table.ffn_norm

    def closing_norm(self, layer: int) -> nn.Module | None:
        """The norm that ends block `layer` (counted from 0) in a post-LN model; others end with a residual sum."""
        return self.norm_after("ffn", layer, "sublayer") if self.table.placement == "post" else None

    def embedding_norm(self) -> nn.Module | None:
        """The norm of the embeddings, if the architecture has one."""
        return self.base.get_submodule(self.table.embedding_norm) if self.table.embedding_norm else None

    def first_norm(self, reading: NormReading) -> nn.Module | None:
        """By position the first norm of a pre-LN model's blocks, which comes after no sublayer; else None."""
        before = self.table.placement == "pre" and reading == "position"
        return self._norm(0, self.table.mha_norm) if before else None

    def norms_before_blocks(self, reading: NormReading) -> list[nn.Module]:
        """The norms that come after no sublayer: of the embeddings, and by position the first of a pre-LN model."""
        return [norm for norm in (self.embedding_norm(), self.first_norm(reading)) if norm is not None]

    def final_norm(self) -> nn.Module | None:
        """The norm after the last block, if the architecture has one."""
        return self.base.get_submodule(self.table.final_norm) if self.table.final_norm else None

    def _linear_map(self, name: Map, sublayer: Sublayer, layer: int) -> LinearMap:
        place: str | Projection = getattr(self._table_of(sublayer), name)
        block = self.blocks[layer]
        if isinstance(place, str):
            return LinearMap(block.get_submodule(place))
        module = block.get_submodule(place.path)
        bias = block.get_parameter(place.bias) if place.bias else None
        return LinearMap(module, rows_of(place, module, self.config), bias)

    def _own_norm(self, sublayer: Sublayer) -> str:
        return self.table.ffn_norm if sublayer == "ffn" else self._table_of(sublayer).mha_norm

    def _table_of(self, sublayer: Sublayer) -> RoleTable | CrossAttention:
        assert sublayer != "cross" or self.table.cross, "the blocks have no cross-attention"
        return self.table.cross if sublayer == "cross" and self.table.cross else self.table

    def _norm(self, layer: int, path: str | None) -> nn.Module | None:
        """The norm at `path` in a block; None where an identity stands in its place."""
        norm = self.blocks[layer].get_submodule(path) if path else None
        return None if isinstance(norm, nn.Identity) else norm


def views(model: PreTrainedModel) -> list[Backbone]:
    """A view of a model by its role table; of an encoder-decoder two, of its encoder and of its decoder."""
    if model.config.model_type in DECODERS:
        return [Backbone(model, side) for side in SIDES]
    return [Backbone(model)]


def blocks_of(model: PreTrainedModel) -> list[nn.Module]:
    """The transformer blocks of a model, of an encoder-decoder those of the encoder first."""
    return [block for view in views(model) for block in view.blocks]


def longest_text(config: PreTrainedConfig) -> int | None:
    """The most tokens that a model with an embedding for each position can take; None: the model has no such limit."""
    table = role_table(config)
    return None if table.positions == "relative" else config.max_position_embeddings - table.reserved_positions


def role_table(config: PreTrainedConfig, side: Side | None = None) -> RoleTable:
    """The role table of an architecture.

    Args:
        config: of the architecture.
        side: of an encoder-decoder; None is its encoder.

    Raises:
        ConfigError: the architecture has none.
    """
    table = (DECODERS if side == "decoder" else TABLES).get(config.model_type)
    if table is None:
        raise ConfigError(
            f"model: the architecture {config.model_type!r} has no role table; known: {', '.join(sorted(TABLES))}. "
            f"python -m lnbench.roles model=FOLDER_OR_HUB_ID finds one by what the model computes, and says what a "
            f"person must decide; it goes into lnbench/backbone/tables.py, see docs/models.md"
        )
    for variant in VARIANTS.get(config.model_type, ()):
        if all(getattr(config, name) == value for name, value in variant.settings.items()):
            return variant.decoder if side == "decoder" and variant.decoder else variant.table
    return table


def head_size(config: PreTrainedConfig) -> int:
    """Size of a query, key or value of one head."""
    size: int = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return size


def _elements(root: nn.Module, path: str) -> list[nn.Module]:
    """The elements of the list at `path`, in order, every element of a list at each `*`."""
    outer, star, inner = path.partition(".*.")
    if not star:
        return list(root.get_submodule(outer).children())
    return [element for branch in root.get_submodule(outer).children() for element in _elements(branch, inner)]


def _outputs(layer: nn.Module) -> int:
    return layer.get_parameter("weight").shape[1 if isinstance(layer, Conv1D) else 0]


def rows_of(place: Projection, layer: nn.Module, config: PreTrainedConfig) -> Tensor | None:
    """Which outputs of a layer belong to a projection."""
    if place.third is None:
        return None
    heads, size = config.num_attention_heads, head_size(config)
    rows = torch.arange(_outputs(layer), device=layer.get_parameter("weight").device)
    shared = (len(rows) // size - heads) // 2  # heads of keys, and of values
    groups = 1 if place.fusion == "stacked" else shared
    parts = rows.view(groups, -1, size).split([heads // groups, shared // groups, shared // groups], dim=1)
    rows_of_place: Tensor = parts[place.third].flatten()
    return rows_of_place
