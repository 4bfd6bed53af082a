from pathlib import Path

import pytest

from lnbench.report.history import read_curves
from lnbench.report.load import load_runs
from scripts.bench_listing import measure
from scripts.listing import made_up
from scripts.listing.made_up import make_runs


@pytest.mark.parametrize("packed", [False, True])
def test_made_up_runs_can_be_reported(tmp_path: Path, packed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(made_up, "METHODS", ["ln", "bitfit"])
    monkeypatch.setattr(made_up, "ABLATIONS", ["terms=[gain]"])
    monkeypatch.setattr(made_up, "TASKS", ["rte", "sick"])
    make_runs(tmp_path / "runs", 7, packed)
    loaded = load_runs(tmp_path / "runs")
    assert (len(loaded.records), loaded.problems, loaded.trials) == (12, [], [])
    assert len({record.id for record in loaded.records}) == 12
    for folder in loaded.folders.values():
        assert set(read_curves(folder)) >= {"train/loss", "validation/accuracy"}


def test_a_command_that_fails_is_no_measurement() -> None:
    seconds, processor, peak = measure(["true"])
    assert seconds > processor > 0
    assert peak > 2**16
    with pytest.raises(OSError, match="false"):
        measure(["false"])
