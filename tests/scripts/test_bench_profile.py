"""The profile of a step: every operation has one kind, and the shares make a whole."""

import json
import sys
from pathlib import Path

import pytest

from scripts import bench_profile
from scripts.bench_profile import KINDS, REST, by_kind


def test_every_operation_counts_once() -> None:
    names = [name for own in KINDS.values() for name in own]
    assert len(names) == len(set(names))
    found = by_kind([("aten::addmm", 2.0), ("aten::mm", 1.0), ("_Dropped", 0.5), ("aten::index", 0.25)])
    assert (found["products with weights"], found["masks of dropout"], found[REST]) == (3.0, 0.5, 0.25)
    assert sum(found.values()) == 3.75


@pytest.mark.slow
def test_a_step_of_a_tiny_model_is_profiled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "profile.json"
    shape = ["hidden_size=16", "num_hidden_layers=1", "num_attention_heads=2", "intermediate_size=16"]
    words = ["model=bert_base", *(f"model.shape.{one}" for one in shape), "--formats", "fp32", "--steps", "2"]
    monkeypatch.setattr(sys, "argv", ["bench_profile", *words, "--length", "8", "--save", str(file)])
    bench_profile.main()
    (row,) = json.loads(file.read_text())["rows"]
    for kind in ("products with weights", "products in attention", "GELU", "norms", "softmax", "masks of dropout"):
        assert row["kinds"][kind] > 0
    assert "products with weights" in capsys.readouterr().out
