import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from lnbench.tasks.tokens.examples import Examples
from lnbench.training.frozen.states import FrozenStates, size_in_gib

SIZE = 5


@given(
    st.lists(st.integers(1, 9), min_size=1, max_size=20), st.integers(1, 7), st.sampled_from(["float32", "bfloat16"])
)
def test_states_come_back_whatever_batches_they_were_put_in(lengths: list[int], batch_size: int, dtype: str) -> None:
    tokens = np.arange(sum(lengths), dtype=np.int32)
    examples = Examples(tokens, np.cumsum([0, *lengths]), np.zeros(len(lengths)), pad_id=-1)
    vectors = torch.randn(len(tokens) + 1, SIZE).to(getattr(torch, dtype))
    kept = FrozenStates(examples, vectors[0])
    order = np.random.default_rng(0).permutation(len(lengths))
    for rows in np.split(order, range(batch_size, len(order), batch_size)):
        kept.put(rows, vectors[examples.batch(rows)["input_ids"]])  # padding gets a vector too
    for rows in (order, order[:2], order[::-1]):
        batch = examples.batch(rows)
        expected = torch.where(batch["attention_mask"].bool()[..., None], vectors[batch["input_ids"]], 0)
        assert torch.equal(kept.batch(rows), expected)
        assert kept.batch(rows).dtype == vectors.dtype


def test_the_size_is_that_of_all_tokens() -> None:
    examples = Examples(np.ones(2**20, np.int32), np.array([0, 2**20]), np.zeros(1), pad_id=0)
    assert size_in_gib(examples, torch.zeros(256)) == 1
    assert size_in_gib(examples, torch.zeros(256, dtype=torch.bfloat16)) == 0.5
