"""Batches of several runs as one."""

import torch

from lnbench.tasks.tokens.examples import IGNORED
from lnbench.training.fused.padding import stack_batches


def test_what_is_by_token_is_padded_and_all_else_stays() -> None:
    short = {
        "input_ids": torch.tensor([[5, 6]]),
        "attention_mask": torch.tensor([[1, 1]]),
        "labels": torch.tensor([[1, 2]]),
        "frozen_states": torch.ones(1, 2, 4),
        "number": torch.tensor([0.5]),
    }
    long = {name: torch.cat([tensor, tensor], dim=1) for name, tensor in short.items() if tensor.ndim > 1}
    stacked = stack_batches([short, {**long, "number": torch.tensor([0.25])}], pad_id=9)
    assert stacked["input_ids"].tolist() == [[[5, 6, 9, 9]], [[5, 6, 5, 6]]]
    assert stacked["attention_mask"].tolist() == [[[1, 1, 0, 0]], [[1, 1, 1, 1]]]
    assert stacked["labels"].tolist() == [[[1, 2, IGNORED, IGNORED]], [[1, 2, 1, 2]]]
    assert stacked["frozen_states"].sum(dim=(1, 2, 3)).tolist() == [8, 16]
    assert stacked["number"].tolist() == [[0.5], [0.25]]
