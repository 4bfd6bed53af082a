"""Regression: a number for a text or a pair of texts, such as how similar they are."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import model_validator

from lnbench.tasks.checks import each, require
from lnbench.tasks.sentences import SentenceTask

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from lnbench.tasks.examples import Examples

BINS = 5
"""Into how many equal parts the range is cut to show how the numbers are spread."""


class Regression(SentenceTask):
    """One number a row, by mean squared error.

    The model's one logit stands for (label - low) / (high - low), so that learning rates do not
    depend on the unit of the label. Predictions are in the label's unit, and may leave its range.

    Metrics: `pearson` and `spearman`, the correlation with the true numbers and of their ranks, 0
    where all predictions are equal; `rmse`, the root of the mean squared error.
    """

    kind: ClassVar[str] = "regression"

    metric: Literal["pearson", "spearman"] = "pearson"
    mode: Literal["max"] = "max"
    low: float
    """The least number that the label column may hold."""
    high: float
    """The greatest number that the label column may hold."""

    @model_validator(mode="after")
    def _is_a_range(self) -> Regression:
        if not -math.inf < self.low < self.high < math.inf:
            raise ValueError(f"low must be less than high, not {self.low:g} and {self.high:g}")
        return self

    def _answers(self, values: pd.Series, where: str) -> pd.Series:
        """Numbers, float64."""
        require(values, each(values, self._fits), where, f"a number from {self.low:g} to {self.high:g}")
        return values.map(float).astype("float64")

    def _fits(self, value: object) -> bool:
        try:
            return self.low <= float(str(value)) <= self.high
        except ValueError:
            return False

    def _targets(self, answers: pd.Series) -> NDArray[Any]:
        return ((answers.to_numpy("float64") - self.low) / (self.high - self.low)).astype("float32")

    def _numbers(self, targets: NDArray[Any]) -> NDArray[np.float64]:
        """The inverse of `_targets`."""
        return self.low + targets.astype(np.float64) * (self.high - self.low)

    def _reference(self, answer: float) -> float:
        return answer

    def head(self, hidden_size: int, pooling: str, dropout: float) -> nn.Module:
        """A new linear layer on the sentence vector, to one logit."""
        from lnbench.tasks.heads import SentenceHead

        return SentenceHead(hidden_size, 1, pooling, dropout)

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

    def score(self, predictions: Sequence[Mapping[str, Any]]) -> dict[str, float]:
        """Pearson's and Spearman's correlation, and the root of the mean squared error."""
        from scipy.stats import rankdata

        said, true = (np.array([row[key] for row in predictions], np.float64) for key in ("label", "reference"))
        return {
            "pearson": _correlation(said, true),
            "spearman": _correlation(rankdata(said), rankdata(true)),
            "rmse": math.sqrt(np.square(said - true).mean()),
        }

    def trivial(self, train: pd.DataFrame, split: pd.DataFrame) -> list[dict[str, Any]]:
        """Always the mean of `train`."""
        mean = float(train[self.label].mean())
        return self._with_references([{"label": mean} for _ in range(len(split))], split)

    def readable(self, prediction: Mapping[str, Any]) -> str:
        """The number and the text."""
        return f"{prediction['label']:.3f}  {self._shown(prediction)}"

    def label_texts(self, labels: NDArray[Any]) -> list[str]:
        """The number."""
        return [f"{self._numbers(labels):g}"]

    def balance(self, frame: pd.DataFrame, examples: Examples) -> dict[str, int]:
        """Rows of each part of the range."""
        counts, edges = np.histogram(frame[self.label], bins=BINS, range=(self.low, self.high))
        names = (f"{low:g} to {high:g}" for low, high in pairwise(edges))
        return dict(zip(names, counts.tolist(), strict=True))


def _correlation(said: NDArray[np.float64], true: NDArray[np.float64]) -> float:
    """Pearson's coefficient; 0 where all numbers of a side are equal, NaN where one is not finite."""
    if any((numbers == numbers[0]).all() for numbers in (said, true)):
        return 0.0
    with np.errstate(invalid="ignore"):
        return float(np.corrcoef(said, true)[0, 1])
