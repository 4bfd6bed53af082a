"""AdamW over the trained parameters, each part with its own learning rate."""

from collections import defaultdict
from collections.abc import Mapping

from torch import nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR

from lnbench.backbone.backbone import views
from lnbench.backbone.tuned_model import TunedModel
from lnbench.config.trainer import TrainerConfig
from lnbench.methods.base import Method
from lnbench.methods.head import HeadOnly


def new_optimiser(model: TunedModel, config: TrainerConfig, parts: Mapping[str, Method]) -> AdamW:
    """One parameter group for each pair of learning rate and weight decay.

    `config.lr_factor` multiplies the parts' rates; `config.lr` overrides them, and the head's. The head learns at the
    rate of `head` where that is the method, else at `config.head_lr`. A part may give some of its parameters a multiple
    of its rate. A parameter that several parts claim learns at the rate of the first in
    alphabetical order. Only matrices decay; gains, biases and other vectors never do, nor do norms of any shape.
    """
    rates = {name: config.lr or part.lr * config.lr_factor for name, part in parts.items()}
    rate_of = {
        name: rates[part] * parts[part].rate_multiple(name)
        for part in sorted(model.claims, reverse=True)
        for name in model.claims[part]
    }
    of_head = rates.get(HeadOnly.kind, config.lr or config.head_lr)
    groups: dict[tuple[float, float], list[nn.Parameter]] = defaultdict(list)
    norms = [
        norm for view in views(model.backbone) for layer in range(view.num_layers) for norm in view.norms_of(layer)
    ]
    of_norms = {id(parameter) for norm in norms for parameter in norm.parameters(recurse=False)}
    for name, parameter in model.trained().items():
        rate = rate_of.get(name, of_head)
        decays = parameter.ndim > 1 and id(parameter) not in of_norms
        groups[rate, config.weight_decay if decays else 0.0].append(parameter)
    return AdamW(
        [{"params": group, "lr": lr, "weight_decay": decay} for (lr, decay), group in groups.items()], fused=True
    )


def linear_schedule(optimiser: AdamW, warmup: int, steps: int) -> LambdaLR:
    """Rises linearly to the full learning rate over `warmup` steps, then falls linearly to 0 at `steps`."""

    def factor(step: int) -> float:
        rising = (step + 1) / (warmup + 1)
        falling = (steps - step) / max(1, steps - warmup)
        return max(0.0, min(1.0, rising, falling))

    return LambdaLR(optimiser, factor)
