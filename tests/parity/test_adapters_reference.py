"""Each method computes and learns what that of AdapterHub's `adapters` does."""

import pytest

from tests.parity.adapters_cases import cases
from tests.parity.case import Case
from tests.parity.compare import TOLERANCE


@pytest.mark.parametrize("case", cases(), ids=str)
def test_outputs_and_gradients_are_those_of_adapters(case: Case) -> None:
    difference = case.run()
    assert difference.outputs < TOLERANCE
    assert difference.gradients < TOLERANCE
