import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from lnbench.core.errors import CheckpointError
from lnbench.records.files import BEST, RESUME
from lnbench.records.identity import run_dir
from lnbench.training.checkpoint import SafetensorsCheckpointIO
from tests.conftest import Configure
from tests.training.interruption import interrupt

IO = SafetensorsCheckpointIO()

leaves = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text()
integers = st.integers(-(2**63), 2**63 - 1)
trees = st.recursive(
    leaves,
    lambda children: (
        st.lists(children, max_size=3)
        | st.dictionaries(st.text(), children, max_size=3)
        | st.dictionaries(integers, children, max_size=3)
    ),
)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("checkpoints") / "some.safetensors"


@given(trees)
@example({"__tensor__": None, "__pairs__": []})
def test_json_values_come_back(path: Path, tree: Any) -> None:
    IO.save_checkpoint({"tree": tree}, path)
    assert IO.load_checkpoint(path) == {"tree": tree}


def test_tensors_come_back_wherever_they_are(path: Path) -> None:
    shared = torch.arange(6.0).reshape(2, 3)
    half = torch.tensor([1.5], dtype=torch.bfloat16)
    checkpoint = {
        "state": {0: {"step": torch.tensor(3), "moments": [shared, shared.T]}, 1: {}},
        "half": half,
        "betas": (0.9, 0.999),
        "path": path,
        "empty": torch.zeros(0),
    }
    IO.save_checkpoint(checkpoint, path)
    loaded = IO.load_checkpoint(path)
    assert list(loaded["state"]) == [0, 1]
    assert torch.equal(loaded["state"][0]["step"], torch.tensor(3))
    assert torch.equal(loaded["state"][0]["moments"][0], shared)
    assert torch.equal(loaded["state"][0]["moments"][1], shared.T)
    assert torch.equal(loaded["half"], half)
    assert loaded["betas"] == [0.9, 0.999]
    assert loaded["path"] == str(path)
    assert loaded["empty"].shape == (0,)


def test_what_is_neither_tensor_nor_json_is_refused(path: Path) -> None:
    with pytest.raises(TypeError, match="not JSON serializable"):
        IO.save_checkpoint({"hook": print}, path)


@pytest.mark.parametrize("value", [2**63, -(10**30), {2**64: 0}, "\ud800"])
def test_what_could_not_be_read_again_is_refused_and_leaves_the_last_state(path: Path, value: Any) -> None:
    IO.save_checkpoint({"step": 1}, path)
    with pytest.raises(CheckpointError, match=f"^{path}: cannot be written, as it could not be read again"):
        IO.save_checkpoint({"generator": [value]}, path)
    assert IO.load_checkpoint(path) == {"step": 1}


@pytest.mark.parametrize("content", [b"", b"{}", b"\x80\x04K\x01.", b"\xff" * 100])
def test_another_file_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other.ckpt"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=f"^{path}: is missing, damaged or not a checkpoint of lnbench"):
        IO.load_checkpoint(path)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is missing"):
        IO.load_checkpoint(tmp_path / "none")


def test_checkpoints_of_a_run_hold_what_is_trained_and_nothing_else(configure: Configure) -> None:
    config = configure()
    interrupt(config, "on_train_batch_end", 6)
    best, resume = (run_dir(config) / name for name in (BEST, RESUME))
    names = set(IO.load_checkpoint(best)["state_dict"])
    assert len(names) == 2 * 2 * 3 + 4, "gains and biases, and of the head two parameters and two measures"
    assert all("LayerNorm" in name or name.startswith("model.head.") for name in names)
    assert set(IO.load_checkpoint(resume)["state_dict"]) == names
    assert best.stat().st_size < 20_000
    assert resume.stat().st_size < 40_000
    size = int.from_bytes(resume.read_bytes()[:8], "little")
    assert "__metadata__" in json.loads(resume.read_bytes()[8 : 8 + size])
