"""When and how W&B is asked to log a run, and that nothing it does stops one."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import wandb

from lnbench.config.run import RunConfig
from lnbench.records.files import RESUME
from lnbench.records.identity import address_of, run_dir, run_id
from lnbench.records.record import read_record
from lnbench.training.loggers import wandb_log, wandb_results
from lnbench.training.loggers.run_logger import open_logger
from tests import runs
from tests.conftest import Configure
from tests.training.interruption import interrupt
from tests.training.loggers.offline_wandb import isolate, offline_files


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    isolate(monkeypatch, tmp_path / "wandb")


class FakeRun:
    """Takes whatever is done to a W&B run."""

    def __init__(self, url: str | None = None, disabled: bool = False) -> None:
        self.url, self.offline, self.disabled = url, url is None, disabled

    def define_metric(self, *_: Any, **__: Any) -> None: ...

    def finish(self, exit_code: int) -> None: ...


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """Opens a run's logger, and returns what W&B is started with."""

    def start(config: RunConfig, run: Any = None) -> dict[str, Any]:
        asked: dict[str, Any] = {}
        monkeypatch.setattr(wandb, "init", lambda **settings: asked.update(settings) or run or FakeRun())
        with open_logger(config, address_of(config)) as logger:
            assert logger
        return asked

    return start


@pytest.mark.parametrize(
    ("asked", "variable", "key", "mode"),
    [
        ("auto", None, False, "offline"),
        ("auto", None, True, "online"),
        ("auto", "disabled", True, "disabled"),
        ("online", None, False, "online"),
        ("offline", None, True, "offline"),
    ],
)
def test_the_mode_follows_the_configuration_then_the_key(
    configure: Configure,
    monkeypatch: pytest.MonkeyPatch,
    started: Callable[..., dict[str, Any]],
    asked: str,
    variable: str | None,
    key: bool,
    mode: str,
) -> None:
    monkeypatch.setattr(wandb, "login", lambda **_: key)
    if variable:
        monkeypatch.setenv("WANDB_MODE", variable)
    config = configure("logger=wandb", f"logger.wandb.mode={asked}")
    settings = started(config)
    assert settings["mode"] == mode
    assert settings["id"] == run_id(config)


def test_a_run_that_goes_on_from_a_checkpoint_continues_its_wandb_run(
    configure: Configure, started: Callable[..., dict[str, Any]]
) -> None:
    config = configure("logger=wandb")
    assert started(config)["resume"] is None
    path = run_dir(config) / RESUME
    path.parent.mkdir(parents=True)
    path.touch()
    assert started(config)["resume"] == "allow"


def test_tags_are_short_and_unique(configure: Configure, started: Callable[..., dict[str, Any]]) -> None:
    config = configure("logger=wandb", "method=ln+lora", "model.name=ln", f"task.name={'x' * 80}")
    assert started(config)["tags"] == ["ln", "lora", "x" * 64, "seed-0"]


@pytest.mark.parametrize(
    ("fake", "line"),
    [
        (FakeRun("https://wandb.ai/me/lnbench/runs/1"), "W&B       https://wandb.ai/me/lnbench/runs/1\n"),
        (FakeRun(), "W&B       wandb sync {folder}/wandb\n"),
        (FakeRun(disabled=True), ""),
    ],
)
def test_one_line_says_where_the_run_is(
    configure: Configure,
    started: Callable[..., dict[str, Any]],
    capsys: pytest.CaptureFixture[str],
    fake: FakeRun,
    line: str,
) -> None:
    config = configure("logger=wandb")
    started(config, fake)
    assert capsys.readouterr().out == line.format(folder=run_dir(config))


def test_the_real_disabled_mode_takes_everything(configure: Configure, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    config = configure("logger=wandb")
    runs.results(config)
    assert not offline_files(config)
    assert os.environ["WANDB_MODE"] == "disabled"


def test_an_interrupt_leaves_no_run_open(configure: Configure, capsys: pytest.CaptureFixture[str]) -> None:
    config = configure("logger=wandb")
    interrupt(config, "on_train_batch_end", 3)
    assert wandb.run is None
    assert f"wandb sync {run_dir(config)}/wandb" in capsys.readouterr().out


def broken(*_: Any, **__: Any) -> None:
    raise ConnectionError("the network is away")


def breaks_what_is_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("log", "log_artifact"):
        monkeypatch.setattr(wandb.Run, name, broken)


def breaks_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    finish = wandb.Run.finish
    monkeypatch.setattr(wandb.Run, "finish", lambda *arguments: broken(finish(*arguments)))


def breaks_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wandb, "init", broken)


def breaks_the_login(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wandb, "login", broken)


def breaks_the_results(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wandb_log, "summary_values", broken)
    for name in ("shift_charts", "predictions_table", "adapter_artifact"):
        monkeypatch.setattr(wandb_results, name, broken)


@pytest.mark.parametrize(
    "breaks",
    [breaks_what_is_logged, breaks_the_end, breaks_the_start, breaks_the_login, breaks_the_results],
    ids=lambda breaks: breaks.__name__,
)
def test_a_run_goes_on_without_wandb_and_says_so_once(
    configure: Configure,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    breaks: Callable[[pytest.MonkeyPatch], None],
) -> None:
    expected = runs.results(configure())
    config = configure("logger=wandb", "rerun=true")
    breaks(monkeypatch)
    assert runs.results(config) == expected
    assert read_record(run_dir(config))
    warnings = [entry.getMessage() for entry in caplog.records if entry.name.startswith("lnbench")]
    assert warnings == ["W&B: ConnectionError: the network is away; the run goes on"]
    monkeypatch.undo()
    assert runs.results(config) == expected


def test_another_open_wandb_run_is_left_alone(configure: Configure, monkeypatch: pytest.MonkeyPatch) -> None:
    other = SimpleNamespace(log=broken, finish=broken)
    monkeypatch.setattr(wandb, "run", other)
    config = configure("logger=wandb")
    runs.results(config)
    assert vars(wandb)["run"] is other
    assert len(offline_files(config)) == 1


def test_without_a_logger_there_is_none(configure: Configure) -> None:
    config = configure()
    with open_logger(config, address_of(config)) as logger:
        assert logger is None


def test_wandb_is_imported_only_when_it_is_asked_for(sources: dict[str, Path], data_root: Path, runs_dir: Path) -> None:
    overrides = runs.overrides(sources["bert"], data_root, runs_dir, "logger=csv", "trainer.max_steps=1")
    code = (
        "import sys; from lnbench.config.compose import compose_config, to_plain; "
        "from lnbench.config.run import validate; "
        "from lnbench.run.lifecycle import run; run(validate(to_plain(compose_config(*sys.argv[1:])))); "
        "sys.exit('wandb' in sys.modules)"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    root = Path(runs.__file__).parents[1]
    subprocess.run([sys.executable, "-c", code, *overrides], check=True, cwd=root, env=environment, timeout=120)
