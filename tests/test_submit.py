"""Runs are packed for others when they are whole, complete and of one search budget."""

from pathlib import Path

import pytest

from lnbench.core.schema import ConfigError
from lnbench.core.sealed import read_sealed, write_sealed
from lnbench.records.files import CONFIG, METRICS, RECORD
from lnbench.records.identity import run_dir
from lnbench.records.packed import SUFFIX
from lnbench.records.record import RecordError
from lnbench.report.load import load_runs
from lnbench.run.lifecycle import run
from lnbench.submit import submit
from tests.commands import Commands
from tests.conftest import Configure


def do(configure: Configure, method: str, *seeds: int, **more: str) -> None:
    for seed in seeds:
        run(
            configure(f"method={method}", f"seed={seed}", "trainer.max_steps=2", *(f"{k}={v}" for k, v in more.items()))
        )


def test_complete_runs_are_packed_and_read_again(configure: Configure, runs_dir: Path, commands: Commands) -> None:
    do(configure, "ln", 0, 1)
    do(configure, "bitfit", 0, 1)
    out = runs_dir.parent / "results" / "mine"
    told = submit(runs_dir, out, [])
    assert told.startswith(f"{out}{SUFFIX}: 4 runs and 0 trials of their searches, ")
    assert {record.id for record in load_runs(out.parent).records} == {
        record.id for record in load_runs(runs_dir).records
    }
    filtered = submit(runs_dir, out.with_name("ln"), ["method=ln"])
    assert ": 2 runs" in filtered


def test_what_a_method_lacks_is_told_with_its_command(configure: Configure, runs_dir: Path) -> None:
    do(configure, "ln", 0, 1)
    do(configure, "bitfit", 1)
    with pytest.raises(ConfigError) as raised:
        submit(runs_dir, runs_dir.parent / "mine", [])
    _, lacking, command = str(raised.value).splitlines()
    assert lacking.strip() == "bitfit lacks sst2 seed 0"
    assert command.strip().startswith("python -m lnbench method=bitfit task=sst2 ")
    assert " seed=0 " in command
    assert f"data_root={configure().data_root}" in command
    assert not (runs_dir.parent / f"mine{SUFFIX}").exists()


def test_published_runs_of_the_same_settings_are_to_be_met(configure: Configure, runs_dir: Path) -> None:
    do(configure, "ln", 0, 1)
    results = runs_dir.parent / "results"
    submit(runs_dir, results / "published", [])
    own = runs_dir.parent / "own"
    do(configure, "bitfit", 0, runs_dir=str(own))
    with pytest.raises(ConfigError, match=r"bitfit lacks sst2 seed 1\n.*bitfit.* seed=1 .*data_root="):
        submit(own, results / "mine", [])
    do(configure, "bitfit", 1, runs_dir=str(own))
    assert ": 2 runs" in submit(own, results / "mine", [])


def test_further_seeds_may_differ_but_none_may_be_left_out(configure: Configure, runs_dir: Path) -> None:
    results = runs_dir.parent / "results"
    do(configure, "ln", 0, 1, 2, 3)
    do(configure, "bitfit", 0, 1)
    with pytest.raises(ConfigError, match=r"bitfit lacks sst2 seed 2\n"):
        submit(runs_dir, results / "published", [])
    do(configure, "bitfit", 2)
    assert ": 7 runs" in submit(runs_dir, results / "published", [])
    own = runs_dir.parent / "own"
    do(configure, "lora", 0, 1, 3, runs_dir=str(own))
    with pytest.raises(ConfigError, match=r"lora lacks sst2 seed 2\n"):
        submit(own, results / "mine", [])
    do(configure, "lora", 2, runs_dir=str(own))
    assert ": 4 runs" in submit(own, results / "mine", [])


def test_seeds_that_all_published_methods_have_are_needed(configure: Configure, runs_dir: Path) -> None:
    results, own = runs_dir.parent / "results", runs_dir.parent / "own"
    do(configure, "ln", 0, 1, 2, 3, 4)
    do(configure, "bitfit", 0, 1, 2, 3)
    submit(runs_dir, results / "published", [])
    do(configure, "lora", 0, 1, 2, runs_dir=str(own))
    with pytest.raises(ConfigError, match=r"lora lacks sst2 seed 3\n"):
        submit(own, results / "mine", [])


def test_a_larger_search_budget_is_refused(configure: Configure, runs_dir: Path) -> None:
    do(configure, "ln", 0)
    do(configure, "bitfit", 0)
    do(configure, "bitfit", 0, **{"trainer.lr": "0.01"})
    with pytest.raises(ConfigError, match=r"not the same search budget: bitfit tried 2 of trainer.lr, ln tried 1 of"):
        submit(runs_dir, runs_dir.parent / "mine", [])


def test_trials_come_along_and_must_be_there(configure: Configure, runs_dir: Path) -> None:
    config = configure("search=lr_coarse", "trainer.max_steps=2")
    record = run(config)
    assert record.search
    assert "1 run and 3 trials" in submit(runs_dir, runs_dir.parent / "mine", [])
    (trial,) = [one for one in load_runs(runs_dir).trials if one.id == record.search.trials[0].id]
    (trial.folder / RECORD).unlink()
    (trial.folder / CONFIG).unlink()
    with pytest.raises(ConfigError, match=f"run {record.id} lacks its trial {trial.id}"):
        submit(runs_dir, runs_dir.parent / "mine", [])


def test_what_is_damaged_or_unfinished_is_refused(configure: Configure, runs_dir: Path) -> None:
    do(configure, "ln", 0, 1)
    folder = run_dir(configure("seed=1", "trainer.max_steps=2"))
    history = (folder / METRICS).read_text()
    (folder / METRICS).write_text(history.replace("0.", "1.", 1))
    with pytest.raises(RecordError, match=f"{folder / METRICS}: is not what the run wrote"):
        submit(runs_dir, runs_dir.parent / "mine", [])
    (folder / METRICS).write_text(history)
    (folder / RECORD).unlink()
    with pytest.raises(ConfigError, match=f"interrupted  {folder}"):
        submit(runs_dir, runs_dir.parent / "mine", [])
    assert not (runs_dir.parent / f"mine{SUFFIX}").exists()


def test_what_contradicts_itself_is_refused(configure: Configure, runs_dir: Path) -> None:
    do(configure, "ln", 0)
    folder = run_dir(configure("trainer.max_steps=2"))
    content = read_sealed(folder / RECORD)
    content["metrics"]["test"]["accuracy"] += 0.0625
    write_sealed(folder / RECORD, content)
    with pytest.raises(RecordError) as raised:
        submit(runs_dir, runs_dir.parent / "mine", [])
    first, second = str(raised.value).splitlines()
    assert first == f"{folder}: contradicts itself:"
    assert second.strip().startswith(f"test/accuracy = {content['metrics']['test']['accuracy']} recorded, and ")
    assert not (runs_dir.parent / f"mine{SUFFIX}").exists()


def test_a_file_of_other_runs_is_kept(configure: Configure, runs_dir: Path) -> None:
    do(configure, "ln", 0)
    path = Path(f"{runs_dir.parent / 'mine'}{SUFFIX}")
    submit(runs_dir, path, [])
    do(configure, "bitfit", 0)
    submit(runs_dir, path, [])
    before = path.read_bytes()
    with pytest.raises(ConfigError, match=r"is there with runs that are not among these \(.*, 1 in all\); choose"):
        submit(runs_dir, path, ["method=ln"])
    assert path.read_bytes() == before
    path.write_text("notes")
    with pytest.raises(ConfigError, match="is there with runs that are not among these"):
        submit(runs_dir, path, [])
    assert path.read_text() == "notes"


def test_a_folder_without_runs_is_refused_in_a_line(commands: Commands, tmp_path: Path) -> None:
    assert "has no finished runs" in str(commands.submit(tmp_path, "--out", tmp_path / "x").code)
    assert "is not a folder" in str(commands.submit(tmp_path / "none", "--out", tmp_path / "x").code)
