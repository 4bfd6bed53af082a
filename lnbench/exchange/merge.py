"""Folds trained values into the pretrained weights. The result is a plain transformers model of the original speed."""

from dataclasses import replace
from pathlib import Path

from torch import Tensor

from lnbench.backbone.config import MASK
from lnbench.backbone.loading import load_tokenizer
from lnbench.backbone.tuned_model import BACKBONE, TunedModel
from lnbench.core.schema import ConfigError
from lnbench.exchange.heads import save_head
from lnbench.exchange.tuned import Tuned, check_can_fold
from lnbench.methods.parts.linear_change import Change, folded
from lnbench.training.assemble import load_pretrained


def merge(tuned: Tuned) -> Tuned:
    """Returns an equivalent model without inserted modules.

    Raises:
        ConfigError: a part of the method is a network, which cannot be folded into the weights; or it adds a bias to a
            layer that has none; or the weights are quantised.
    """
    check_can_fold(tuned.config)
    plain = load_pretrained(tuned.config)
    plain.load_state_dict(_folded(tuned.model, set(plain.state_dict())))
    model = TunedModel(plain, tuned.model.head, claims={}, pretrained_size=tuned.model.pretrained_size)
    return replace(tuned, model=model.eval())


def save_merged(tuned: Tuned, folder: Path) -> None:
    """Writes a merged model and its tokenizer in transformers' format, and beside it the task head, a linear layer.

    Raises:
        ConfigError: as for `merge`.
    """
    merged = merge(tuned)
    merged.model.backbone.save_pretrained(folder)
    load_tokenizer(tuned.config.model).save_pretrained(folder)  # a used one keeps the length at which it last cut texts
    save_head(merged.model.head, folder)


def _folded(model: TunedModel, plain: set[str]) -> dict[str, Tensor]:
    """The values of the backbone with all changes folded in, by their names in a plain model."""
    values = model.backbone.state_dict()
    left = {name for name in set(values) - plain if not name.endswith(MASK)}
    for name, module in model.backbone.named_modules():
        values |= {f"{name}.{own}": tensor for own, tensor in folded(module).items()}
        if isinstance(module, Change) and module.foldable:
            without_place = module.shifts and f"{name.rpartition('.')[0]}.bias" not in plain
            left -= set() if without_place else {f"{name}.{own}" for own in module.state_dict()}
    if left:
        inserting = sorted(part for part, names in model.claims.items() if left & {_local(name) for name in names})
        raise ConfigError(
            f"method: {', '.join(inserting)} cannot be folded into the weights, which have no place for it; "
            f"full, head, ln, fisher_ln, bitfit, lora, lora_all, lora_xs, adalora, oft, svft, vera, ia3 and their sums "
            f"can, and hadamard, red, ssf and beft where the layers that they change have biases"
        )
    return {name: values[name] for name in plain}


def _local(name: str) -> str:
    return name.removeprefix(f"{BACKBONE}.")
