"""The comparison of quantised backbones, on a tiny model."""

import json
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from lnbench.backbone.quantization import quantize
from scripts import bench_quantization
from scripts.throughput.step_only import stored_bytes
from tests import runs
from tests.tiny import tiny


def test_bytes_are_those_that_are_stored() -> None:
    """int8 adds a scale of 4 bytes and a zero point of 1 byte for each output; nf4 takes half a byte a weight."""
    plain, int8, nf4 = (tiny("bert") for _ in range(3))
    quantize(int8, "int8")
    quantize(nf4, "nf4")
    layers = [model.get_parameter("encoder.layer.0.output.dense.weight") for model in (plain, int8, nf4)]
    whole, eight, four = map(stored_bytes, layers)
    assert whole == 32 * 64 * 4
    assert eight == 32 * 64 + 32 * (4 + 1)
    assert 32 * 64 // 2 < four < 32 * 64 // 2 + 200
    assert stored_bytes(nn.Parameter(torch.zeros(3, dtype=torch.bfloat16))) == 6


def test_steps_are_timed_in_turn(
    sources: dict[str, Path],
    data_root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = runs.overrides(sources["bert"], data_root, tmp_path)
    settings = [one for one in given if one.startswith(("model.", "data_root", "cache_dir"))]
    saved = tmp_path / "numbers.json"
    command = ["bench_quantization", "task=sst2", *settings, "--methods", "ln", "--length", "8", "--repeats", "3"]
    monkeypatch.setattr(sys, "argv", [*command, "--save", str(saved)])
    bench_quantization.main()
    rows = json.loads(saved.read_text())["rows"]
    alike = [row for row in rows if row["framework"] != bench_quantization.BITSANDBYTES]
    assert [(row["framework"], row["quantization"]) for row in alike] == [
        (framework, way) for way in ("null", "int8", "nf4") for framework in ("lnbench", "peft")
    ]
    ours, peft = ([row["frozen_bytes"] for row in rows if row["framework"] == name] for name in ("lnbench", "peft"))
    assert ours[0] > ours[1] > ours[2]
    assert peft[0] - peft[2] == ours[0] - ours[2], "the same maps are stored in 4 bits"
    assert rows[0]["of_plain"]["median"] == 1
    assert all(row["seconds"]["median"] > 0 for row in rows)
    assert "time: 32 bits is 1" in " ".join(capsys.readouterr().out.split())
