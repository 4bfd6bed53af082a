"""The examples run, and say what they promise."""

import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lnbench.records.files import RECORD
from tests import runs
from tests.report.builders import finished, save

EXAMPLES = Path(__file__).parents[1] / "examples"
Example = Callable[..., str]


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Example:
    """Runs a script in an empty folder, as `python examples/NAME.py` does, and returns what it printed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(EXAMPLES)
    monkeypatch.setattr("lnbench.core.registry._allowed", {})

    def run(name: str, *arguments: object) -> str:
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
        return capsys.readouterr().out

    return run


@pytest.fixture
def tiny(sources: dict[str, Path]) -> list[str]:
    """A tiny model and a few steps."""
    model = [f"model.source={sources['bert']}", "model.name=tiny", "task.max_length=32", "cache_dir=cache"]
    return [*model, *runs.SHORT, "trainer.max_steps=2", "trainer.validate_every=null"]


def test_a_method_of_ones_own_is_compared(example: Example, tiny: list[str], data_root: Path, tmp_path: Path) -> None:
    said = example("own_method", *tiny, "task=sst2", f"data_root={data_root}")
    heading, *rows = said.partition("over seeds:")[2].split("\n")[2:]
    assert heading.split() == ["trained", "mean", "std", "seconds"]
    assert [row.split()[0] for row in rows[1:4]] == ["ln", "bitfit", "linear_bottleneck"]
    assert len(list((tmp_path / "runs" / "own_method").rglob(RECORD))) == 6


def test_data_of_ones_own_are_answered(example: Example, tiny: list[str]) -> None:
    said = example("own_data", *tiny)
    assert "Accuracy on messages that were kept for the test: 0." in said
    answers = said.splitlines()[-3:]
    assert all(answer.split()[1] in ("delivery", "payment", "praise") for answer in answers)
    assert answers[0].endswith(" The parcel with my umbrella is three days late.")


def test_results_are_a_table_and_a_plot(example: Example, tmp_path: Path) -> None:
    save(*(finished(seed=seed, score=score) for seed, score in enumerate((0.5, 0.6))), runs_dir=tmp_path / "a")
    save(finished("bitfit", "cb", score=0.7), runs_dir=tmp_path / "b")
    said = example("read_results", "a", "b", "--plot", "plot.html")
    rows = {line.split("  ")[0]: line for line in said.splitlines()}
    assert "0.550 ± 0.071 (2)" in rows["ln"]
    assert "0.700 (1)" in rows["bitfit"]
    assert "plotly" in (tmp_path / "plot.html").read_text()
    (tmp_path / "empty").mkdir()
    with pytest.raises(SystemExit, match=r"^empty: no finished runs; python examples/own_method"):
        example("read_results", "empty")
