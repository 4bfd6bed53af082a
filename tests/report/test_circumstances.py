"""One's own runs beside published ones."""

from pathlib import Path
from typing import Any

import pytest

from lnbench.records.packed import SUFFIX, PackedRun, write_packed
from lnbench.records.record import Record
from lnbench.report.circumstances import other_circumstances
from lnbench.report.load import load_runs
from tests.commands import Commands
from tests.report.builders import finished, save

HARDWARE = {"cpu": "some", "threads": 2, "device": "cpu"}


def publish(results: Path, *records: Record) -> None:
    write_packed(results / f"all{SUFFIX}", [PackedRun(record=one, history="", numbers={}) for one in records])


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({}, []),
        ({"versions": {"python": "3.12.1"}}, ["python differs, so last digits may differ: {}: 3.12.1; {}: 3.11.7"]),
        ({"versions": {"python": "3.11.7", "lnbench": "9"}}, []),
        (
            {"hardware": {**HARDWARE, "threads": 8}},
            [
                "hardware differs, so times cannot be compared and scores only to rounding: "
                "{}: some, 8 threads; {}: some, 2 threads"
            ],
        ),
    ],
)
def test_other_versions_and_hardware_are_told(tmp_path: Path, change: dict[str, Any], told: list[str]) -> None:
    own, results = tmp_path / "runs", tmp_path / "results"
    save(finished("ln", **change), runs_dir=own)
    publish(results, finished("bitfit"))
    lines = list(other_circumstances(load_runs(own, results)))
    assert lines == [line.format(own, results) for line in told]


def test_a_run_in_both_places_is_there_once_and_from_the_first(tmp_path: Path) -> None:
    own, results = tmp_path / "runs", tmp_path / "results"
    save(finished("ln"), runs_dir=own)
    publish(results, finished("ln"), finished("bitfit"))
    loaded = load_runs(own, results)
    assert [record.method for record in loaded.records] == ["ln", "bitfit"]
    assert loaded.folders[loaded.records[0].id].is_relative_to(own)


def test_missing_cells_are_commands_that_write_to_ones_own_runs(tmp_path: Path, commands: Commands) -> None:
    own, results = tmp_path / "runs", tmp_path / "results"
    mine = finished("prefix", "rte", config={"data_root": tmp_path / "data"})
    save(mine, runs_dir=own)
    publish(results, finished("ln", "rte"), finished("ln", "mrpc"))
    done = commands.report(own, results)
    assert (done.code, done.err) == (0, "")
    lines = (own / "report" / "tables" / "scores-minilm.md").read_text().splitlines()
    (command,) = [line for line in lines if "method=prefix" in line]
    assert "task=mrpc" in command
    assert f"runs_dir={own}" in command
    assert f"data_root={tmp_path / 'data'}" in command
    assert {"| ln |", "| prefix |"} <= {line[: line.find("|", 2) + 1] for line in lines}


def test_every_place_must_be_there(tmp_path: Path, commands: Commands) -> None:
    save(finished("ln"), runs_dir=tmp_path)
    assert "nowhere: is not a folder" in str(commands.report(tmp_path, tmp_path / "nowhere").code)


def test_missing_seeds_of_a_task_are_commands_too(tmp_path: Path, commands: Commands) -> None:
    own, results = tmp_path / "runs", tmp_path / "results"
    save(finished("prefix", "rte", seed=1), runs_dir=own)
    publish(results, *(finished("ln", "rte", seed=seed) for seed in range(5)))
    commands.report(own, results)
    lines = (own / "report" / "tables" / "scores-minilm.md").read_text().splitlines()
    (command,) = [line for line in lines if line.startswith("python")]
    assert {"method=prefix", "task=rte", "seed=0,2"} <= set(command.split()), "the first three seeds suffice"


def test_the_page_counts_the_runs_of_each_folder(tmp_path: Path, commands: Commands) -> None:
    own, results = tmp_path / "runs", tmp_path / "results"
    save(finished("prefix"), runs_dir=own)
    publish(results, finished("ln"), finished("bitfit"))
    commands.report(own, results)
    page = (own / "report" / "index.html").read_text()
    assert f"3 finished runs of minilm in <code>{own}</code> (1), <code>{results}</code> (2)." in page
