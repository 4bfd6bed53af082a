import functools
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from lnbench.config.run import RunConfig
from lnbench.core.interruption import RunInterrupted
from lnbench.records.files import ADAPTER, BEST, CHECKPOINTS, METRICS, RECORD, RESUME
from lnbench.records.identity import run_dir
from lnbench.run.lifecycle import run
from tests import runs
from tests.conftest import Configure
from tests.forking import Forking
from tests.training.interruption import AtCall, inject, interrupt, send

BATCHES = 9
"""Of an epoch; a run has two, and validates after every fourth batch and at the end."""
STEPS = 5
"""Of an epoch of batches that accumulate."""

ACCUMULATING = ("trainer.accumulate=2", "trainer.validate_every=3")
ONCE_AN_EPOCH = ("trainer.validate_every=null", "trainer.max_epochs=3")
STOPPING_EARLY = ("trainer.patience=2", "trainer.max_epochs=4", "trainer.validate_every=3")
SUM = ("method=ln+prefix+mha_adapter",)
ALLOTTING = ("method=adalora+ln", "method.adalora.interval=2")
"""From the second step to the ninth. The first allotment is after the fourth."""

MOMENTS = [
    ((), "on_train_start", 1),
    ((), "on_train_batch_start", 2),
    ((), "on_train_batch_end", 1),
    ((), "on_train_batch_end", 3),
    ((), "on_train_batch_end", 4),
    ((), "on_validation_start", 1),
    ((), "on_validation_end", 1),
    ((), "on_train_batch_end", BATCHES - 1),
    ((), "on_train_batch_end", BATCHES),
    ((), "on_train_epoch_end", 1),
    ((), "on_train_batch_end", BATCHES + 1),
    ((), "on_train_batch_end", 2 * BATCHES - 1),
    ((), "on_train_batch_end", 2 * BATCHES),
    ((), "on_validation_end", 5),
    ((), "on_train_end", 1),
    ((), "on_test_start", 1),
    ((), "on_test_batch_end", 1),
    ((), "on_test_end", 1),
    (SUM, "on_train_batch_end", 6),
    (ALLOTTING, "on_train_batch_end", 3),
    (ALLOTTING, "on_train_batch_end", 7),
    (ALLOTTING, "on_train_batch_end", 12),
    (ACCUMULATING, "on_train_batch_end", 1),
    (ACCUMULATING, "on_train_batch_end", 2),
    (ACCUMULATING, "on_train_batch_end", 3),
    (ACCUMULATING, "on_train_batch_end", STEPS),
    (ACCUMULATING, "on_train_batch_end", STEPS + 3),
    (ONCE_AN_EPOCH, "on_train_batch_end", 5),
    (ONCE_AN_EPOCH, "on_train_batch_end", BATCHES),
    (ONCE_AN_EPOCH, "on_train_epoch_end", 2),
    (STOPPING_EARLY, "on_train_batch_end", 4),
    (STOPPING_EARLY, "on_validation_end", 2),
    (STOPPING_EARLY, "on_train_end", 1),
    (STOPPING_EARLY, "on_test_batch_end", 1),
]


@pytest.fixture(scope="module")
def expected(sources: dict[str, Path], data_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Results of runs that nothing interrupts."""

    @functools.cache
    def compute(*overrides: str) -> dict[str, Any]:
        runs_dir = tmp_path_factory.mktemp("uninterrupted")
        return runs.results(runs.configure(sources["bert"], data_root, runs_dir, *overrides))

    return compute


@pytest.mark.parametrize(("overrides", "hook", "count"), MOMENTS)
def test_an_interrupted_run_goes_on_as_if_nothing_had_happened(
    configure: Configure,
    expected: Any,
    capsys: pytest.CaptureFixture[str],
    overrides: tuple[str, ...],
    hook: str,
    count: int,
) -> None:
    config = configure(*overrides)
    folder = run_dir(config)
    interrupt(config, hook, count)
    assert (folder / RESUME).is_file()
    assert not (folder / RECORD).exists()
    assert not (folder / ADAPTER).exists()
    said = capsys.readouterr()
    assert "Press Ctrl-C again" in said.err
    assert "The same command goes on" in said.out
    assert str(folder) in said.out.replace("\n", "")
    assert runs.results(config) == expected(*overrides)
    assert not (folder / CHECKPOINTS).exists()


def test_a_run_can_be_interrupted_again_and_again(
    configure: Configure, expected: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = configure()
    for _ in range(4):
        interrupt(config, "on_train_batch_end", 4)
    assert runs.results(config) == expected()


def test_sigterm_is_answered_like_ctrl_c(configure: Configure, expected: Any) -> None:
    config = configure()
    interrupt(config, "on_train_batch_end", 5, signal.SIGTERM)
    assert runs.results(config) == expected()


def test_a_second_signal_stops_at_once(configure: Configure, monkeypatch: pytest.MonkeyPatch) -> None:
    config, batches = configure(), []
    inject(
        monkeypatch,
        AtCall("on_validation_batch_end", 1, send),
        AtCall("on_validation_batch_end", 1, send),
        AtCall("on_validation_batch_end", 2, lambda: batches.append(2)),
    )
    with pytest.raises(RunInterrupted):
        run(config)
    assert not batches
    assert not (run_dir(config) / RESUME).exists()


@pytest.mark.parametrize("interrupted", [False, True])
def test_signals_are_given_back(configure: Configure, interrupted: bool) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    if interrupted:
        interrupt(configure(), "on_train_batch_end", 2)
    else:
        run(configure())
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_ctrl_c_before_training_says_that_nothing_is_saved(
    configure: Configure, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("lnbench.run.execute.build_model", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run(configure())
    assert "Interrupted before any state was saved" in capsys.readouterr().out


def killed(config: RunConfig) -> None:
    """A run whose process ends at once in the midst of training."""
    with pytest.MonkeyPatch.context() as patch:
        inject(patch, AtCall("on_train_batch_end", 7, lambda: os._exit(9)))
        run(config)


def test_a_killed_run_goes_on_from_its_last_checkpoint(configure: Configure, expected: Any) -> None:
    config = configure("trainer.checkpoint_minutes=1e-9")
    process = Forking().Process(target=killed, args=(config,))
    process.start()
    process.join()
    assert process.exitcode == 9
    assert (run_dir(config) / RESUME).is_file()
    assert (run_dir(config) / METRICS).is_file()
    assert runs.results(config) == expected()


def test_a_time_based_checkpoint_changes_nothing(configure: Configure, expected: Any) -> None:
    assert runs.results(configure("trainer.checkpoint_minutes=1e-9", *ACCUMULATING)) == expected(*ACCUMULATING)


def interrupted(configure: Configure, *overrides: str) -> Path:
    """Folder of a run that was stopped after its first validation."""
    config = configure(*overrides)
    interrupt(config, "on_train_batch_end", 6)
    return run_dir(config)


@pytest.mark.parametrize("name", [RESUME, BEST])
@pytest.mark.parametrize("damage", ["truncated", "garbage", "empty", "flipped header"])
def test_a_damaged_checkpoint_makes_training_start_over(
    configure: Configure,
    expected: Any,
    caplog: pytest.LogCaptureFixture,
    name: str,
    damage: str,
) -> None:
    path = interrupted(configure) / name
    content = path.read_bytes()
    path.write_bytes(
        {
            "truncated": content[: len(content) // 2],
            "garbage": os.urandom(len(content)),
            "empty": b"",
            "flipped header": content[:8] + bytes([content[8] ^ 1]) + content[9:],
        }[damage]
    )
    assert runs.results(configure()) == expected()
    (message,) = [record.getMessage() for record in caplog.records]
    assert message.startswith(f"{path}: is missing, damaged")
    assert message.endswith("training starts over")


def test_a_missing_best_checkpoint_makes_training_start_over(
    configure: Configure, expected: Any, caplog: pytest.LogCaptureFixture
) -> None:
    (interrupted(configure) / BEST).unlink()
    assert runs.results(configure()) == expected()
    assert "training starts over" in caplog.text


def test_other_data_makes_training_start_over(
    configure: Configure,
    sources: dict[str, Path],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr("lnbench.tasks.base.content_of_splits", lambda *_: {})  # as of a hub that cannot be asked
    folder = interrupted(configure)
    other = runs.write_data(tmp_path / "data")
    train = other / "sst2" / "train.jsonl"
    train.write_text(train.read_text().replace("film", "e", 1))
    assert runs.configure(sources["bert"], other, tmp_path, "seed=0").identity() == configure().identity()
    fresh = runs.results(configure(f"data_root={other}", f"runs_dir={tmp_path}/fresh"))
    assert not caplog.records
    assert runs.results(configure(f"data_root={other}")) == fresh
    assert f"{folder / RESUME}: was saved while training on other data" in caplog.text


def test_a_moved_folder_goes_on_too(configure: Configure, expected: Any, tmp_path: Path) -> None:
    folder = interrupted(configure, *ONCE_AN_EPOCH)
    elsewhere = configure(*ONCE_AN_EPOCH, f"runs_dir={tmp_path}/elsewhere")
    run_dir(elsewhere).parent.mkdir(parents=True)
    folder.rename(run_dir(elsewhere))
    assert runs.results(elsewhere) == expected(*ONCE_AN_EPOCH)


@pytest.mark.gpu
def test_a_resumed_run_on_a_gpu_gives_the_same_metrics(configure: Configure, tmp_path: Path) -> None:
    overrides = ("trainer.device=gpu", "trainer.precision=fp32")
    whole = run(configure(*overrides, f"runs_dir={tmp_path}/whole"))
    interrupted(configure, *overrides)
    torch.cuda.synchronize()
    assert run(configure(*overrides)).metrics == whole.metrics
