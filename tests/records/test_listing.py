"""Runs of any origin are listed, whatever lies in their folders."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

import lnbench
from lnbench.core.schema import ConfigError
from lnbench.core.sealed import read_sealed, write_sealed
from lnbench.records.failure import describe, write_failure
from lnbench.records.files import CONFIG, FAILURE, RECORD
from lnbench.records.identity import run_dir
from lnbench.records.listing import find_runs, look_at
from lnbench.records.lock import LOCKS, hold
from lnbench.report.load import load_runs
from tests.commands import Commands
from tests.conftest import Configure
from tests.records.many import begin, finish
from tests.report.builders import finished, folder_of, save

Spoil = Callable[[Path], object]


def folder_in_place(path: Path) -> None:
    path.unlink()
    path.mkdir()


def pipe_in_place(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def sealed_with(**changes: object) -> Spoil:
    return lambda path: write_sealed(path, {**read_sealed(path), **changes})


ODD: dict[str, Spoil] = {
    "many brackets": lambda path: path.write_bytes(b"[" * 100_000),
    "a huge number": lambda path: path.write_bytes(b"1" * 100_000),
    "NUL bytes": lambda path: path.write_bytes(bytes(1_000)),
    "another encoding": lambda path: path.write_bytes("é".encode("utf-16")),
    "a folder": folder_in_place,
    "a pipe": pipe_in_place,
    "half a character": sealed_with(git_commit="\ud800"),
    "a huge seed": sealed_with(seed=10**30),
}


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize(("name", "state"), [(RECORD, "damaged"), (CONFIG, "interrupted"), (FAILURE, "damaged")])
def test_an_odd_file_changes_nothing_for_other_runs(configure: Configure, odd: str, name: str, state: str) -> None:
    good, bad = configure(), configure("seed=1")
    finish(good)
    if name == RECORD:
        finish(bad)
    else:
        write_sealed(begin(bad) / CONFIG, bad.to_dict())
    if name == FAILURE:
        write_failure(describe(bad, "error", "it broke"), run_dir(bad))
    ODD[odd](run_dir(bad) / name)
    states = {found.id: found.state for found in find_runs(good.runs_dir)}
    assert states == {run_dir(good).name: "finished", run_dir(bad).name: state}


def test_odd_records_stop_neither_the_list_nor_the_report(configure: Configure, commands: Commands) -> None:
    good, *bad = [configure(f"seed={seed}") for seed in range(1 + len(ODD))]
    finish(good)
    for config, spoil in zip(bad, ODD.values(), strict=True):
        finish(config)
        spoil(run_dir(config) / RECORD)
    listed = commands.runs(good.runs_dir)
    assert (listed.code, listed.err) == (0, "")
    assert listed.out.endswith(f"{1 + len(bad)} runs: 1 finished, {len(bad)} damaged\n")
    reported = commands.report(good.runs_dir)
    assert (reported.code, reported.err) == (0, "")
    assert f"Not in this report ({len(bad)}):\n  damaged" in reported.out
    assert all(run_dir(config).name in reported.out for config in bad)


FOREIGN: dict[str, object] = {
    "a list for the method": {"method": [1]},
    "a text for the trainer": {"trainer": "fast"},
    "a rate that is a text": {"method": {"ln": {"lr": "fast"}}},
    "a shape that is a text": {"model": {"shape": {"num_hidden_layers": "many"}}},
    "levels": {"method": json.loads("[" * 90 + "]" * 90)},
}


def test_whole_records_that_say_what_no_run_does_stop_no_report(configure: Configure, commands: Commands) -> None:
    good, *bad = [configure(f"seed={seed}") for seed in range(1 + len(FOREIGN))]
    finish(good)
    for config, foreign in zip(bad, FOREIGN.values(), strict=True):
        finish(config)
        sealed_with(config=foreign)(run_dir(config) / RECORD)
    assert [record.seed for record in load_runs(good.runs_dir).records] == [0]
    assert commands.runs(good.runs_dir).code == 0
    assert commands.report(good.runs_dir).code == 0


def test_what_may_not_be_read_is_one_damaged_row(configure: Configure, monkeypatch: pytest.MonkeyPatch) -> None:
    good, bad = configure(), configure("seed=1")
    finish(good)
    finish(bad)
    read = Path.read_bytes

    def denied(path: Path) -> bytes:
        if run_dir(bad) in path.parents:
            raise PermissionError(13, "Permission denied")
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", denied)
    assert [found.state for found in find_runs(good.runs_dir) if found.id == run_dir(bad).name] == ["damaged"]


def test_a_folder_that_may_not_be_opened_is_one_damaged_row(
    configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = configure()
    run_dir(config).mkdir(parents=True)
    assert list(find_runs(config.runs_dir)) == [], "an empty folder is no run"
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: path != run_dir(config) and access(path, mode))
    (found,) = find_runs(config.runs_dir)
    assert (found.state, found.problem) == ("damaged", f"{run_dir(config)}: cannot be read")


def test_where_nothing_may_be_locked_a_run_is_listed_as_it_says(
    configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = configure()
    folder = begin(config)
    with hold(config.runs_dir, folder.name):
        monkeypatch.setattr("lnbench.records.lock.FileLock.acquire", _denied)
        assert look_at(folder, config.runs_dir).state == "running"
        (config.runs_dir / LOCKS / f"{folder.name}.json").unlink()
        assert look_at(folder, config.runs_dir).state == "interrupted"


def _denied(*_: object, **__: object) -> None:
    raise PermissionError(13, "Permission denied")


@pytest.mark.parametrize("name", [RECORD, FAILURE])
def test_a_newer_run_is_a_state_of_its_own(configure: Configure, commands: Commands, name: str) -> None:
    good, newer = configure(), configure("seed=1")
    finish(good)
    if name == RECORD:
        finish(newer)
        sealed_with(colour="red", versions={"lnbench": "9.1.0"})(run_dir(newer) / RECORD)
    else:
        write_failure(describe(newer, "error", "it broke"), begin(newer))
        sealed_with(colour="red")(run_dir(newer) / FAILURE)
    writer = "lnbench 9.1.0" if name == RECORD else "a newer lnbench"
    listed = commands.runs(good.runs_dir)
    assert listed.out.endswith("2 runs: 1 finished, 1 newer\n")
    assert f"was written by {writer}, and lnbench" in listed.out
    rows = [json.loads(line) for line in commands.runs(good.runs_dir, "state=newer", "--json").out.splitlines()]
    assert [(row["id"], row["seed"]) for row in rows] == [(run_dir(newer).name, 1)]
    reported = commands.report(good.runs_dir)
    assert reported.code == 0
    assert "Not in this report (1):\n  newer" in reported.out
    assert f"written by {writer}" in reported.out


@pytest.mark.parametrize("below", [0, 1, 2, 3])
def test_the_folder_of_one_run_is_no_folder_of_runs(commands: Commands, tmp_path: Path, below: int) -> None:
    one = finished()
    save(one, runs_dir=tmp_path / "runs")
    inside = [folder_of(one, tmp_path / "runs"), *folder_of(one, tmp_path / "runs").parents][below]
    what = "a part of a folder of runs" if below else "the folder of one run"
    told = f"{inside}: is {what}; give the folder of runs, {tmp_path / 'runs'}"
    with pytest.raises(ConfigError, match=f"^{told}$"):
        lnbench.records(inside)
    assert told in str(commands.report(inside).code)
    listed = commands.runs(inside)
    assert told in f"{listed.code}{listed.err}"
    assert len(lnbench.records(tmp_path / "runs")) == 1


def test_an_exported_model_in_an_empty_folder_of_runs_is_no_run(tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain" / "config.json").write_text("{}")
    assert len(lnbench.records(tmp_path)) == 0
