"""Measures how far training moves the gains and biases of a model's norms."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from lnbench.backbone.backbone import Backbone, NormReading, views
from lnbench.backbone.tables import Side
from lnbench.backbone.tuned_model import TunedModel
from lnbench.methods.base import Method
from lnbench.methods.ln import PARAMETER_OF, LayerNormTuning
from lnbench.records.shift import Norm, NormShift, Term


@dataclass(frozen=True)
class PretrainedTerm:
    """A gain or bias that is going to be trained, and its pretrained value."""

    layer: int
    norm: Norm
    term: Term
    parameter: str
    """Name of the parameter in the model."""
    value: Tensor
    """A copy of the parameter on the CPU."""
    offset: float = 0.0
    """Number that the norm adds to the parameter."""
    side: Side | None = None
    """Side of an encoder-decoder; None for other models."""


def keep_pretrained(model: TunedModel, parts: Mapping[str, Method]) -> list[PretrainedTerm]:
    """Copies every gain and bias that the method trains, in the order of the residual stream.

    Norms are named by the reading `method.ln.norm_reading`, or by `position` if no part has a reading.

    Args:
        model: prepared model with its pretrained values, before any checkpoint is loaded.
        parts: parts of the method.
    """
    masks = model.masks()
    names = {id(value): name for name, value in model.trained().items() if name not in masks or masks[name].any()}
    return [
        PretrainedTerm(
            layer,
            norm,
            term,
            names[id(parameter)],
            parameter.detach().cpu().clone(),
            view.table.gain_offset if term == "gain" else 0.0,
            view.side,
        )
        for view in views(model.backbone)
        for layer, norm, module in _norms(view, _reading(parts))
        for term, parameter in _terms(module)
        if id(parameter) in names
    ]


def measure_shift(terms: Sequence[PretrainedTerm], state: Mapping[str, Tensor]) -> list[NormShift]:
    """How far each term is from its pretrained value.

    Args:
        terms: terms that `keep_pretrained` returned.
        state: trained values by parameter name.
    """
    return [_shift(term, state[term.parameter]) for term in terms]


def _reading(parts: Mapping[str, Method]) -> NormReading:
    return next((part.norm_reading for part in parts.values() if isinstance(part, LayerNormTuning)), "position")


def _norms(backbone: Backbone, reading: NormReading) -> Iterator[tuple[int, Norm, nn.Module]]:
    """Each norm that has a role, once, with its layer and name."""
    seen: set[nn.Module] = set()
    for layer, name, norm in _places(backbone, reading):
        if norm is not None and norm not in seen:
            seen.add(norm)
            yield layer, name, norm


def _places(backbone: Backbone, reading: NormReading) -> Iterator[tuple[int, Norm, nn.Module | None]]:
    """All places where norms may be. A norm that attention and the feed-forward network share is attention's."""
    embedding = backbone.embedding_norm()
    yield 0, "embedding", embedding
    yield 0, "first" if embedding else "embedding", backbone.first_norm(reading)
    yield from ((before, "other", norm) for norm, before in backbone.other_norms())
    for layer in range(backbone.num_layers):
        for name in ("query", "key"):
            yield from ((layer + 1, name, norm) for norm in backbone.inner_norms(name, layer))
        yield layer + 1, "mha_output", backbone.output_norm("mha", layer)
        yield layer + 1, "mha", backbone.norm_after("mha", layer, reading)
        if "cross" in backbone.sublayers:
            yield layer + 1, "cross", backbone.norm_after("cross", layer, reading)
        yield layer + 1, "ffn_output", backbone.output_norm("ffn", layer)
        yield layer + 1, "ffn", backbone.norm_after("ffn", layer, reading)
    yield backbone.num_layers, "final", backbone.final_norm()


def _terms(norm: nn.Module) -> Iterator[tuple[Term, nn.Parameter]]:
    parameters = dict(norm.named_parameters(recurse=False))
    terms: tuple[Term, ...] = ("gain", "bias")
    for term in terms:
        if (parameter := parameters.get(PARAMETER_OF[term])) is not None:
            yield term, parameter


def _shift(term: PretrainedTerm, value: Tensor) -> NormShift:
    start = term.value.double()
    change = value.detach().cpu().double() - start
    size = (start + term.offset).norm().item()
    return NormShift(
        side=term.side,
        layer=term.layer,
        norm=term.norm,
        term=term.term,
        mean_abs=change.abs().mean().item(),
        max_abs=change.abs().max().item(),
        relative=change.norm().item() / size if size else None,
    )
