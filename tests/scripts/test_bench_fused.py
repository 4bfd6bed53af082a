from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from lnbench.config.run import RunConfig
from scripts import bench_fused
from scripts.bench_fused import in_sequence, together
from tests.conftest import Configure


def record(rate: float) -> Any:
    return SimpleNamespace(cost=SimpleNamespace(train_samples_per_second=rate))


def test_times_of_runs_in_sequence_add_up(configure: Configure, monkeypatch: pytest.MonkeyPatch) -> None:
    rates = iter((10.0, 40.0))
    monkeypatch.setattr(bench_fused, "run", lambda _: record(next(rates)))
    assert in_sequence([configure(), configure("seed=1")]) == pytest.approx((1 / 10 + 1 / 40) / 2)


def test_runs_together_are_timed_by_the_first_that_ends(configure: Configure, monkeypatch: pytest.MonkeyPatch) -> None:
    def ends(configs: Sequence[RunConfig], stop: object) -> Iterator[tuple[int, Any]]:
        yield from ((place, record(10 - place)) for place, _ in enumerate(configs))

    monkeypatch.setattr(bench_fused, "run_together", ends)
    assert together([configure(), configure("seed=1")]) == pytest.approx(1 / 20)


def test_a_run_that_fails_is_told(configure: Configure, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_fused, "run_together", lambda *_: [(0, ValueError("broken"))])
    with pytest.raises(ValueError, match="broken"):
        together([configure()])
