"""Attaches a sum of methods to one backbone."""

from collections.abc import Iterable, Mapping, Sequence

from torch import Tensor, nn
from transformers import PreTrainedConfig

from lnbench.backbone.backbone import Backbone
from lnbench.backbone.tables import DECODERS, Side
from lnbench.core.schema import ConfigError
from lnbench.core.seeding import seeded
from lnbench.methods.base import Method
from lnbench.methods.parts.layers import sides_of


def check_sides(parts: Mapping[str, Method], config: PreTrainedConfig) -> None:
    """Checks that a model has the sides that the parts name.

    Raises:
        ConfigError: a part names a side, and the model is no encoder-decoder.
    """
    for name, part in parts.items():
        if _sides(part) and config.model_type not in DECODERS:
            raise ConfigError(
                f"method.{name}.layers = {getattr(part, 'layers', None)!r}: the architecture {config.model_type!r} is "
                f"no encoder-decoder, and has one list of layers; type method.{name}.layers=all, or a range such as 1-3"
            )


def attach(parts: Mapping[str, Method], backbones: Sequence[Backbone], seed: int) -> dict[str, list[str]]:
    """Freezes the backbone, attaches all parts, and makes trainable everything that they claim.

    Parts are attached by stage, and within a stage in alphabetical order. Each has its own random numbers. So the
    initial values of a part do not depend on the order of the sum or on its other parts.

    Args:
        parts: the methods by name.
        backbones: the views of an untouched model. A part is attached to each of them, or to the sides that it names.
        seed: seed of the initial values of inserted modules.

    Returns:
        For each part, the names of the parameters that it claims within the model. A parameter that several parts
        claim is listed for each of them.

    Raises:
        ConfigError: as `check_sides`; or the model lacks the place where a part acts; or a part claims something else
            than parameters of the model.
    """
    model = backbones[0].model
    check_sides(parts, model.config)
    fixed = {id(parameter) for parameter in model.parameters() if not parameter.requires_grad}  # sines of positions
    model.requires_grad_(False)
    claims: dict[str, list[nn.Parameter]] = {}
    for name in sorted(parts, key=lambda name: (parts[name].stage, name)):
        with seeded(seed, name):
            sides = _sides(parts[name])
            chosen = [view for view in backbones if not sides or view.side in sides]
            claimed = [parameter for view in chosen for parameter in _listed(name, parts[name].attach(view))]
            claims[name] = [parameter for parameter in claimed if id(parameter) not in fixed]
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    for name, claimed in claims.items():
        if stray := [tuple(parameter.shape) for parameter in claimed if id(parameter) not in names]:
            raise ConfigError(
                f"method.{name}: its function attach returned a parameter of shape {stray[0]} that is not in the "
                f"model; the functions of lnbench.backbone.insertion put modules into it"
            )
    for parameter in (parameter for claimed in claims.values() for parameter in claimed):
        parameter.requires_grad_(True)
    return {name: sorted({names[id(parameter)] for parameter in claimed}) for name, claimed in claims.items()}


def _listed(name: str, claimed: object) -> list[nn.Parameter]:
    """What a method's `attach` returned.

    Raises:
        ConfigError: these are no parameters.
    """
    found = list(claimed) if isinstance(claimed, Iterable) and not isinstance(claimed, Tensor) else [claimed]
    parameters = [one for one in found if isinstance(one, nn.Parameter)]
    if wrong := [one for one in found if not isinstance(one, nn.Parameter)]:
        raise ConfigError(
            f"method.{name}: its function attach returned a {type(wrong[0]).__name__}, and must return a list of the "
            f"parameters that it trains (torch.nn.Parameter)"
        )
    return parameters


def _sides(part: Method) -> set[Side]:
    return sides_of(getattr(part, "layers", "all"))
