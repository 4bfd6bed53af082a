import subprocess
import sys

import pytest

from lnbench.core.schema import ConfigError, parse
from lnbench.tasks.data.source import Source, Splits


def test_roles_without_a_split_are_cut() -> None:
    splits = Splits(test="dev", validation_fraction=0.25)
    assert splits.given() == {"train": "train", "test": "dev"}
    assert splits.cuts(splits.given()) == {"validation": 0.25}
    assert splits.cuts(["validation", "test"]) == {}


def test_cuts_must_leave_something_to_train_on() -> None:
    with pytest.raises(ConfigError, match="leave nothing to train on"):
        parse(Splits, {"validation_fraction": 0.5, "test_fraction": 0.5})
    parse(Splits, {"validation_fraction": 0.5, "test_fraction": 0.5, "test": "test"})


def test_limits_are_of_the_roles_that_have_one() -> None:
    assert Splits().limits() == {}
    assert Splits(train_limit=5, test_limit=7).limits() == {"train": 5, "test": 7}
    with pytest.raises(ConfigError, match="test_limit = 0"):
        parse(Splits, {"test_limit": 0})


def test_training_rows_of_each_seed_need_a_number() -> None:
    with pytest.raises(ConfigError, match="resample = True: needs train_limit"):
        parse(Splits, {"resample": True})
    parse(Splits, {"resample": True, "train_limit": 100})


@pytest.mark.parametrize("raw", [{"folder": ""}, {"folder": "a", "package": {"name": "a.b", "file": "c.csv"}}])
def test_bad_sources_are_refused(raw: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=r"source\."):
        parse(Source, raw, "source")


def test_a_task_is_checked_without_torch_or_pandas() -> None:
    code = "import sys, lnbench.tasks.sequence_classification; sys.exit(bool({'torch', 'pandas'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
