import shlex
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf
from rich.console import Console

from lnbench import predict
from lnbench.core.config_folders import config_dir
from lnbench.run import messages
from lnbench.tasks.base import TASKS
from lnbench.training.loggers.wandb_log import place_of
from tests.commands import words_of
from tests.records.builders import new_record
from tests.tasks.builders import new_task

LONG = Path("/a very long path") / ("folder" * 20) / "[red]brackets[/red]" / "0123456789ab"


@pytest.fixture(autouse=True, params=[80, 200])
def console(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Console:
    console = Console(highlight=False, width=request.param)
    monkeypatch.setattr(messages, "console", console)
    return console


def test_the_end_shows_scores_beside_what_not_reading_would_score(capsys: pytest.CaptureFixture[str]) -> None:
    messages.show_finished(new_record(), new_task(), LONG)
    said = " ".join(capsys.readouterr().out.replace("│", "").split())
    for text in (
        "ln+prefix on films with tiny, seed 3",
        "accuracy 75.00%",
        "accuracy 66.67%",
        "input-free baseline test: accuracy 50.00%",
        "MCC -0.5000",
        "4,608 parameters, 10.162%",
        "prefix 4,224",
        "1,234",
        "62 s",
        "902 samples/s",
        "1.50 GiB",
    ):
        assert text in said


def test_the_end_shows_where_time_and_energy_went(capsys: pytest.CaptureFixture[str]) -> None:
    spent = {"validation_seconds": 12.3, "checkpoint_seconds": 0.6, "train_joules": 6150.2, "test_joules": 49.9}
    record = new_record()
    messages.show_finished(record.model_copy(update={"cost": record.cost.model_copy(update=spent)}), new_task(), LONG)
    said = " ".join(capsys.readouterr().out.replace("│", "").split())
    assert "62 s for 1,234 training steps, 12 s of validation, 1 s of checkpoints, 80 s in all;" in said
    assert "energy 6,150 J in training, 50 J in testing" in said


@pytest.mark.parametrize(("waited", "told"), [(None, False), (3.0, False), (20.0, True)])
def test_a_run_that_waited_for_a_core_says_so(
    capsys: pytest.CaptureFixture[str], waited: float | None, told: bool
) -> None:
    record = new_record()
    cost = record.cost.model_copy(update={"train_waited_seconds": waited})
    messages.show_finished(record.model_copy(update={"cost": cost}), new_task(), LONG)
    said = " ".join(capsys.readouterr().out.replace("│", "").split())
    assert ("others had all cores for 33% of the training time" in said) == told


def test_a_run_that_is_no_better_than_its_baseline_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    name = "majority baseline"
    messages.show_finished(new_record(baseline={"test": {"accuracy": 0.8}}, baseline_name=name), new_task(), LONG)
    said = " ".join(capsys.readouterr().out.replace("│", "").split())
    assert "majority baseline test: accuracy 80.00%" in said
    assert "note the run is no better than the majority baseline on test" in said
    messages.show_finished(new_record(), new_task(), LONG)
    assert "no better" not in capsys.readouterr().out


def test_the_commands_it_shows_can_be_copied(capsys: pytest.CaptureFixture[str]) -> None:
    folder = Path("/out dir, x=1/it's $HOME")
    messages.show_finished(new_record(), new_task(), folder)
    lines = capsys.readouterr().out.splitlines()
    (predict,) = [line.removeprefix("try it") for line in lines if line.startswith("try it")]
    assert shlex.split(predict) == ["python", "-m", "lnbench.predict", str(folder), "some text"]
    messages.show_finished(new_record(config={"plugins": ["my_methods"]}), new_task(), folder)
    assert capsys.readouterr().out.splitlines()[-1].endswith(" 'some text' --plugin my_methods")
    assert shlex.split(place_of(None, folder)) == ["wandb", "sync", str(folder)]


@pytest.mark.parametrize("name", ["sst2", "mrpc", "sick", "stsb", "conll2003", "squad", "dart"])
def test_the_command_that_asks_the_model_is_one_that_it_answers(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    fields: Any = OmegaConf.to_container(OmegaConf.load(config_dir() / "task" / f"{name}.yaml"))
    task = TASKS.parse(fields, "task")
    messages.show_finished(new_record(), task, Path("out dir"))
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("try it")]
    python, _, module, *arguments = words_of(line.removeprefix("try it"))
    assert (python, module) == ("python", "lnbench.predict")
    monkeypatch.setattr("sys.argv", [module, *arguments])
    options = predict._options()
    assert options.run_dir == Path("out dir")
    assert len(task.unlabelled(options.text)) == 1


def test_a_path_is_never_cut_or_broken(capsys: pytest.CaptureFixture[str]) -> None:
    record = new_record()
    messages.show_finished(record, new_task(), LONG)
    messages.show_skipped(record, new_task(), LONG)
    messages.show_interrupted(LONG, saved=True)
    messages.show_interrupted(LONG, saved=False)
    said = capsys.readouterr().out.splitlines()
    assert sum(str(LONG) in line for line in said) == 6


def test_a_skipped_run_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    messages.show_skipped(new_record(), new_task(), LONG)
    said = capsys.readouterr().out
    assert said.startswith("This run is finished already; rerun=true does it again.")
    assert "accuracy 66.67%" in said
