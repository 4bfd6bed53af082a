"""Chooses the best rate of a method over tasks, and writes it into its configuration file."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from omegaconf import OmegaConf

from lnbench.core.atomic_files import write_atomically

TIE = 0.02
"""Difference of two mean shares that a few hundred validation rows cannot distinguish from 0."""


@dataclass(frozen=True)
class Trial:
    """The result of one rate of a method on one task, averaged over seeds."""

    method: str
    task: str
    factor: float
    """Factor by which the method's shipped rate is multiplied."""
    gain: float | None
    """Difference to the score of the input-free (majority) baseline, in the task's metric; None if a run failed."""


def best_factors(trials: Sequence[Trial]) -> dict[str, float]:
    """For each method, the factor with the highest mean share over tasks.

    Shares within `TIE` of the highest count as equal. Of their factors, the nearest to 1 is taken.
    """
    best = {}
    for method, by_factor in mean_shares(trials).items():
        least = max(by_factor.values()) - TIE
        good = [factor for factor, share in by_factor.items() if share >= least]
        best[method] = min(good, key=lambda factor: abs(math.log(factor)))
    return best


def mean_shares(trials: Sequence[Trial]) -> dict[str, dict[float, float]]:
    """The mean over tasks of the gain as a share of the task's best gain by any method, by method and factor.

    Tasks therefore count equally, whatever the unit of their metric. A run that failed, or that is worse than the
    input-free (majority) baseline, has gained nothing.
    """
    best = {task: max(one.gain or 0.0 for one in trials if one.task == task) for task in {one.task for one in trials}}
    shares: dict[str, dict[float, list[float]]] = {}
    for one in trials:
        share = max(one.gain or 0.0, 0.0) / best[one.task] if best[one.task] > 0 else 0.0
        shares.setdefault(one.method, {}).setdefault(one.factor, []).append(share)
    return {
        method: {factor: fmean(values) for factor, values in by_factor.items()} for method, by_factor in shares.items()
    }


def shipped_rate(conf: Path, method: str) -> float:
    """The shipped rate of a method."""
    return float(OmegaConf.select(OmegaConf.load(_file(conf, method)), "lr"))


def write_rate(conf: Path, method: str, rate: float) -> None:
    """Replaces the shipped rate. The rest of the file stays as it is."""
    file = _file(conf, method)
    text, count = re.subn(r"(?m)^lr: \S+", f"lr: {written(rate)}", file.read_text())
    if count != 1:
        raise SystemExit(f"{file}: has {count} lines that begin with 'lr', not one")
    write_atomically(file, text)


def written(rate: float) -> str:
    """The rate with at most two digits, such as `1e-3` or `4.5e-4`."""
    digits, _, exponent = f"{rate:.1e}".partition("e")
    return f"{float(digits):g}e{int(exponent)}"


def _file(conf: Path, method: str) -> Path:
    return conf / "method" / f"{method}.yaml"
