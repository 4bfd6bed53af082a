from pathlib import Path
from typing import Literal

import pytest

from lnbench.training.callbacks.history import History
from lnbench.training.callbacks.stopwatch import Stopwatch
from tests import runs
from tests.conftest import Configure


def history(scores: list[float], mode: Literal["max", "min"], path: Path = Path("metrics.csv")) -> History:
    course = History(path, "loss", mode, Stopwatch(gpus=0))
    course.rows = [{"epoch": 0, "step": step, "validation/loss": score} for step, score in enumerate(scores)]
    return course


@pytest.mark.parametrize(
    ("scores", "mode", "best"),
    [
        ([0.1, 0.3, 0.2], "max", 1),
        ([0.1, 0.3, 0.2], "min", 0),
        ([0.3, 0.1, 0.3], "max", 0),
        ([0.1, 0.3, 0.1], "min", 0),
        ([float("nan"), 0.1, 0.3], "min", 1),
        ([float("nan"), 0.1], "max", 1),
        ([0.1, float("nan")], "max", 0),
        ([float("nan"), float("nan")], "max", 0),
    ],
)
def test_the_best_is_the_first_of_equals(scores: list[float], mode: Literal["max", "min"], best: int) -> None:
    assert history(scores, mode).best_row()["step"] == best


def test_losses_count_for_nothing() -> None:
    course = history([0.5], "min")
    course.rows.insert(0, {"epoch": 0, "step": 0, "train/loss": 0.1})
    assert course.best() == {"loss": 0.5}


def test_columns_that_a_row_lacks_stay_empty(tmp_path: Path) -> None:
    course = history([0.5], "min", tmp_path / "new" / "metrics.csv")
    course.rows.append({"epoch": 1, "step": 9, "train/loss": 0.1})
    course.write()
    assert course.path.read_text() == "epoch,step,validation/loss,train/loss\n0,0,0.5,\n1,9,,0.1\n"


@pytest.mark.parametrize("accumulate", [1, 3])
def test_the_loss_of_every_tenth_step_is_noted_once_and_whole(configure: Configure, accumulate: int) -> None:
    overrides = ["trainer.lr=1e-9", "trainer.max_epochs=7", "trainer.validate_every=null"]
    rows = runs.results(configure(*overrides, f"trainer.accumulate={accumulate}"))["history"]
    noted = {int(row["step"]): float(row["train/loss"]) for row in rows if row["train/loss"]}
    steps = 63 // accumulate
    assert list(noted) == list(range(10, steps + 1, 10))
    assert len([row for row in rows if row["train/loss"]]) == len(noted)
    assert all(0.5 < loss < 0.9 for loss in noted.values())
