"""On later architectures and encoder-decoders each method that HF peft has computes and learns what peft's does."""

import pytest

from tests.parity import two_sided_cases
from tests.parity.case import Case
from tests.parity.compare import TOLERANCE
from tests.parity.roles_cases import cases


@pytest.mark.filterwarnings("ignore:Detected that the base layer has no bias term:UserWarning")
@pytest.mark.filterwarnings("ignore:Unsupported layer type:UserWarning")
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
@pytest.mark.parametrize("case", [*cases(), *two_sided_cases.cases()], ids=str)
def test_outputs_and_gradients_are_those_of_peft(case: Case) -> None:
    difference = case.run()
    assert difference.outputs < TOLERANCE
    assert difference.gradients < TOLERANCE
