"""Finds the role table of a model by what its parts compute, and says where a person must decide."""

import itertools
import re
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel

from lnbench.backbone.attention import callers
from lnbench.backbone.tables import RoleTable
from lnbench.backbone.trace.drawings import Sublayers, fitting
from lnbench.backbone.trace.maps import Maps, find_maps
from lnbench.backbone.trace.norms import gain_offset, outermost
from lnbench.backbone.trace.record import Call, Edit, Pass, equal, gradient, run_recorded
from lnbench.backbone.trace.small import build, enough_blocks, fill, require_text, shrunk
from lnbench.core.schema import ConfigError

LENGTH = 4
TOKEN = 5
"""A token id that is not padding."""
FIELDS = tuple(field.name for field in fields(RoleTable) if field.name != "cross")
"""Fields of a role table, without those of encoder-decoders, which are not traced."""
DEFAULTS: dict[str, Any] = {field.name: field.default for field in fields(RoleTable) if field.name in FIELDS}
OF_BLOCK = ("mha_norm", "ffn_norm", "placement", "mha_output_norm", "ffn_output_norm", "query_norm", "key_norm")


@dataclass(frozen=True)
class FoundField:
    """The value found for one field of a role table."""

    value: Any
    doubt: str = ""
    """What a person must decide, and why; empty if the value is certain."""


def find_roles(config: PreTrainedConfig) -> dict[str, FoundField]:
    """The findings for every field of the role table of an architecture.

    Raises:
        ConfigError: transformers builds no such model, it reads no text, has no list of blocks, or its blocks are of a
            kind that cannot be looked at.
    """
    require_text(config)
    small = shrunk(config)
    blocks, complete = enough_blocks(small)
    model = build(small, blocks)
    torch.manual_seed(0)
    fill(model)
    base: nn.Module = model.base_model
    ids = torch.arange(TOKEN, TOKEN + LENGTH)[None]
    try:
        called = callers(model)
        seen = run_recorded(base, ids)
    except Exception as error:
        raise ConfigError(
            f"model: {config.model_type!r} does not run on four tokens ({type(error).__name__}: {error})"
        ) from error
    pattern, first_calls = _blocks(base, seen)

    def again(edits: dict[str, Edit]) -> Pass:
        return run_recorded(base, ids, edits)

    try:
        each = [_block(block, seen, again, small, first_calls) for block in first_calls]
    except ConfigError:
        raise
    except Exception as error:  # whatever a foreign configuration raises, such as one with heads of several sizes
        told = str(error).partition("\n")[0]
        raise ConfigError(
            f"model: the blocks of {config.model_type!r} cannot be looked at ({type(error).__name__}: {told})"
        ) from error
    found = {"blocks": FoundField(pattern), **_agreed(each)}
    if not complete:
        reason = "later blocks have other parts than those looked at"
        found = {name: FoundField(one.value, one.doubt or reason) for name, one in found.items()}
    found["attention"] = _attention(model, first_calls, called)
    found |= _around(base, seen, first_calls)
    found["gain_offset"] = _gain_offset(base, seen)
    found["body"] = FoundField(_body(model, base, first_calls[0].path, seen))
    found |= _positions(model, base, config)
    found["functional_dropout"] = _functional_dropout(small, blocks)
    switches = [name for name, value in config.to_dict().items() if value is False and re.search("q.*norm", name)]
    for name in ("query_norm", "key_norm"):
        if switches and found[name] == FoundField(None):
            found[name] = FoundField(None, f"there is none here; models with {switches[0]}=true may have one")
    return {name: found[name] for name in FIELDS}


def _blocks(base: nn.Module, seen: Pass) -> tuple[str, list[Call]]:
    """The path of the list of blocks, and the first call of each."""
    chains: dict[str, list[Call]] = {}
    for path, module in base.named_modules():
        if not isinstance(module, nn.ModuleList):
            continue
        pattern = re.sub(r"\.\d+\.", ".*.", path)
        calls = [call for call in seen.calls if re.sub(r"\.\d+\.", ".*.", call.path.rpartition(".")[0]) == pattern]
        chained = len(calls) > 1 and all(call.takes_text for call in calls)
        if chained and all(equal(b.tensors[0], a.tensors[1]) for a, b in itertools.pairwise(calls)):
            chains[pattern] = calls
    inner = [one for one in chains if not any(other.startswith(f"{one}.*.") for other in chains)]
    if len(inner) != 1:
        raise ConfigError(
            f"model: {type(base).__name__} has {len(inner)} lists of blocks of which each reads what the one before it "
            f"yields, and a role table is of one"
        )
    return inner[0], list({call.path: call for call in reversed(chains[inner[0]])}.values())[::-1]


def _block(block: Call, seen: Pass, again: Any, config: PreTrainedConfig, blocks: list[Call]) -> dict[str, FoundField]:
    calls = seen.within(block)
    maps = find_maps(block, calls, again, config)
    found = {name: FoundField(None, doubt) for name, doubt in maps.doubts.items()}
    for name, projection in zip(("query", "key", "value"), maps.projections, strict=False):
        found[name] = FoundField(projection, maps.doubts.get(name, ""))
    if maps.output is not None:
        found["mha_output"] = FoundField(_local(maps.output, block))
    if maps.ffn_output is not None:
        inputs = tuple(_local(call, block) for call in maps.ffn_inputs)
        found["ffn_inputs"] = FoundField(inputs, maps.doubts.get("ffn_inputs", ""))
        found["ffn_output"] = FoundField(_local(maps.ffn_output, block), maps.doubts.get("ffn_output", ""))
    return found | _norms(block, calls, maps, seen, blocks)


def _norms(block: Call, calls: list[Call], maps: Maps, seen: Pass, blocks: list[Call]) -> dict[str, FoundField]:
    if maps.output is None or maps.ffn_output is None:
        reason = "attention and the feed-forward network were not found, between which norms stand"
        return {name: FoundField(None, reason) for name in OF_BLOCK}
    x, y = block.tensors
    elsewhere = {_local(norm, other) for other in blocks for norm in outermost(seen.within(other))}
    norms = [call for call in outermost(calls) if gradient(call.tensors[0], x).any()]
    norms += [call for call in calls if isinstance(call.module, nn.Identity) and _local(call, block) in elsewhere]
    found: dict[str, FoundField] = {}
    inner: list[Call] = []
    for norm in [one for one in norms if one.start < maps.output.start]:
        query, key, value = (_reads(norm, path, rows, calls) for path, rows in maps.rows)
        if not (query or key or value):
            continue
        inner.append(norm)
        name = {(True, False, False): "query_norm", (False, True, False): "key_norm"}.get((query, key, value))
        if name is None or name in found or len(seen.of(norm.path)) > len(seen.of(block.path)):
            reason = f"{_local(norm, block)} is inside attention, and not of queries or of keys alone"
            found |= {"query_norm": FoundField(None, reason), "key_norm": FoundField(None, reason)}
            break
        found[name] = FoundField(_local(norm, block))
    outer = [norm for norm in norms if norm not in inner]
    read = maps.rows[2][0]
    parts = Sublayers(
        x,
        y,
        next(call for call in calls if call.path == read).tensors[0],
        maps.output.tensors[1],
        maps.ffn_inputs[0].tensors[0],
        maps.ffn_output.tensors[1],
    )
    drawings = fitting(parts, outer)
    if len(drawings) != 1:
        reason = (
            f"the block is {'several' if drawings else 'none'} of the drawings of docs/models.md; its norms: "
            f"{', '.join(_local(norm, block) for norm in outer) or 'none'}"
        )
        return found | {
            name: FoundField(None, reason) for name in OF_BLOCK if not name.endswith(("query_norm", "key_norm"))
        }
    (drawing,) = drawings
    for name in ("mha_norm", "ffn_norm", "mha_output_norm", "ffn_output_norm"):
        norm = getattr(drawing, name)
        found[name] = FoundField(None if norm is None else _local(norm, block))
    return found | {"placement": FoundField(drawing.placement)}


def _agreed(each: list[dict[str, FoundField]]) -> dict[str, FoundField]:
    """The fields on which all blocks agree, with paths relative to a block."""
    names = ("query", "key", "value", "mha_output", "ffn_inputs", "ffn_output", *OF_BLOCK)
    missing = FoundField(None)
    found: dict[str, FoundField] = {}
    for name in names:
        values = [one.get(name, missing) for one in each]
        doubts = [one.doubt for one in values if one.doubt]
        if not doubts and any(one.value != values[0].value for one in values):
            doubts = [f"blocks differ: {', '.join(dict.fromkeys(str(one.value) for one in values))}"]
        found[name] = FoundField(values[-1].value, doubts[0] if doubts else "")
    return found


def _reads(norm: Call, path: str, rows: Tensor, calls: list[Call]) -> bool:
    source = next(call for call in calls if call.path == path)
    return bool(gradient(norm.tensors[0], source.tensors[1])[..., rows].any())


def _attention(model: PreTrainedModel, blocks: list[Call], called: set[nn.Module]) -> FoundField:
    places = {tuple(name for name, part in block.module.named_modules() if part in called) for block in blocks}
    if places == {()}:
        return FoundField(None)
    (first, *others) = places
    if others or len(first) != 1:
        return FoundField(None, f"blocks call transformers' attention function in different places: {sorted(places)}")
    return FoundField(first[0])


def _around(base: nn.Module, seen: Pass, blocks: list[Call]) -> dict[str, FoundField]:
    """The norms outside the blocks."""
    inside = tuple(f"{block.path}." for block in blocks)
    outside = [call for call in outermost(seen.calls) if not call.path.startswith(inside)]
    start, end = blocks[0].tensors[0], max(seen.calls, key=lambda call: call.end * (call.path == blocks[-1].path))
    before = [call for call in outside if call.end < blocks[0].start and gradient(start, call.tensors[1]).any()]
    after = [call for call in outside if call.start > end.end]
    found: dict[str, FoundField] = {}
    for name, norms in (("embedding_norm", before), ("final_norm", after)):
        found[name] = FoundField(None)
        if len(norms) == 1:
            found[name] = FoundField(norms[0].path)
        elif norms:
            found[name] = FoundField(None, f"several norms are there: {', '.join(norm.path for norm in norms)}")
    other = [norm for norm in outside if norm not in (*before, *after)]
    number = [sum(block.end < norm.start for block in blocks) for norm in other]
    found["other_norms"] = FoundField(tuple(zip((norm.path for norm in other), number, strict=True)))
    if len(after) == 1 and not equal(after[0].tensors[0], end.tensors[1]):
        found["final_norm"] = FoundField(after[0].path, "something stands between the last block and this norm")
    return found


def _gain_offset(base: nn.Module, seen: Pass) -> FoundField:
    norms = {call.path: call for call in outermost(seen.calls) if list(call.module.parameters())}
    offsets = {path: gain_offset(call) for path, call in norms.items()}
    if len(set(offsets.values())) > 1 or None in offsets.values():
        different = ", ".join(f"{path}: {offset}" for path, offset in offsets.items())
        return FoundField(0.0, f"norms store their gains in different ways ({different})")
    return FoundField(next(iter(offsets.values()), 0.0))


def _body(model: PreTrainedModel, base: nn.Module, block: str, seen: Pass) -> str:
    """The innermost called module that holds both the word embedding and the blocks."""
    words = next(name for name, part in base.named_modules() if part is model.get_input_embeddings())
    holders = [
        call.path for call in seen.calls if call.path and all(p.startswith(f"{call.path}.") for p in (words, block))
    ]
    return max(holders, key=len, default="")


def _positions(model: PreTrainedModel, base: nn.Module, config: PreTrainedConfig) -> dict[str, FoundField]:
    """Whether there is a vector for each position, and how many of these no text uses."""
    model.zero_grad()
    seen = run_recorded(base, torch.full((1, LENGTH), TOKEN))
    longest = getattr(model.config, "max_position_embeddings", None)
    for call in seen.calls:
        if not isinstance(call.module, nn.Embedding):
            continue
        used = gradient(seen.states, call.module.weight).abs().sum(1).nonzero().flatten().tolist()
        if used and used == list(range(used[0], used[0] + LENGTH)):
            reserved = -1 if longest is None else longest - (call.module.num_embeddings - used[0])
            doubt = "" if reserved >= 0 else f"{call.path} has no rows as its configuration counts them"
            if reserved == (model.config.pad_token_id or 0) + 1:
                doubt = "it seems to be 1 + the padding token's id, which differs between models of an architecture"
            return {"positions": FoundField("embedded"), "reserved_positions": FoundField(max(reserved, 0), doubt)}
    over = torch.full((1, (longest or 64) + 3), TOKEN)
    doubt = "" if longest is None or longest <= 4096 else "a text longer than its positions was not tried"
    limits = [name for name in config.to_dict() if re.search("max.*len|max.*pos|n_positions|n_ctx", name)]
    if longest is None and limits:
        doubt = f"no vectors of positions were seen; whether {limits[0]} bounds a text, was not tried"
    if not doubt:
        try:
            with torch.no_grad():
                base(input_ids=over, attention_mask=torch.ones_like(over))
        except Exception as error:
            doubt = f"no vectors of positions were seen, and {over.shape[1]} tokens fail ({type(error).__name__})"
    return {"positions": FoundField("relative", doubt), "reserved_positions": FoundField(0, doubt)}


def _functional_dropout(config: PreTrainedConfig, blocks: int) -> FoundField:
    """Whether a model in training mode is random even with the dropout of its modules and of attention turned off."""
    settings = {
        name: 0.5
        for name, value in config.to_dict().items()
        if "drop" in name and "layer" not in name and isinstance(value, int | float) and not isinstance(value, bool)
    }
    try:
        model = build(config, blocks, **settings, **({"layerdrop": 0.0} if hasattr(config, "layerdrop") else {}))
        fill(model)
        callers(model)
        model.train()
        for module in model.modules():
            if type(module) is nn.Dropout:
                module.p = 0.0
        ids = torch.arange(TOKEN, TOKEN + LENGTH)[None]
        with torch.no_grad():
            one, other = (model.base_model(input_ids=ids, attention_mask=torch.ones_like(ids))[0] for _ in range(2))
    except Exception as error:
        return FoundField(False, f"it does not run in training ({type(error).__name__})")
    return FoundField(not torch.equal(one, other))


def _local(call: Call, block: Call) -> str:
    return call.path.removeprefix(f"{block.path}.")
