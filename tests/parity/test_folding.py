"""LoRA and (IA)^3, alone and in sums, compute and learn what changed pretrained weights would."""

import pytest

from tests.parity.case import Case
from tests.parity.compare import TOLERANCE
from tests.parity.folding_cases import cases


@pytest.mark.parametrize("case", cases(), ids=str)
def test_outputs_and_gradients_are_those_of_the_closed_form(case: Case) -> None:
    difference = case.run()
    assert difference.outputs < TOLERANCE
    assert difference.gradients < TOLERANCE
