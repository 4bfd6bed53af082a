"""The command line: what it answers, with which exit code, and before what is imported."""

import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

import lnbench
from lnbench.__main__ import main
from lnbench.cli import IN_THIS_PROCESS
from lnbench.config import RunConfig
from lnbench.interruption import RunInterrupted
from lnbench.outcome import FAILED, INTERRUPTED, REFUSED
from lnbench.schema import ConfigError
from lnbench.tasks.source import DataError

SLOW_IMPORTS = ("torch", "transformers", "pytorch_lightning", "datasets", "wandb", "lnbench.run")
Python = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def python(tmp_path: Path) -> Python:
    """Runs Python in an empty folder; importing anything slow fails there, and warnings are errors."""
    (tmp_path / "site").mkdir()
    (tmp_path / "empty").mkdir()
    blocker = f"import sys\nsys.modules.update(dict.fromkeys({SLOW_IMPORTS}))\n"
    (tmp_path / "site" / "sitecustomize.py").write_text(blocker)
    path = os.pathsep.join([str(tmp_path / "site"), str(Path(lnbench.__file__).parents[1])])

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        result = subprocess.run(
            [sys.executable, *arguments],
            cwd=tmp_path / "empty",
            env={**os.environ, "PYTHONPATH": path, "PYTHONWARNINGS": "error"},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert not list((tmp_path / "empty").iterdir()), "what only shows or refuses leaves no files"
        return result

    return run


@pytest.fixture
def cli(python: Python) -> Python:
    """Runs `python -m lnbench` so."""
    return partial(python, "-m", "lnbench")


class App:
    """Runs `main` in this process, with `lnbench.run` replaced, so that nothing is trained."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.monkeypatch, self.capsys = monkeypatch, capsys
        self.ran: list[RunConfig] = []
        self.outcome: dict[str, BaseException] = {}
        module = ModuleType("lnbench.run")
        vars(module).update(run=self._run)
        monkeypatch.setitem(sys.modules, "lnbench.run", module)
        monkeypatch.setenv("HYDRA_FULL_ERROR", "0")  # main changes it; monkeypatch puts it back

    def _run(self, config: RunConfig) -> SimpleNamespace:
        self.ran.append(config)
        if error := self.outcome.get(config.method_name):
            raise error
        return SimpleNamespace(score=0.5)

    def __call__(self, *arguments: str) -> tuple[int, str]:
        """Returns the exit code and what was written to stderr."""
        self.monkeypatch.setattr(sys, "argv", ["lnbench", *arguments, IN_THIS_PROCESS])
        with pytest.raises(SystemExit) as caught:
            main()
        return int(caught.value.code or 0), self.capsys.readouterr().err


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> App:
    monkeypatch.chdir(tmp_path)
    return App(monkeypatch, capsys)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("method=ln+prefx", "method = 'prefx': does not exist; did you mean 'prefix'? available: "),
        ("--info defaults method=typo", "method = 'typo': does not exist; available: "),
        ("method=ln+ln", "method = 'ln+ln': the parts are 'ln', 'ln'; 'ln' may not be repeated"),
        ("method.prefix.lenght=3", "method.prefix.lenght: unknown key; did you mean 'length'? known keys: "),
        ("+method.prefix.lenght=3", "method.prefix.lenght: unknown key; did you mean 'length'? known keys: "),
        ("trainer.batch_size=abc", "trainer.batch_size = 'abc': Input should be a valid integer"),
        ("trainer.batch_size=0", "trainer.batch_size = 0: Input should be greater than or equal to 1"),
        ("method=full+ln", "method = full+ln: 'full' leaves nothing to add, so it cannot be summed with ln"),
        ("model.name=${nowhere}", "model.name: Interpolation key 'nowhere' not found"),
    ],
)
def test_a_mistake_is_answered_before_anything_slow_is_imported(cli: Python, arguments: str, message: str) -> None:
    result = cli(*arguments.split())
    assert result.returncode == REFUSED
    assert result.stderr.startswith(message)
    assert "Traceback" not in result.stderr
    assert len(result.stderr.splitlines()) <= 3
    assert not result.stdout


def test_help_teaches(cli: Python) -> None:
    result = cli("--help")
    assert (result.returncode, result.stderr) == (0, "")
    for group in ("method: ", "model: ", "task: ", "trainer: ", "logger: ", "experiment: "):
        assert f"\n{group}" in result.stdout
    assert result.stdout.count("\n  lnbench ") == 6
    assert "$" not in result.stdout


def test_examples_of_the_help_are_accepted(cli: Python, app: App) -> None:
    examples = [line.split("   ")[0] for line in cli("--help").stdout.splitlines() if line.startswith("  lnbench")]
    for example in examples:
        assert app(*example.split()[1:]) == (0, "")
    assert len(app.ran) == 4 + 9 + 2


def test_the_configuration_can_be_shown(cli: Python) -> None:
    assert "\nmethod:\n  ln:\n    kind: ln\n" in cli("--cfg", "job").stdout
    tree = cli("--info", "defaults-tree", "method=prefix+ln").stdout
    assert "    method: prefix+ln:\n      method/ln\n      method/prefix\n      _self_\n" in tree
    assert "| method/ln  " in cli("--info", "defaults").stdout


def test_a_shell_completes_sums(cli: Python, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMP_LINE", "lnbench method=ln+pre")
    assert cli("-sc", "query=bash").stdout == "method=ln+prefix\n"


def test_a_run_gets_the_checked_configuration(app: App, tmp_path: Path) -> None:
    assert app("method=prefix+ln", "seed=3") == (0, "")
    assert [(config.method_name, config.seed) for config in app.ran] == [("ln+prefix", 3)]
    assert not list(tmp_path.iterdir()), "only the run itself may leave files"


def test_a_sweep_goes_on_after_a_failure(app: App, tmp_path: Path) -> None:
    app.outcome = {"bitfit": ConfigError("not for this model"), "ln+prefix": ZeroDivisionError("oops")}
    code, stderr = app("-m", "method=bitfit,prefix+ln,ln", "seed=1,2")
    assert code == REFUSED, "the exit code of the first failure"
    assert [config.method_name for config in app.ran] == ["bitfit", "bitfit", "ln+prefix", "ln+prefix", "ln", "ln"]
    assert "not for this model\n" in stderr
    assert "ZeroDivisionError: oops" in stderr
    assert "Failed: method=prefix+ln seed=2\n" in stderr
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")] == ["runs", "runs/multirun.yaml"]


def test_an_experiment_can_be_a_sweep(app: App) -> None:
    assert app("experiment=mini_ablation_terms", "trainer.max_steps=5") == (0, "")
    assert len({str(config.identity()) for config in app.ran}) == 27
    assert {(config.method_name, config.trainer.max_steps) for config in app.ran} == {("ln", 5)}


def test_a_sweep_with_a_typo_does_not_start(app: App) -> None:
    code, stderr = app("-m", "method=ln,bitfit+prefx")
    assert (code, app.ran) == (REFUSED, [])
    assert stderr.startswith("method = 'prefx': does not exist; did you mean 'prefix'? available: ")


def test_unusable_data_is_told_without_a_traceback(app: App) -> None:
    app.outcome = {"ln": DataError("tweets: no such column")}
    assert app("method=ln")[0] == REFUSED
    assert app("method=ln")[1].startswith("tweets: no such column\n")


def test_a_failed_run_shows_its_traceback(app: App) -> None:
    app.outcome = {"ln": ZeroDivisionError("oops")}
    code, stderr = app("method=ln")
    assert code == FAILED
    assert stderr.count("Traceback") == 1
    assert stderr.endswith("ZeroDivisionError: oops\n")


def test_an_interrupt_ends_a_sweep(app: App) -> None:
    app.outcome = {"bitfit": RunInterrupted()}
    assert app("-m", "method=bitfit,ln") == (INTERRUPTED, "")
    assert len(app.ran) == 1


@pytest.mark.parametrize(
    ("terminal", "no_color", "red"), [(True, None, True), (True, "1", False), (False, None, False)]
)
def test_red_is_for_terminals(
    app: App, monkeypatch: pytest.MonkeyPatch, terminal: bool, no_color: str | None, red: bool
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    monkeypatch.delenv("NO_COLOR", raising=False)
    if no_color:
        monkeypatch.setenv("NO_COLOR", no_color)
    code, stderr = app("method=typo")
    assert code == REFUSED
    assert stderr.startswith("\x1b[31m") is red


def test_the_package_imports_nothing(python: Python) -> None:
    script = "import sys, lnbench; print(lnbench.__version__, {'hydra', 'pydantic'} & set(sys.modules))"
    assert python("-c", script).stdout == f"{lnbench.__version__} set()\n"


def test_load_is_that_of_tuned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lnbench.tuned", SimpleNamespace(load="loader"))
    assert lnbench.load == "loader"
    with pytest.raises(AttributeError, match="module 'lnbench' has no attribute 'lode'"):
        _ = lnbench.lode
