"""AdaLoRA trains as HF peft's does: the same losses, gradients, importances and ranks, step by step."""

import re
from typing import Any

import pytest
import torch
from peft import AdaLoraConfig, TaskType, get_peft_model
from torch import Tensor, nn

from lnbench.backbone.tuned_model import TunedModel
from lnbench.methods.adalora import AdaLora
from lnbench.methods.parts.triplets import KEPT, SENSITIVITY, UNCERTAINTY, TripletUpdate
from tests.parity.compare import TOLERANCE
from tests.parity.weight_cases import ROLES, places_of
from tests.tiny import batch, part, tiny, trained, tuned

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

RANK, TARGET, ALPHA, STEPS = 6, 3, 7, 20
SCHEDULES = [
    {"initial": 0.2, "final": 0.3, "interval": 1},
    {"initial": 0.0, "final": 0.5, "interval": 4},
    {"initial": 0.5, "final": 0.0, "interval": 3},
]
NAMES = {"p": "lora_B", "e": "lora_E", "q": "lora_A"}
"""From our names to peft's."""


def objective(states: Tensor) -> Tensor:
    directions = torch.cos(torch.arange(states[0].numel(), dtype=states.dtype)).view_as(states[0])
    return (states * directions).sum(dim=(1, 2)).square().mean()


def give_loss(model: Any) -> None:
    """Lets a headless model return a loss, to which peft adds its penalty."""
    forward = model.forward

    def with_loss(**inputs: Tensor) -> Any:
        output = forward(**inputs)
        output.loss = objective(output.last_hidden_state)
        return output

    model.forward = with_loss


class Training:
    """Both models, and what is compared after a step."""

    def __init__(self, architecture: str, schedule: dict[str, Any]) -> None:
        places = places_of(architecture)
        pattern = f"^({'|'.join(re.escape(place.layer) for place in places)})$"
        first, last = (round(schedule[name] * STEPS) for name in ("initial", "final"))
        config = AdaLoraConfig(
            task_type=TaskType.FEATURE_EXTRACTION,
            target_modules=pattern,
            init_r=RANK,
            target_r=TARGET,
            lora_alpha=ALPHA,
            tinit=first,
            tfinal=last,
            deltaT=schedule["interval"],
            total_step=STEPS,
            orth_reg_weight=0.3,
        )
        self.theirs: Any = get_peft_model(tiny(architecture), config).double().eval()
        give_loss(self.theirs.base_model.model)
        alpha = ALPHA * RANK / (RANK + 1e-5)  # peft divides by a little more than the rank
        settings = {"rank": RANK, "target_rank": TARGET, "alpha": alpha, "orthogonality": 0.3, **schedule}
        method = part("adalora", targets=["q", "k", "v", "o", "ffn"], **settings)
        assert isinstance(method, AdaLora)
        self.method = method
        self.ours: TunedModel = tuned(tiny(architecture), {"adalora": method}, lambda _: nn.Identity()).double().eval()
        self.updates: dict[str, TripletUpdate] = {}
        for place in places:
            update = self.ours.backbone.get_submodule(f"{place.layer}.adalora_{place.role}")
            assert isinstance(update, TripletUpdate)
            self.updates[place.layer] = update
        with torch.no_grad():
            for layer, name, parameter in self.pairs():
                parameter.copy_(self.of_peft(layer, name).view_as(parameter))
        self.optimisers = [torch.optim.Adam(trained(model).values(), lr=0.02) for model in (self.theirs, self.ours)]

    def pairs(self) -> list[tuple[str, str, nn.Parameter]]:
        """Layer, name and value of each trained tensor."""
        return [(layer, name, getattr(update, name)) for layer, update in self.updates.items() for name in NAMES]

    def of_peft(self, layer: str, name: str) -> Any:
        return self.theirs.get_parameter(f"base_model.model.{layer}.{NAMES[name]}.default")

    def step(self, number: int) -> tuple[Tensor, Tensor]:
        """Both losses, of which each model has the gradients."""
        for optimiser in self.optimisers:
            optimiser.zero_grad()
        inputs = batch(seed=number)
        theirs = self.theirs(**inputs).loss
        ours = objective(self.ours.backbone(**inputs).last_hidden_state) + self.method.penalty(self.ours)
        for loss in (theirs, ours):
            loss.backward()
        for layer, name, parameter in self.pairs():
            close(parameter.grad, self.of_peft(layer, name).grad)
        for optimiser in self.optimisers:
            optimiser.step()
        self.theirs.base_model.update_and_allocate(number)
        self.method.after_step(self.ours, number, STEPS)
        return theirs, ours


def close(ours: Tensor | None, theirs: Tensor | None) -> None:
    assert ours is not None
    assert theirs is not None
    torch.testing.assert_close(ours, theirs.detach().view_as(ours), rtol=1e-9, atol=TOLERANCE)


@pytest.mark.parametrize("architecture", ["bert", "llama", "qwen3"])
@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
def test_training_is_that_of_peft(architecture: str, schedule: dict[str, Any]) -> None:
    training = Training(architecture, schedule)
    allocator = training.theirs.base_model.rankallocator
    patterns = set()
    for number in range(1, STEPS + 1):
        theirs, ours = training.step(number)
        close(ours, theirs)
        for layer, name, parameter in training.pairs():
            close(parameter, training.of_peft(layer, name))
            key, update = f"{layer}.{NAMES[name]}.default", training.updates[layer]
            if number < STEPS - round(schedule["final"] * STEPS):  # peft forgets them at the last allotment
                close(update.get_buffer(name + SENSITIVITY), allocator.exp_avg_ipt[key])
                close(update.get_buffer(name + UNCERTAINTY), allocator.exp_avg_unc[key])
        pattern = training.theirs.peft_config["default"].rank_pattern or {}
        for name, kept in pattern.items():
            assert training.updates[name.removesuffix(".lora_E.default")].get_buffer(KEPT).tolist() == kept
        patterns.add(str(pattern))
    assert len(patterns) > 2
    ranks = [int(update.get_buffer(KEPT).sum()) for update in training.updates.values()]
    assert sum(ranks) == TARGET * len(ranks)
    assert len(set(ranks)) > 1
    assert [int((update.e != 0).sum()) for update in training.updates.values()] == ranks


def test_the_comparison_covers_all_linear_maps() -> None:
    assert {place.role for place in places_of("llama")} == set(ROLES)
