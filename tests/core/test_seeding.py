"""Random numbers of a run."""

import pytest
import torch

from lnbench.core.seeding import seed_devices


def test_devices_are_seeded_as_torch_does() -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    seed_devices(7)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.gpu
def test_a_gpu_is_seeded_too() -> None:
    torch.manual_seed(7)
    expected = torch.rand(3, device="cuda")
    seed_devices(7)
    assert torch.equal(torch.rand(3, device="cuda"), expected)
