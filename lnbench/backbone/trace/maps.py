"""Finds the linear maps of a block: those of queries, keys and values, and those of the feed-forward network."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor, nn
from transformers import PreTrainedConfig

from lnbench.backbone.backbone import head_size, rows_of
from lnbench.backbone.tables import Projection
from lnbench.backbone.trace.record import Call, Edit, Pass, by_token, equal, gradient

Again = Callable[[dict[str, Edit]], Pass]
"""Repeats a forward pass with edits of outputs, by path of a module."""


@dataclass
class Maps:
    """The linear maps of a block. Fields of maps that were not found are empty, and `doubts` says why."""

    doubts: dict[str, str]
    attention: list[Call]
    output: Call | None = None
    projections: tuple[Projection, ...] = ()
    rows: tuple[tuple[str, Tensor], ...] = ()
    """Path and rows of query, key and value."""
    ffn_inputs: tuple[Call, ...] = ()
    ffn_output: Call | None = None


def find_maps(block: Call, calls: list[Call], again: Again, config: PreTrainedConfig) -> Maps:
    """Finds the maps of a block.

    Args:
        block: the first call of the block.
        calls: calls of the block's parts.
        again: repeats the forward pass with edits.
        config: configuration of the model.
    """
    found = Maps({}, [])
    x = block.tensors[0]
    maps = [call for call in calls if _is_map(call) and gradient(call.tensors[0], x).any()]
    mixing = [call for call in maps if _sees_others(call.tensors[0], x)]
    if not mixing:
        reason = "no linear map of the block reads what tokens see of each other"
        found.doubts = dict.fromkeys(("query", "key", "value", "mha_output", "ffn_inputs", "ffn_output"), reason)
        return found
    output = mixing[0]
    kinds = {call.path: _kinds_of_rows(call, output) for call in maps if call not in mixing}
    found.attention = [call for call in maps if call.path in kinds and kinds[call.path] is not None]
    _find_projections(
        found, block, output, {path: kind for path, kind in kinds.items() if kind is not None}, again, config
    )
    _find_ffn(found, [one for one in maps if one not in found.attention and one is not output], again)
    if "mha_output" in found.doubts:
        reason = "attention was not found, so the remaining linear maps may be another kind of mixer"
        found.doubts = {"ffn_inputs": reason, "ffn_output": reason, **found.doubts}
    return found


def _find_projections(
    found: Maps, block: Call, output: Call, kinds: dict[str, Tensor], again: Again, config: PreTrainedConfig
) -> None:
    layers = {call.path: call.module for call in found.attention}
    fitting: list[tuple[Projection, ...]] = []
    if len(layers) == 3:
        queries = [path for path, kind in kinds.items() if bool(kind.all())]
        others = [path for path, kind in kinds.items() if not kind.any()]
        values = [path for path in others if _is_value(path, None, output, again, config)]
        keys = [path for path in others if path not in values]
        if len(queries) == len(keys) == len(values) == 1:
            fitting.append(tuple(Projection(path) for path in (*queries, *keys, *values)))
    elif len(layers) == 1:
        ((path, kind),) = kinds.items()
        for fusion in ("stacked", "interleaved"):
            parts = tuple(Projection(path, third, fusion) for third in range(3))
            try:
                query, _, value = (rows_of(part, layers[path], config) for part in parts)
            except (AttributeError, RuntimeError):  # no heads, or sizes that this layout cannot have
                continue
            assert query is not None
            assert value is not None
            if set(query.tolist()) == set(kind.nonzero().flatten().tolist()):
                fitting += [parts] if _is_value(path, value, output, again, config) else []
    if not fitting:
        reason = (
            f"the maps before attention ({', '.join(_short(path, block) for path in layers) or 'none'}) do not act as "
            f"queries, keys and values whose average {_short(output.path, block)} reads: look for a gate, a norm of "
            f"values, sinks, or another kind of attention"
        )
        found.doubts |= dict.fromkeys(("query", "key", "value", "mha_output"), reason)
        return
    found.output = output
    found.rows = tuple((one.path, _all_rows(one, layers[one.path], config)) for one in fitting[0])
    local = tuple(replace(one, path=_short(one.path, block)) for one in fitting[0])
    found.projections = _with_biases(local, found, block, output, again)
    if len(fitting) > 1:
        reason = "with one head of keys `stacked` and `interleaved` are the same; see a model with more heads of keys"
        found.doubts |= dict.fromkeys(("query", "key", "value"), reason)


def _find_ffn(found: Maps, maps: list[Call], again: Again) -> None:
    *inputs, output = maps if maps else [None]
    names = ", ".join(call.path for call in maps) or "none"
    reason = f"the other linear maps ({names}) are not one or two that read the same, and one that reads them"
    if (
        output is None
        or not 1 <= len(inputs) <= 2
        or not all(
            call is not None
            and equal(call.tensors[0], maps[0].tensors[0])
            and gradient(output.tensors[0], call.tensors[1]).any()
            for call in inputs
        )
    ):
        found.doubts |= dict.fromkeys(("ffn_inputs", "ffn_output"), reason)
        return
    if len(inputs) == 2:
        linear = [_is_linear(call, output, again) for call in inputs if call is not None]
        if linear == [True, False]:
            inputs.reverse()
        elif linear != [False, True]:
            found.doubts["ffn_inputs"] = "which of the two is the gate does not show; the gate comes first"
    found.ffn_inputs, found.ffn_output = tuple(call for call in inputs if call is not None), output


def _is_map(call: Call) -> bool:
    weight = getattr(call.module, "weight", None)
    return (
        isinstance(weight, nn.Parameter)
        and weight.ndim == 2
        and call.given is not None
        and call.output is not None
        and sorted(weight.shape) == sorted((call.tensors[0].shape[-1], call.tensors[1].shape[-1]))
    )


def _sees_others(tensor: Tensor, x: Tensor) -> bool:
    """Whether a tensor's values at the last token depend on other tokens of `x`."""
    tensor = by_token(tensor)
    return tensor.shape[:2] == x.shape[:2] and bool(gradient(tensor[:, -1], x)[:, :-1].any())


def _kinds_of_rows(call: Call, output: Call) -> Tensor | None:
    """For each output of a map before attention, whether only the token itself uses it; None: unused."""
    by = by_token(gradient(by_token(output.tensors[0])[:, -1], call.tensors[1]))[0]
    own, others = by[-1] != 0, (by[:-1] != 0).any(0)
    return ~others if bool((own | others).all()) else None


def _is_value(path: str, rows: Tensor | None, output: Call, again: Again, config: PreTrainedConfig) -> bool:
    """Whether a number added to all of these outputs is added, head by head, to the output of attention."""
    size = head_size(config)
    width: int = config.num_attention_heads * size
    sizes: list[int] = []
    shifts: list[Tensor] = []

    def edit(y: Tensor) -> Tensor:
        place = torch.arange(y.shape[-1]) if rows is None else rows
        sizes.append(len(place))
        shifts.append(torch.randn(len(place), generator=torch.Generator().manual_seed(3)))
        return y.index_add(-1, place, shifts[0].expand(*y.shape[:-1], -1))

    after = _input_of(again({path: edit}), output.path)
    before = output.tensors[0]
    if before.shape[-1] != width or sizes[0] % size or config.num_attention_heads % (sizes[0] // size):
        return False
    by_head = shifts[0].view(-1, 1, size)
    expected = by_head.expand(-1, config.num_attention_heads // len(by_head), -1).flatten()
    return equal(after - before, expected.expand_as(before))


def _is_linear(call: Call, output: Call, again: Again) -> bool:
    """Whether the input of the network's last map is proportional to the output of a map."""
    size = 3 * call.tensors[1].detach().abs().mean()
    shift = size * torch.randn(call.tensors[1].shape, generator=torch.Generator().manual_seed(4))

    def added(times: int) -> Tensor:
        return _input_of(again({call.path: lambda y: y + times * shift}), output.path) - output.tensors[0]

    return equal(added(2), 2 * added(1))


def _with_biases(
    projections: tuple[Projection, ...], found: Maps, block: Call, output: Call, again: Again
) -> tuple[Projection, ...]:
    """Adds biases outside of layers. Changing such a bias has the same effect as changing all outputs of its map."""
    layers = {call.path for call in found.attention}
    loose = [
        (name, value)
        for name, value in block.module.named_parameters()
        if value.ndim == 1 and "bias" in name and f"{block.path}.{name}".rpartition(".")[0] not in layers
    ]
    yielded = list(projections)
    for name, parameter in loose:
        for place, (path, rows) in enumerate(found.rows):
            if len(rows) != len(parameter):
                continue
            shift = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(5))
            moved = again({path: partial(_shifted, rows, shift)})
            before = parameter.data.clone()
            parameter.data += shift
            biased = again({})
            parameter.data = before
            one, other = (_input_of(each, output.path) for each in (moved, biased))
            if equal(one, other) and not equal(one, output.tensors[0]):
                yielded[place] = replace(yielded[place], bias=name)
    return tuple(yielded)


def _shifted(rows: Tensor, shift: Tensor, y: Tensor) -> Tensor:
    return y.index_add(-1, rows, shift.expand(*y.shape[:-1], -1))


def _all_rows(place: Projection, layer: nn.Module, config: PreTrainedConfig) -> Tensor:
    rows = rows_of(place, layer, config)
    if rows is None:
        weight = layer.get_parameter("weight")
        rows = torch.arange(weight.shape[0 if isinstance(layer, nn.Linear) else 1])
    return rows


def _input_of(seen: Pass, path: str) -> Tensor:
    return seen.of(path)[0].tensors[0]


def _short(path: str, block: Call) -> str:
    return path.removeprefix(f"{block.path}.")
