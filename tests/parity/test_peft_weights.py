"""What changes weights computes and learns what HF peft's counterpart does."""

import pytest
import torch

from tests.parity.case import Case
from tests.parity.compare import TOLERANCE
from tests.parity.weight_cases import COMPARISONS, cases, tuned

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")


@pytest.mark.parametrize("case", cases(), ids=str)
def test_outputs_and_gradients_are_those_of_peft(case: Case) -> None:
    difference = case.run()
    assert difference.outputs < TOLERANCE
    assert difference.gradients < TOLERANCE


@pytest.mark.parametrize("architecture", ["bert", "llama"])
@pytest.mark.parametrize("label", ["lora, dora", "lora, pissa"])
def test_what_is_trained_starts_as_in_peft(architecture: str, label: str) -> None:
    """A of LoRA is random, and the signs of singular vectors are free: B A is compared."""
    models = tuned(COMPARISONS[label], architecture)
    for place in models.places:
        ours = models.inserted("lora", place)
        a, b = (models.start[f"{place.layer}.lora_{matrix}.weight"] for matrix in "AB")
        torch.testing.assert_close(ours["b"] @ ours["a"], b @ a, rtol=0, atol=1e-5)
        if "dora" in label:
            lengths = models.start[f"{place.layer}.lora_magnitude_vector.weight"]
            torch.testing.assert_close(ours["magnitude"], lengths, rtol=0, atol=1e-5)
