from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lnbench.tasks.tokens.examples import Examples

PAD = 99
ROWS = st.lists(st.lists(st.integers(1, 50), min_size=1, max_size=9), min_size=1, max_size=12)


def new_examples(rows: list[list[int]], *, types: bool = False) -> Examples:
    tokens = np.array([token for row in rows for token in row], np.int32)
    return Examples(
        tokens=tokens,
        offsets=np.cumsum([0, *map(len, rows)]),
        labels=np.arange(len(rows)),
        pad_id=PAD,
        token_types=(tokens % 2).astype(np.uint8) if types else None,
    )


@given(ROWS, st.data())
def test_a_batch_holds_its_rows_padded_to_the_longest(rows: list[list[int]], data: st.DataObject) -> None:
    chosen = data.draw(st.lists(st.integers(0, len(rows) - 1), min_size=1, max_size=8))
    batch = new_examples(rows, types=True).batch(np.array(chosen))
    longest = max(len(rows[row]) for row in chosen)
    assert batch["labels"].tolist() == chosen
    assert batch["input_ids"].shape == (len(chosen), longest)
    for place, row in enumerate(chosen):
        padding = longest - len(rows[row])
        assert batch["input_ids"][place].tolist() == rows[row] + [PAD] * padding
        assert batch["attention_mask"][place].tolist() == [1] * len(rows[row]) + [0] * padding
        assert batch["token_type_ids"][place].tolist() == [token % 2 for token in rows[row]] + [0] * padding


def test_batches_have_the_types_that_models_take() -> None:
    batch = new_examples([[1, 2], [3]]).batch(np.array([1, 0]))
    assert {name: str(tensor.dtype) for name, tensor in batch.items()} == {
        "input_ids": "torch.int64",
        "attention_mask": "torch.int64",
        "labels": "torch.int64",
    }


@pytest.mark.parametrize("types", [False, True])
def test_arrays_rebuild_the_examples(types: bool) -> None:
    examples = new_examples([[1, 2], [3]], types=types)
    again = Examples.from_arrays(examples.to_arrays(), PAD)
    rows = np.array([0, 1])
    assert {n: t.tolist() for n, t in again.batch(rows).items()} == {
        n: t.tolist() for n, t in examples.batch(rows).items()
    }


def test_extras_go_into_the_file_and_into_no_batch() -> None:
    examples = replace(new_examples([[1, 2], [3]]), extras={"row": np.array([4, 4])})
    again = Examples.from_arrays(examples.to_arrays(), PAD)
    assert {name: values.tolist() for name, values in again.extras.items()} == {"row": [4, 4]}
    assert set(again.batch(np.array([0]))) == {"input_ids", "attention_mask", "labels"}


def test_arrays_that_do_not_fit_together_are_refused() -> None:
    arrays = new_examples([[1, 2], [3]]).to_arrays()
    for name in ("tokens", "labels"):
        with pytest.raises(ValueError, match="do not fit together"):
            Examples.from_arrays({**arrays, name: arrays[name][:1]}, PAD)
