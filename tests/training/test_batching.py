import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from lnbench.tasks.tokens.examples import Examples
from lnbench.training.batching import POOL, EvalLoader, Piece, TrainLoader, in_pieces, shuffled_batches

LENGTHS = st.lists(st.integers(1, 60), min_size=1, max_size=300).map(np.array)
SIZES = st.integers(1, 40)


def new_examples(lengths: list[int] | np.ndarray) -> Examples:
    """Examples whose labels are their row numbers."""
    offsets = np.cumsum([0, *lengths])
    return Examples(np.ones(offsets[-1], np.int32), offsets, np.arange(len(lengths)), pad_id=0)


def random_lengths(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(1, 60, count)


def rows(loader: TrainLoader) -> list[list[int]]:
    return [labels(batch) for batch in loader]


def labels(batch: Sequence[Piece]) -> list[int]:
    """Of all rows of a batch."""
    return [label for piece in batch for label in piece.rows["labels"].tolist()]


@given(LENGTHS, SIZES, st.integers(0, 9))
def test_every_row_is_in_exactly_one_batch(lengths: np.ndarray, size: int, seed: int) -> None:
    batches = shuffled_batches(lengths, size, seed, 0)
    assert sorted(np.concatenate(batches)) == list(range(len(lengths)))
    assert sorted(map(len, batches))[1:] == [size] * (len(batches) - 1)
    assert len(batches) == len(TrainLoader(new_examples(lengths), size, seed))


def test_long_batches_come_at_the_same_step_for_every_seed_and_at_another_in_every_epoch() -> None:
    lengths = random_lengths(3 * POOL * 4)
    (first, other), (again, _) = (
        [[lengths[batch].max() for batch in shuffled_batches(lengths, 4, seed, epoch)] for epoch in (0, 1)]
        for seed in (0, 1)
    )
    assert np.corrcoef(first, again)[0, 1] > 0.9
    assert abs(np.corrcoef(first, other)[0, 1]) < 0.3


@given(LENGTHS, SIZES, st.integers(0, 9))
def test_padding_is_minimal_within_a_pool(lengths: np.ndarray, size: int, seed: int) -> None:
    lengths = lengths[: POOL * size]
    batches = shuffled_batches(lengths, size, seed, 0)
    padded = sum(len(batch) * lengths[batch].max() for batch in batches)
    longest_first = np.sort(lengths)[::-1]
    assert padded == sum(len(batch) * batch[0] for batch in np.split(longest_first, range(size, len(lengths), size)))


def test_pools_are_mixed_anew_and_batches_do_not_come_by_length() -> None:
    lengths = random_lengths(3 * POOL * 4)
    first, second = (shuffled_batches(lengths, 4, seed, 0) for seed in (0, 1))
    assert {frozenset(batch) for batch in first}.isdisjoint(frozenset(batch) for batch in second)
    longest = [lengths[batch].max() for batch in first]
    assert longest != sorted(longest)
    assert abs(np.corrcoef(longest, range(len(longest)))[0, 1]) < 0.3


def test_order_depends_on_seed_and_epoch_and_nothing_else() -> None:
    examples = new_examples(random_lengths(100))
    loader = TrainLoader(examples, 8, seed=1)
    first = rows(loader)
    torch.manual_seed(3)
    np.random.seed(3)
    assert rows(loader) == rows(TrainLoader(examples, 8, seed=1)) == first
    assert rows(TrainLoader(examples, 8, seed=2)) != first
    loader.set_epoch(1)
    assert rows(loader) != first
    loader.set_epoch(0)
    assert rows(loader) == first


def test_drawing_batches_leaves_the_global_generators_alone() -> None:
    torch.manual_seed(0)
    np.random.seed(0)
    expected = torch.rand(1).item(), np.random.random()
    torch.manual_seed(0)
    np.random.seed(0)
    rows(TrainLoader(new_examples([1] * 20), 2, seed=5))
    assert (torch.rand(1).item(), np.random.random()) == expected


@given(st.integers(0, 13))
def test_a_loaded_state_gives_the_rest_of_the_epoch_once(given_batches: int) -> None:
    examples = new_examples(random_lengths(100))
    interrupted, resumed = (TrainLoader(examples, 8, seed=0) for _ in range(2))
    interrupted.set_epoch(4)
    iterator = iter(interrupted)
    seen = [labels(next(iterator)) for _ in range(given_batches)]
    resumed.load_state_dict(interrupted.state_dict())
    resumed.set_epoch(4)
    seen += rows(resumed)
    assert seen == rows(resumed)
    assert len(seen) == len(resumed) == 13


@given(LENGTHS, SIZES, SIZES)
def test_pieces_are_the_rows_of_the_batch_each_padded_to_its_own_longest(
    lengths: np.ndarray, size: int, piece_size: int
) -> None:
    examples = new_examples(lengths)
    whole = [batch for (batch,) in TrainLoader(examples, size, seed=1)]
    cut = list(TrainLoader(examples, size, seed=1, piece_size=piece_size))
    for (rows, _), pieces in zip(whole, cut, strict=True):
        assert labels(pieces) == rows["labels"].tolist()
        assert [len(piece.rows["labels"]) for piece in pieces[:-1]] == [piece_size] * (len(pieces) - 1)
        assert len(pieces) == math.ceil(len(rows["labels"]) / piece_size)
        for piece in pieces:
            assert piece.rows["input_ids"].shape[1] == lengths[piece.rows["labels"]].max()
        assert sum(piece.weight for piece in pieces) == pytest.approx(1)


@pytest.mark.parametrize("labels", [[[0, 1], [2, 3], [4, 5]], [[-100, 1, 2], [-100, -100, 3], [-100, -100, -100]]])
def test_shares_make_the_mean_of_pieces_that_of_the_batch(labels: list[list[int]]) -> None:
    batch: Mapping[str, Tensor] = {"labels": torch.tensor(labels), "logits": torch.randn(3, len(labels[0]), 6)}

    def loss(part: Mapping[str, Tensor]) -> Tensor:
        total = nn.functional.cross_entropy(part["logits"].transpose(1, 2), part["labels"], reduction="sum")
        return total / (part["labels"] != -100).sum().clamp(min=1)

    pieces = in_pieces([{name: tensor[rows] for name, tensor in batch.items()} for rows in (slice(2), slice(2, 3))])
    assert float(sum(piece.weight * loss(piece.rows) for piece in pieces)) == pytest.approx(loss(batch).item())


def test_evaluation_covers_every_row_longest_first() -> None:
    lengths = random_lengths(50)
    batches = list(EvalLoader(new_examples(lengths), 8))
    assert [len(batch["rows"]) for batch in batches] == [8] * 6 + [2]
    order = torch.cat([batch["rows"] for batch in batches])
    assert order.sort().values.tolist() == list(range(50))
    assert torch.equal(order, torch.cat([batch["labels"] for batch in batches]))
    assert lengths[order].tolist() == sorted(lengths, reverse=True)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_batches_can_be_pinned() -> None:
    loader = EvalLoader(new_examples([1, 2]), 2, pin_memory=True)
    assert all(tensor.is_pinned() for batch in loader for tensor in batch.values())


class Recorder(pl.LightningModule):
    """Notes the rows of every training batch, and saves or stops where told."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.seen: list[tuple[int, int, list[int]]] = []

    def training_step(self, batch: Sequence[Piece], batch_idx: int) -> Tensor:
        self.seen.append((self.current_epoch, batch_idx, labels(batch)))
        return self.weight.sum()

    def validation_step(self, batch: Mapping[str, Tensor], batch_idx: int) -> None:
        pass

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)


class SaveAndStop(pl.Callback):
    """Saves a checkpoint in `hook` once `steps` steps are done, and stops at once."""

    def __init__(self, hook: str, steps: int, path: Path) -> None:
        self.steps, self.path = steps, path
        setattr(self, hook, self._save)

    def _save(self, trainer: pl.Trainer, *_: Any) -> None:
        if trainer.global_step == self.steps:
            trainer.save_checkpoint(self.path)
            raise InterruptedError


BATCHES = 7


def fit(callbacks: list[pl.Callback], ckpt_path: Path | None = None) -> list[tuple[int, int, list[int]]]:
    examples = new_examples(random_lengths(BATCHES * 4 - 1))
    module = Recorder()
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=3,
        val_check_interval=3,
        num_sanity_val_steps=0,
        callbacks=callbacks,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    with suppress(InterruptedError):
        trainer.fit(module, TrainLoader(examples, 4, seed=0), EvalLoader(examples, 8), ckpt_path=ckpt_path)
    return module.seen


@pytest.mark.parametrize(
    ("hook", "steps"),
    [
        ("on_train_batch_end", 2),
        ("on_train_batch_end", BATCHES),
        ("on_train_batch_end", BATCHES + 1),
        ("on_validation_end", 3),
        ("on_validation_end", BATCHES + 6),
        ("on_train_epoch_end", BATCHES),
        ("on_train_epoch_end", 2 * BATCHES),
    ],
)
def test_a_resumed_fit_sees_the_batches_of_an_uninterrupted_one(tmp_path: Path, hook: str, steps: int) -> None:
    whole = fit([])
    assert [(epoch, batch) for epoch, batch, _ in whole] == [(e, b) for e in range(3) for b in range(BATCHES)]
    before = fit([SaveAndStop(hook, steps, tmp_path / "saved.ckpt")])
    after = fit([], ckpt_path=tmp_path / "saved.ckpt")
    assert len(before) == steps
    assert before + after == whole
