"""Finds the parts of a pretrained transformer by role, with its role table."""

from collections.abc import Sequence
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
"""Sublayers of a block without cross-attention."""
INNER: tuple[Inner, ...] = get_args(Inner)


@dataclass(frozen=True)
class LinearMap:
    """One linear map of a block, which may share its layer with others."""

    layer: nn.Module
    """An `nn.Linear`, or a `Conv1D`, whose weight is transposed."""
    rows: Tensor | None = None
    """(out_features,) int64, indices of the map's outputs among those of the layer; None: all."""
    later_bias: nn.Parameter | None = None
    """Bias of the map, if it is added after the layer, which has none."""

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
    """Finds the parts of a pretrained model by role. For an encoder-decoder, `views` makes one for each side.

    The blocks of a decoder may have two kinds of attention: self-attention to their own states, and cross-attention to
    the output of the encoder.
    """

    def __init__(self, model: PreTrainedModel, side: Side | None = None) -> None:
        self.model = model
        self.side = side
        self.base: nn.Module = model.base_model if side is None else model.base_model.get_submodule(side)
        self.table = role_table(model.config, side)
        self.blocks = _elements(self.base, self.table.blocks)
        self.pretrained = [dict(block.named_parameters()) for block in self.blocks]
        """Parameters of each block by name, without those that methods insert."""

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
        """The module that embeds a text and applies the blocks to it."""
        return self.base.get_submodule(self.table.body)

    @property
    def output_size(self) -> int:
        """Size of the last hidden states. In some OPT models it differs from that of the blocks."""
        return int(getattr(self.config, "word_embed_proj_dim", self.config.hidden_size))

    @property
    def heads(self) -> int:
        """Number of query heads."""
        number: int = getattr(self.config, f"{self.side}_attention_heads", self.config.num_attention_heads)
        return number

    @property
    def sublayers(self) -> tuple[Sublayer, ...]:
        """The sublayers of a block, in order."""
        return get_args(Sublayer) if self.table.cross else SUBLAYERS

    def parts_of(self, sublayer: Sublayer) -> tuple[Sublayer, ...]:
        """The sublayers of one kind in a block. `mha` means all attention, self- and cross-attention."""
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

        A gated network has two `ffn_input`. With cross-attention, a block has each map of attention twice.
        """
        _check_role(name, get_args(Map))
        if name == "ffn_input":
            block = self.blocks[layer]
            return [LinearMap(block.get_submodule(path)) for path in self.table.ffn_inputs]
        sublayers = self.parts_of("ffn" if name == "ffn_output" else "mha")
        return [self._linear_map(name, sublayer, layer) for sublayer in sublayers]

    def reader_of(self, sublayer: Sublayer, layer: int) -> nn.Module:
        """A layer that reads the input of a sublayer of block `layer` (counted from 0) exactly once.

        In attention this is the value projection, because DeBERTa applies the other ones to its position embeddings
        too. In cross-attention it is the query projection.
        """
        _check_role(sublayer, get_args(Sublayer))
        if sublayer == "ffn":
            return self.linear_maps("ffn_input", layer)[0].layer
        return self._linear_map("query" if sublayer == "cross" else "value", sublayer, layer).layer

    def output_of(self, sublayer: Sublayer, layer: int) -> nn.Module:
        """The last linear layer of a sublayer of block `layer` (counted from 0)."""
        _check_role(sublayer, get_args(Sublayer))
        return self._linear_map("ffn_output" if sublayer == "ffn" else "mha_output", sublayer, layer).layer

    def norm_after(self, sublayer: Sublayer, layer: int, reading: NormReading) -> nn.Module | None:
        """The norm "after" a sublayer of block `layer` (counted from 0); None where the model has none in this place.

        In a post-LN model, and where norms close the branch, both readings mean the sublayer's own norm. In a pre-LN
        model, `position` means the next norm on the residual stream (after the FFN, this is the first norm of the next
        block, or the final norm), and `sublayer` means the norm before the sublayer. If both sublayers read the stream
        side by side, there is no norm between them, and both readings mean the sublayer's own norm.
        """
        _check_role(sublayer, get_args(Sublayer))
        _check_role(reading, get_args(NormReading))
        if self.table.placement != "pre" or reading == "sublayer":
            return self._norm(layer, self._own_norm(sublayer))
        following = self.sublayers[self.sublayers.index(sublayer) + 1 :]
        if following:
            return self._norm(layer, self._own_norm(following[0]))
        return self._norm(layer + 1, self.table.mha_norm) if layer + 1 < self.num_layers else self.final_norm()

    def output_norm(self, sublayer: Sublayer, layer: int) -> nn.Module | None:
        """The norm of a sublayer's output inside the branch, in a model that also has other norms.

        It follows its sublayer and belongs to it, so in both readings it is chosen together with `norm_after`.
        """
        _check_role(sublayer, get_args(Sublayer))
        paths = {"mha": self.table.mha_output_norm, "cross": None, "ffn": self.table.ffn_output_norm}
        return self._norm(layer, paths[sublayer])

    def norms_after(self, sublayer: Sublayer, layer: int, reading: NormReading) -> list[nn.Module]:
        """The norms that a reading assigns to a sublayer of block `layer` (counted from 0): none, one or two."""
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
        """Whether attention and the feed-forward network of a block read the output of one norm."""
        return self.table.mha_norm == self.table.ffn_norm

    def closing_norm(self, layer: int) -> nn.Module | None:
        """The norm at the end of block `layer` (counted from 0) in a post-LN model; None in other models."""
        return self.norm_after("ffn", layer, "sublayer") if self.table.placement == "post" else None

    def embedding_norm(self) -> nn.Module | None:
        """The norm of the embeddings, if the architecture has one."""
        return self.base.get_submodule(self.table.embedding_norm) if self.table.embedding_norm else None

    def first_norm(self, reading: NormReading) -> nn.Module | None:
        """By `position`, the first norm of a pre-LN model's blocks, which follows no sublayer; else None."""
        before = self.table.placement == "pre" and reading == "position"
        return self._norm(0, self.table.mha_norm) if before else None

    def norms_before_blocks(self, reading: NormReading) -> list[nn.Module]:
        """The norms that follow no sublayer: of the embeddings, and by `position` the first of a pre-LN model."""
        return [norm for norm in (self.embedding_norm(), self.first_norm(reading)) if norm is not None]

    def other_norms(self) -> list[tuple[nn.Module, int]]:
        """Further norms outside all blocks that this model has, each with the number of blocks before it."""
        there = dict(self.base.named_modules())
        return [(there[path], before) for path, before in self.table.other_norms if path in there]

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
        """The norm at `path` in a block; None if an identity is in its place."""
        norm = self.blocks[layer].get_submodule(path) if path else None
        return None if isinstance(norm, nn.Identity) else norm


def views(model: PreTrainedModel) -> list[Backbone]:
    """One `Backbone` for a model; two for an encoder-decoder, first the encoder, then the decoder."""
    if model.config.model_type in DECODERS:
        return [Backbone(model, side) for side in SIDES]
    return [Backbone(model)]


def blocks_of(model: PreTrainedModel) -> list[nn.Module]:
    """The transformer blocks of a model. In an encoder-decoder, those of the encoder come first."""
    return [block for view in views(model) for block in view.blocks]


def longest_text(config: PreTrainedConfig) -> int | None:
    """The most tokens that a model with position embeddings can take; None if the model has no such limit."""
    table = role_table(config)
    return None if table.positions == "relative" else config.max_position_embeddings - table.reserved_positions


def role_table(config: PreTrainedConfig, side: Side | None = None) -> RoleTable:
    """The role table of an architecture.

    Args:
        config: configuration of the architecture.
        side: side of an encoder-decoder; None is its encoder.

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


def _check_role(name: object, known: Sequence[str]) -> None:
    """Refuses the name of a role that no architecture has. A method of the user's may have mistyped it.

    Raises:
        ConfigError: there is no such role.
    """
    if name not in known:
        raise ConfigError(f"method: {name!r} is no role of a transformer; known: {', '.join(known)}")


def head_size(config: PreTrainedConfig) -> int:
    """Size of a query, key or value of one head."""
    size: int = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return size


def _elements(root: nn.Module, path: str) -> list[nn.Module]:
    """The elements of the list at `path`, in order. A `*` in the path stands for every element of a list."""
    outer, star, inner = path.partition(".*.")
    if not star:
        return list(root.get_submodule(outer).children())
    return [element for branch in root.get_submodule(outer).children() for element in _elements(branch, inner)]


def _outputs(layer: nn.Module) -> int:
    return layer.get_parameter("weight").shape[1 if isinstance(layer, Conv1D) else 0]


def rows_of(place: Projection, layer: nn.Module, config: PreTrainedConfig) -> Tensor | None:
    """Indices of the layer's outputs that belong to a projection; None: all."""
    if place.third is None:
        return None
    heads, size = config.num_attention_heads, head_size(config)
    rows = torch.arange(_outputs(layer), device=layer.get_parameter("weight").device)
    shared = (len(rows) // size - heads) // 2  # heads of keys, and of values
    groups = 1 if place.fusion == "stacked" else shared
    parts = rows.view(groups, -1, size).split([heads // groups, shared // groups, shared // groups], dim=1)
    rows_of_place: Tensor = parts[place.third].flatten()
    return rows_of_place
