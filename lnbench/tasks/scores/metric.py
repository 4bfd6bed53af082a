"""Metrics: the name of each for people, its scale, unit and direction, and the format of its numbers."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Mode = Literal["max", "min"]
POINTS = "points"
RESOLUTION = 1e-6
"""Scores are equal if they differ by at most this share of the greater. See `lnbench.report.claims.noise`."""


@dataclass(frozen=True)
class Metric:
    """One metric, in the scale of the records.

    Attributes:
        title: its name for people.
        unit: unit of differences. Only scores of one unit can be averaged, or their differences pooled.
        low: the least possible score.
        high: the greatest possible score.
        mode: whether a larger or a smaller score is better.
        factor: factor of a score when it is shown.
        digits: digits after the point of a shown score.
        sign: text after a shown score.
        of_task: whether each task has a unit of its own.
        point: the least difference that matters unless a claim says otherwise; None if the scale has no such size.
    """

    title: str
    unit: str
    low: float = -math.inf
    high: float = math.inf
    mode: Mode = "max"
    factor: float = 1.0
    digits: int = 4
    sign: str = ""
    of_task: bool = False
    point: float | None = None

    @property
    def heading(self) -> str:
        """The name with the scale of the numbers from `number`."""
        return f"{self.title} ({self.scale})" if self.scale else self.title

    @property
    def scale(self) -> str:
        """The unit or the range of the numbers from `number`. Empty if neither is known."""
        if self.sign:
            return self.sign.strip()
        if math.isinf(self.high):
            return "" if math.isinf(self.low) else f"from {self.low:g}"
        return f"{self.low:g} to {self.high:g}"

    @property
    def logged(self) -> str:
        """The name with the scale of scores in records and at W&B."""
        return f"{self.title} ({self.low:g} to {self.high:g})" if math.isfinite(self.high) else self.heading

    def number(self, score: float) -> str:
        """A score without its unit."""
        return f"{self.factor * score:.{self.digits}f}"

    def written(self, score: float) -> str:
        """A score with its unit."""
        return self.number(score) + (self.sign if math.isfinite(score) else "")

    def difference(self, mean: float, *interval: float) -> str:
        """A difference of scores with its unit, and perhaps an interval around it."""
        shown, *ends = (f"{self.factor * value:+.{self.digits}f}" for value in (mean, *interval))
        return f"{shown} [{', '.join(ends)}] {self.unit}" if ends else f"{shown} {self.unit}"

    def unit_on(self, task: str) -> str:
        """Unit of the scores on a task. Scores with the same unit can be averaged."""
        return f"{self.unit} of {task}" if self.of_task else self.unit


def _share(title: str) -> Metric:
    """A metric from 0 to 1, shown in percent."""
    return Metric(title, POINTS, 0, 1, factor=100, digits=2, sign="%", point=0.01)


def _correlation(title: str) -> Metric:
    return Metric(title, title, -1, 1, point=0.01)


def _up_to(high: float, title: str, digits: int, mode: Mode = "max", point: float | None = 1.0) -> Metric:
    return Metric(title, title, 0, high, mode, digits=digits, point=point)


METRICS: Mapping[str, Metric] = {
    "accuracy": _share("accuracy"),
    "macro_f1": _share("macro F1"),
    "f1": _share("F1"),
    "precision": _share("precision"),
    "recall": _share("recall"),
    "exact_match": _share("exact match"),
    "mcc": _correlation("MCC"),
    "pearson": _correlation("Pearson"),
    "spearman": _correlation("Spearman"),
    "rmse": Metric("RMSE", "RMSE", 0, mode="min", of_task=True),
    "loss": Metric("loss", "nats", 0, mode="min", sign=" nats", point=0.01),
    "bleu": _up_to(100, "BLEU", 2),
    "chrf": _up_to(100, "chrF", 2),
    "ter": _up_to(math.inf, "TER", 2, "min"),
    "nist": _up_to(math.inf, "NIST", 3, point=None),
    "meteor": _share("METEOR"),
    "rouge1": _share("ROUGE-1"),
    "rouge2": _share("ROUGE-2"),
    "rougeL": _share("ROUGE-L"),
    "cider": _up_to(10, "CIDEr", 3, point=0.1),
}
"""All metrics, by their names in records."""


FORGETTING = Metric("forgetting", "nats", mode="min", sign=" nats", point=0.01)
"""By how much tuning raises the loss on a general text, in nats a token. It may be below 0."""


def metric_of(name: str, mode: Mode = "max") -> Metric:
    """A metric by its name. A metric that a user's own task defines has an unknown scale, and a unit of its task alone.

    Args:
        name: name in records.
        mode: direction of a metric that is not in `METRICS`.
    """
    return METRICS.get(name) or Metric(name, name, mode=mode, of_task=True)


def written(scores: Mapping[str, float]) -> dict[str, str]:
    """Scores for people: from numbers by their names in records to texts by their names for people."""
    return {metric_of(name).title: metric_of(name).written(score) for name, score in scores.items()}
