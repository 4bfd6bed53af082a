from pathlib import Path

import pytest
import torch

from tests.conftest import Configure
from tests.runs import results


@pytest.mark.parametrize("method", ["ln", "ln+prefix+mha_adapter"])
def test_the_same_seed_gives_the_same_bits(configure: Configure, tmp_path: Path, method: str) -> None:
    first = results(configure(f"method={method}"))
    torch.manual_seed(123)
    torch.rand(7)
    assert results(configure(f"method={method}", f"runs_dir={tmp_path}/again")) == first


def test_another_seed_gives_other_numbers(configure: Configure) -> None:
    first, second = results(configure()), results(configure("seed=1"))
    assert first["history"] != second["history"]
    for name, values in first["adapter"].items():
        fixed = name in ("head.mean", "head.scale")
        assert (values == second["adapter"][name]) == fixed


def test_parts_named_in_another_order_are_the_same_run(configure: Configure, tmp_path: Path) -> None:
    first = results(configure("method=ln+prefix"))
    assert results(configure("method=prefix+ln", f"runs_dir={tmp_path}/again")) == first
