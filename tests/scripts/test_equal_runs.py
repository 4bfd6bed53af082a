"""The comparison of two folders of runs."""

from pathlib import Path

from lnbench.records.files import PREDICTIONS
from lnbench.run.lifecycle import run
from scripts.equal_runs import differences
from tests.conftest import Configure
from tests.run.test_search import SEARCH


def test_runs_with_trials_are_equal_until_a_file_differs(configure: Configure, tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for runs_dir in (one, other):
        record = run(configure(*SEARCH, f"runs_dir={runs_dir}"))
    assert differences(one, other, 3) == []
    assert record.folder == other / record.task / record.model / record.method / record.id
    (record.folder / PREDICTIONS).unlink()
    assert f"{record.id}: is not equal" in differences(one, other, 3)
