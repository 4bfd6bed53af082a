from pathlib import Path

import pytest

from lnbench.records.files import METRICS
from lnbench.report.history import MOST_POINTS, mean_curve, read_curves, thinned


def write(folder: Path, text: str) -> Path:
    (folder / METRICS).write_text(text)
    return folder


def test_each_column_is_read_at_the_steps_where_it_has_a_value(tmp_path: Path) -> None:
    folder = write(tmp_path, "epoch,step,train/loss,validation/f1\n0,10,1.5,\n0,20,1.0,\n0,20,,0.5\n")
    assert read_curves(folder) == {"train/loss": {10: 1.5, 20: 1.0}, "validation/f1": {20: 0.5}}


def test_what_is_not_a_finite_number_is_left_out(tmp_path: Path) -> None:
    folder = write(tmp_path, "epoch,step,train/loss\n0,10,nan\n0,20,oops\n0,inf,1\n0,30\n0,40,-inf\n0,50,2\n")
    assert read_curves(folder) == {"train/loss": {50: 2.0}}


@pytest.mark.parametrize("text", ["", "\n", "loss\n1\n", "epoch,step\n0,1\n", "\0\0"])
def test_a_damaged_file_has_no_curves(tmp_path: Path, text: str) -> None:
    assert read_curves(write(tmp_path, text)) == {}


def test_a_missing_or_binary_file_has_no_curves(tmp_path: Path) -> None:
    assert read_curves(tmp_path) == {}
    (tmp_path / METRICS).write_bytes(b"step,loss\n\xff\xfe,1\n")
    assert read_curves(tmp_path) == {}


def test_the_mean_is_taken_where_all_curves_are() -> None:
    assert mean_curve([{1: 1.0, 2: 2.0, 3: 9.0}, {1: 3.0, 2: 4.0}]) == {1: 2.0, 2: 3.0}
    assert mean_curve([]) == {}


@pytest.mark.parametrize("length", [1, MOST_POINTS, MOST_POINTS + 1, 5_000])
def test_a_thinned_curve_keeps_its_ends_and_its_values(length: int) -> None:
    curve = {step: step * 0.5 for step in range(length)}
    thin = thinned(curve)
    assert len(thin) == min(length, MOST_POINTS)
    assert (next(iter(thin)), list(thin)[-1]) == (0, length - 1)
    assert thin.items() <= curve.items()
