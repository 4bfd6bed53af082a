"""Packed weights change nothing that autocast computes."""

import pytest
import torch
from torch import Tensor, nn

from lnbench.backbone.tuned_model import TunedModel
from lnbench.tasks.parts.heads import SentenceHead
from lnbench.training.frozen.packed import pack_frozen_weights
from lnbench.training.frozen.weights import store_frozen_weights
from tests.tiny import batch, shake, tiny, tuned

pytestmark = pytest.mark.skipif(
    not torch.ops.mkldnn._is_mkldnn_bf16_supported(), reason="needs a processor with AVX512, as bf16 does"
)


def rounded(architecture: str, method: str) -> TunedModel:
    model = tuned(tiny(architecture), method, lambda size: SentenceHead(size, 3, "mean", 0.1))
    shake(model)
    store_frozen_weights(model, torch.bfloat16)
    return model


def step(model: TunedModel) -> list[Tensor]:
    """Logits of a batch, and gradients of all that is trained."""
    torch.manual_seed(0)
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(**batch())
    return [logits.detach(), *torch.autograd.grad(logits.float().square().sum(), list(model.trained().values()))]


def packed(model: nn.Module) -> list[str]:
    return [name for name, module in model.named_modules() if "forward" in vars(module)]


@pytest.mark.parametrize(
    ("architecture", "method"),
    [("bert", "ln"), ("bert", "lora"), ("bert", "ln+prefix+mha_adapter"), ("llama", "ln")],
)
def test_logits_and_gradients_are_the_same_to_the_last_bit(architecture: str, method: str) -> None:
    model = rounded(architecture, method)
    expected = step(model)
    pack_frozen_weights(model)
    assert packed(model)
    assert all(map(torch.equal, step(model), expected))


def test_what_is_trained_is_not_packed() -> None:
    model = rounded("bert", "full")
    pack_frozen_weights(model)
    assert not packed(model)
