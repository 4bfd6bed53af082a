import json
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from scripts import gpu_day
from scripts.gpu_day import Figure, Measurement, measure, measurements, told
from tests.forking import Program

Call = Callable[..., dict[str, Any]]
EXACT = Measurement("exact", ["some.module"], [Figure("ratio", lambda report: report["ratio"], 0.5, at_most=True)])


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Calls the script in this process; takes options, and returns what it saves."""

    def called(*options: str) -> dict[str, Any]:
        file = tmp_path / "out.json"
        monkeypatch.setattr(sys, "argv", ["gpu_day", "--out", str(file), *options])
        gpu_day.main()
        saved: dict[str, Any] = json.loads(file.read_text())
        return saved

    return called


def test_small_measurements_on_a_cpu(
    call: Call, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(command: list[str], env: dict[str, str], **_: Any) -> Any:
        return SimpleNamespace(returncode=Program(command, env).wait(), stdout="", stderr="")

    monkeypatch.setattr(subprocess, "run", run)
    saved = call("--small", "--only", "step", "trainer")
    assert list(saved) == ["step", "trainer"]
    for result in saved.values():
        assert "problem" not in result
        assert result["device"]
        assert result["versions"].keys() >= {"torch", "transformers", "peft"}
        for figure in result["figures"].values():
            assert 0 < figure["low"] <= figure["median"] <= figure["high"]
    step, trainer = saved["step"], saved["trainer"]
    assert {name: one["target"] for name, one in step["figures"].items() if "target" in one} == {"LN / full": 0.65}
    ratio = step["figures"]["LN / full"]
    assert ratio["reached"] == (ratio["median"] <= 0.65)
    assert trainer["figures"]["speed / Trainer with peft"]["target"] == 1.5
    assert trainer["report"]["end_to_end"][0]["padding"]["high"] == 0
    assert "target at least 1.5" in capsys.readouterr().out
    monkeypatch.setattr(subprocess, "run", pytest.fail)
    assert call("--small", "--only", "trainer") == saved, "what is saved is not measured again"
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: SimpleNamespace(returncode=3, stdout="", stderr=""))
    assert call("--only", "trainer")["trainer"]["problem"] == "ended with 3", "a small number is not the number"


@pytest.mark.parametrize("small", [False, True])
def test_every_benchmark_understands_its_command(small: bool) -> None:
    found = measurements(Path("texts.csv"), small)
    assert len({one.name for one in found}) == len(found) == 9
    for one in found:
        module, *arguments = one.arguments
        options = import_module(module).parser().parse_intermixed_args(arguments)
        assert [word for word in options.overrides if "=" not in word] == []
        assert set(options.overrides) == {word for word in arguments if "=" in word}


def test_one_that_fails_or_hangs_costs_no_other(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(command: list[str], timeout: float, **_: Any) -> Any:
        if "--graphs" in command:
            raise subprocess.TimeoutExpired(command, timeout)
        return SimpleNamespace(returncode=1, stdout="", stderr="Traceback\nOutOfMemoryError: too large\n")

    monkeypatch.setattr(subprocess, "run", run)
    saved = call("--only", "graphs", "compile")
    assert saved["graphs"]["problem"] == "stopped after 400 s"
    assert saved["compile"]["problem"] == "Traceback\nOutOfMemoryError: too large"


def test_what_there_is_no_time_for_is_left_out(tmp_path: Path) -> None:
    assert measure(EXACT, tmp_path, 0.0, compiles=True)["problem"] == "left out: the time was up"


@pytest.mark.parametrize(("ratio", "word"), [(0.5, "reached"), (0.51, "missed")])
def test_a_target_is_told_beside_its_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ratio: float, word: str
) -> None:
    def run(command: list[str], **_: Any) -> Any:
        report = {"ratio": ratio, "hardware": {"cpu": "some", "gpu": "H100"}, "versions": {}}
        Path(command[-1]).write_text(json.dumps(report))
        return SimpleNamespace(returncode=0)

    monkeypatch.setattr(subprocess, "run", run)
    lines = told(EXACT, measure(EXACT, tmp_path, 1.0, compiles=True))
    assert lines == ["exact on H100", f"  ratio: {ratio}; target at most 0.5, {word}"]
