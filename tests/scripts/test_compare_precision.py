"""The comparison of bf16 with fp32: what it prints, and when it says that the difference does not matter."""

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from lnbench.records.record import Record
from scripts import compare_precision
from scripts.compare_precision import main, tell
from tests.report.builders import finished

NOISE = (0.3, -0.2, 0.1, -0.3, 0.1)


def runs(precision: str, shift: float = 0.0) -> list[Record]:
    return [
        finished(task=task, seed=seed, score=0.8 + (shift + more) / 100, config={"trainer.precision": precision})
        for task in ("sst2", "rte")
        for seed, more in enumerate(NOISE)
    ]


@pytest.mark.parametrize(
    ("shift", "words", "settled"),
    [(0.1, "no difference that matters", True), (0.45, "better", False), (-0.05, "not decided", False)],
)
def test_the_verdict_is_that_of_two_one_sided_tests(
    shift: float, words: str, settled: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """With equal variances of all tasks, the interval is that of a t-test with 2 x 4 degrees of freedom."""
    margin = 0.1 if shift < 0 else 0.5
    assert tell(runs("bf16", shift), plain(), margin) is settled
    shown = capsys.readouterr().out
    reach = stats.t.ppf(0.95, 8) * np.std(NOISE, ddof=1) / np.sqrt(10)
    assert f"{shift:+.2f} points, 90% interval [{shift - reach:+.2f}, {shift + reach:+.2f}]" in shown
    assert shown.rstrip().endswith(words)


def plain() -> list[Record]:
    """Runs in fp32 that have one score."""
    return [
        finished(task=task, seed=seed, score=0.8, config={"trainer.precision": "fp32"})
        for task in ("sst2", "rte")
        for seed in range(len(NOISE))
    ]


def test_runs_without_a_partner_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\('sst2', 0\).*have no partner"):
        tell(runs("bf16")[1:], plain(), 0.5)


def test_it_does_both_sweeps(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    called: list[list[str]] = []

    def call(command: list[str]) -> int:
        called.append(command[4:])
        return len(called) - 1

    monkeypatch.setattr(subprocess, "call", call)
    monkeypatch.setattr(compare_precision, "runs_of_sweep", lambda *_: (_ for _ in ()).throw(Done))
    words = ["compare_precision", "--tasks", "sst2", "rte", "method=ln", f"runs_dir={tmp_path}", "--seeds", "3"]
    monkeypatch.setattr("sys.argv", words)
    with pytest.raises(Done):
        main()
    expected: list[Any] = ["task=sst2,rte", "seed=0,1,2", "method=ln", f"runs_dir={tmp_path}", "trainer.precision=bf16"]
    assert called == [expected]


class Done(Exception):
    """Ends the script before it reads runs."""
