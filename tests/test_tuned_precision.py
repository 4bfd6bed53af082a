"""A loaded run answers in the number format in which it was trained."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import lnbench
from lnbench.core.schema import ConfigError
from lnbench.predict import main
from lnbench.records.adapter import AdapterError
from lnbench.records.files import ADAPTER, CONFIG, PREDICTIONS, RECORD
from lnbench.records.identity import run_dir
from lnbench.run.lifecycle import run
from lnbench.training.device import Format
from tests import runs
from tests.conftest import Configure

BF16 = ("trainer.precision=bf16", "trainer.max_steps=6", "trainer.validate_every=3")


@pytest.fixture(autouse=True)
def capable(monkeypatch: pytest.MonkeyPatch) -> None:
    """A CPU that is fast at bf16; others compute the same, slowly."""
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")


def incapable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")


def answers(folder: Path, **options: Any) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """What a run predicted for its test rows, and what it says of them loaded."""
    lines = [json.loads(line) for line in (folder / PREDICTIONS).read_text().splitlines()]
    tuned = lnbench.load(folder, **options)
    found = tuned.predict([line["input"]["sentence"] for line in lines])
    return [{name: line[name] for name in found[0]} for line in lines], found


@pytest.mark.parametrize(
    "settings",
    [
        ["method=ln"],
        ["method=lora", "method.lora.targets=[q,k,v,o,ffn]"],
        ["method=lora", "method.lora.dora=true", "method.lora.pissa=true"],
        ["method=parallel_adapter+prefix", "method.prefix.mlp_size=16"],
        ["method=adalora+loreft", "method.adalora.interval=1"],
        ["method=adapter+lora+prefix+unipelt"],
        ["method=oft", "method.oft.block_size=8", "method.oft.butterfly=2"],
    ],
    ids=["ln", "lora", "dora and pissa", "a generated prefix", "adalora and loreft", "unipelt", "boft"],
)
def test_a_run_in_bf16_answers_as_it_did_row_by_row(configure: Configure, settings: list[str]) -> None:
    config = configure(*BF16, *settings)
    run(config)
    expected, found = answers(run_dir(config))
    assert found == expected


@pytest.fixture(scope="module")
def finished(sources: dict[str, Path], data_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a run in bf16."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
        config = runs.configure(sources["bert"], data_root, tmp_path_factory.mktemp("bf16"), *BF16)
        run(config)
    return run_dir(config)


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> Path:
    """A copy of it, as a run that chose its number format by its device."""
    for name in (CONFIG, ADAPTER, RECORD, PREDICTIONS):
        shutil.copy(finished / name, tmp_path)
    config = json.loads((tmp_path / CONFIG).read_text())
    config["trainer"] |= {"precision": "auto", "device": "auto"}
    (tmp_path / CONFIG).write_text(json.dumps(config))
    return tmp_path


def test_the_record_says_what_the_configuration_left_to_the_device(folder: Path) -> None:
    expected, found = answers(folder)
    assert found == expected


def test_without_a_record_the_number_format_must_be_given(folder: Path) -> None:
    (folder / RECORD).unlink()
    with pytest.raises(AdapterError, match=rf"^{folder}: no {RECORD} in it says in which number format"):
        lnbench.load(folder)
    expected, found = answers(folder, precision="bf16")
    assert found == expected


def test_another_number_format_is_taken_when_it_is_asked_for(folder: Path) -> None:
    tuned, (several,) = lnbench.load(folder, precision="fp32"), lnbench.load_several([folder], precision="fp32")
    assert tuned.precision == several.precision == "fp32"
    expected, found = answers(folder, precision="fp32")
    assert found != expected


@pytest.mark.parametrize("precision", ["fp16", "bf16-mixed", ""])
def test_an_unknown_number_format_is_refused(folder: Path, precision: Format) -> None:
    with pytest.raises(ConfigError, match=rf"^precision = '{precision}': must be one of fp32, bf16"):
        lnbench.load(folder, precision=precision)


def test_a_machine_without_bf16_is_told_before_the_model_loads(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tuned = lnbench.load(folder)
    incapable(monkeypatch)
    with pytest.raises(ConfigError, match=r"bf16.*slowly or not at all; .*precision='fp32' \(--precision fp32\)"):
        tuned.predict(["good film"])
    monkeypatch.setattr("lnbench.exchange.tuned.build_model", lambda _: pytest.fail("a model is loaded"))
    with pytest.raises(ConfigError, match=rf"^{folder}: computes in bf16"):
        lnbench.load(folder)


@pytest.mark.parametrize(("option", "same"), [((), True), (("--precision", "fp32"), False)])
def test_the_command_answers_as_the_run_unless_told_otherwise(
    folder: Path,
    option: tuple[str, ...],
    same: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    expected = [json.loads(line) for line in (folder / PREDICTIONS).read_text().splitlines()]
    texts = [line["input"]["sentence"] for line in expected]
    monkeypatch.setattr(sys, "argv", ["predict", str(folder), "--json", *option, *texts])
    main()
    found = [json.loads(line)["probabilities"] for line in capsys.readouterr().out.splitlines()]
    assert ([line["probabilities"] for line in expected] == found) == same
