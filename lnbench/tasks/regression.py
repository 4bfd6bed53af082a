"""Regression: a number for a text or a pair of texts, such as how similar they are."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import model_validator

from lnbench.core.errors import DataError
from lnbench.tasks.data.large import converted
from lnbench.tasks.parts.checks import each, require
from lnbench.tasks.parts.sentences import SentenceTask
from lnbench.tasks.scores import resamples

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from lnbench.tasks.tokens.examples import Examples

BINS = 5
"""Number of equal parts of the range in which `balance` counts the rows."""


class Regression(SentenceTask):
    """One number per row, by mean squared error.

    The model's one logit stands for (label - low) / (high - low) and starts at 0.5, so that learning rates do not
    depend on the unit of the label. Predictions are in the label's unit, and may leave its range.

    Metrics: `pearson` and `spearman`, the correlations of predicted with true numbers and of their ranks, 0 if all
    predictions are equal; `rmse`, the root of the mean squared error.
    """

    kind: ClassVar[str] = "regression"

    metric: Literal["pearson", "spearman"] = "pearson"
    mode: Literal["max"] = "max"
    low: float | None = None
    """Least number that the label column may hold. None takes the least of the training split."""
    high: float | None = None
    """Greatest number that the label column may hold. None takes the greatest of the training split."""

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        for name, value in (("low", self.low), ("high", self.high)):
            if value is not None and not math.isfinite(value):
                raise ValueError(f"{name} must be a finite number, not {value:g}")
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise ValueError(f"low must be less than high, not {self.low:g} and {self.high:g}")
        return self

    def resolved(self, data_root: Path | None) -> Self:
        """This task with the range of the training split's numbers, if `low` and `high` are not both given."""
        task = super().resolved(data_root)
        if task.low is not None and task.high is not None:
            return task
        from lnbench.tasks.data.read import read_roles

        train = read_roles(task, data_root, ["train"])["train"]
        low, high = task._range_in(train.frame, train.where)
        return task.model_copy(update={"low": low, "high": high})

    def _range_in(self, frame: pd.DataFrame, where: str) -> tuple[float, float]:
        values = self._rows(frame, where)[self.label]
        require(values, each(values, lambda value: math.isfinite(_number(value))), where, "a finite number")
        numbers = converted(values, lambda some: some.map(_number), np.float64)
        low = float(numbers.min()) if self.low is None else self.low
        high = float(numbers.max()) if self.high is None else self.high
        if low >= high:
            raise DataError(
                f"{where}: the numbers of column {self.label!r} go from {low:g} to {high:g}, which is no range; state "
                f"task.low and task.high"
            )
        return low, high

    @property
    def _bounds(self) -> tuple[float, float]:
        """The range of a resolved task."""
        assert self.low is not None
        assert self.high is not None
        return self.low, self.high

    def _answers(self, values: pd.Series, where: str) -> pd.Series:
        """Numbers, float64."""
        low, high = self._bounds
        allowed = f"a number from {low:g} to {high:g}, which are task.low and task.high"
        require(values, each(values, lambda value: low <= _number(value) <= high), where, allowed)
        return converted(values, lambda some: some.map(float), np.float64)

    def _targets(self, answers: pd.Series) -> NDArray[Any]:
        low, high = self._bounds
        return ((answers.to_numpy("float64") - low) / (high - low)).astype("float32")

    def _numbers(self, targets: NDArray[Any]) -> NDArray[np.float64]:
        """The inverse of `_targets`."""
        low, high = self._bounds
        return low + targets.astype(np.float64) * (high - low)

    def _reference(self, answer: float) -> float:
        return answer

    def head(self, hidden_size: int, pooling: str, dropout: float) -> nn.Module:
        """A new linear layer from the sentence vector to one logit, which starts in the middle of the range."""
        from torch import nn

        from lnbench.tasks.parts.heads import SentenceHead

        head = SentenceHead(hidden_size, 1, pooling, dropout)
        nn.init.constant_(head.classifier.bias, 0.5)
        return head

    def loss(self, logits: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
        """Squared error on the scale where the label's range is 0 to 1, averaged over the batch.

        Args:
            logits: (B, 1).
            batch: with `labels`, (B,) float32.
        """
        from torch.nn import functional

        return functional.mse_loss(logits.float().squeeze(1), batch["labels"])

    def predictions(
        self, outputs: Sequence[Mapping[str, NDArray[Any]]], frame: pd.DataFrame, examples: Examples
    ) -> list[dict[str, Any]]:
        """The texts and the number."""
        numbers = self._numbers(np.stack([row["logits"][0] for row in outputs])).tolist()
        rows = zip(self._inputs(frame), numbers, strict=True)
        return self._with_references([{**row_input, "label": number} for row_input, number in rows], frame)

    def score(self, predictions: Iterable[Mapping[str, Any]]) -> dict[str, float]:
        """Pearson's and Spearman's correlation, and the root of the mean squared error."""
        from scipy.stats import rankdata

        pairs = ((row["label"], row["reference"]) for row in predictions)
        said, true = np.fromiter(pairs, np.dtype((np.float64, 2))).T.copy()
        return {
            "pearson": _correlation(said, true),
            "spearman": _correlation(rankdata(said), rankdata(true)),
            "rmse": math.sqrt(np.square(said - true).mean()),
        }

    def numbers(self, predictions: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
        """The numbers themselves, as `answer` and `reference`."""
        return {
            name: [row[key] for row in predictions] for name, key in (("answer", "label"), ("reference", "reference"))
        }

    def score_numbers(self, numbers: Mapping[str, Sequence[Any]]) -> dict[str, float]:
        """All metrics."""
        pairs = zip(numbers["answer"], numbers["reference"], strict=True)
        return self.score([{"label": said, "reference": true} for said, true in pairs])

    def resampled(
        self, numbers: Mapping[str, Sequence[Any]], metric: str, counts: NDArray[np.float64]
    ) -> NDArray[np.float64] | None:
        """All metrics, of finite answers."""
        said, true = (np.array(numbers[name], np.float64) for name in ("answer", "reference"))
        known = {"pearson": resamples.pearson, "spearman": resamples.spearman, "rmse": resamples.rmse}.get(metric)
        return known(said, true, counts) if known and np.isfinite(said).all() else None

    def trivial(self, train: pd.DataFrame, split: pd.DataFrame) -> Iterator[dict[str, Any]]:
        """Always the mean of `train`."""
        mean = float(train[self.label].mean())
        return ({"label": mean, "reference": number} for number in split[self.label])

    def readable(self, prediction: Mapping[str, Any]) -> str:
        """The number and the text."""
        return f"{prediction['label']:.3f}  {self._shown(prediction)}"

    def label_texts(self, labels: NDArray[Any]) -> list[str]:
        """The number."""
        return [f"{self._numbers(labels):g}"]

    def balance(self, frame: pd.DataFrame, examples: Examples) -> dict[str, int]:
        """Number of rows in each part of the range."""
        counts, edges = np.histogram(frame[self.label], bins=BINS, range=self._bounds)
        names = (f"{low:g} to {high:g}" for low, high in pairwise(edges))
        return dict(zip(names, counts.tolist(), strict=True))


def _number(value: object) -> float:
    """A value of the label column as a number. NaN if it is not a number."""
    try:
        return float(str(value))
    except ValueError:
        return math.nan


def _correlation(said: NDArray[np.float64], true: NDArray[np.float64]) -> float:
    """Pearson's coefficient. It is 0 if all numbers of a side are equal, and NaN if a number is not finite."""
    if any((numbers == numbers[0]).all() for numbers in (said, true)):
        return 0.0
    with np.errstate(invalid="ignore"):
        return float(np.corrcoef(said, true)[0, 1])
