"""Runs in a packed file are read like those of folders, and nothing of them is lost that a report or a test needs."""

import gzip
import json
import shutil
from pathlib import Path

import pytest
from pandas.testing import assert_frame_equal

from lnbench import records
from lnbench.core.sealed import SEAL, sealed
from lnbench.records.files import METRICS, PREDICTIONS, RECORD
from lnbench.records.identity import run_dir
from lnbench.records.listing import find_runs
from lnbench.records.packed import SUFFIX, PackedRun, read_packed, write_packed
from lnbench.records.packing import pack_run
from lnbench.records.record import Record, RecordError, read_record
from lnbench.report.history import read_curves
from lnbench.report.load import load_runs
from lnbench.run.lifecycle import run
from tests.commands import Commands
from tests.conftest import Configure
from tests.report.builders import finished
from tests.report.whole import made_up, write_all

NAME = f"films{SUFFIX}"


def packed(record: Record, history: str = "") -> PackedRun:
    return PackedRun(record=record, history=history, numbers={"answer": [0, 1], "reference": [1, 1]})


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]


def rewrite(path: Path, *texts: str) -> None:
    path.write_bytes(gzip.compress("".join(f"{text}\n" for text in texts).encode()))


@pytest.fixture
def both(tmp_path: Path) -> tuple[Path, Path]:
    """A folder of runs, and a folder with the same finished runs in one file."""
    folders, results = tmp_path / "runs", tmp_path / "results"
    write_all(made_up(seeds=(0, 1)), folders)
    loaded = load_runs(folders)
    lines = [packed(record, (loaded.folders[record.id] / METRICS).read_text()) for record in loaded.records]
    write_packed(results / NAME, lines)
    return folders, results


def test_a_packed_file_is_read_like_the_folders(both: tuple[Path, Path]) -> None:
    folders, results = map(load_runs, both)
    assert results.records == folders.records
    assert not results.problems
    for one, other in zip(folders.folders.values(), results.folders.values(), strict=True):
        assert one.parts[-4:] == other.parts[-4:]
        assert read_curves(one) == read_curves(other) != {}
    table = records(*both)
    assert len(table) == len(folders.records)
    of_folders, of_file = (records(place).drop(columns="folder") for place in (both[0], both[1] / NAME))
    assert_frame_equal(of_folders, of_file)


def test_it_is_listed_shown_reported_and_not_deleted(both: tuple[Path, Path], commands: Commands) -> None:
    _, results = both
    listed = commands.runs(results, "--json", "method=full")
    (first, *_) = map(json.loads, listed.out.splitlines())
    assert (first["state"], first["folder"]) == ("finished", str(results / NAME / "mrpc/minilm/full" / first["id"]))
    shown = commands.runs(results, "--show", first["id"])
    assert "full on mrpc with minilm" in shown.out
    assert commands.report(results / NAME, "--out", results.parent / "report").code == 0
    kept = commands.runs(results, "method=full", "--delete", "--yes")
    assert f"is in {results / NAME} with others" in kept.out
    assert (results / NAME).is_file()


def test_the_same_runs_give_the_same_bytes(tmp_path: Path) -> None:
    runs = [packed(record) for record in made_up(seeds=(0,))]
    for name, order in (("a", runs), ("b", runs[::-1])):
        write_packed(tmp_path / name, order)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert [line["record"]["task"] for line in lines(tmp_path / "a")] == sorted(run.record.task for run in runs)  # type: ignore[index]


def test_damage_is_one_row_and_spares_the_other_lines(tmp_path: Path) -> None:
    good, bad = finished("ln"), finished("bitfit")
    write_packed(tmp_path / NAME, [packed(good), packed(bad)])
    texts = gzip.decompress((tmp_path / NAME).read_bytes()).decode().splitlines()
    texts = [text.replace('"seed":0', '"seed":7') if '"method":"bitfit"' in text else text for text in texts]
    rewrite(tmp_path / NAME, *texts, "{", texts[1])
    found = {run.id: run for run in find_runs(tmp_path)}
    assert {name: run.state for name, run in found.items()} == {
        good.id: "finished",
        bad.id: "damaged",
        "line-3": "damaged",
        "line-4": "damaged",
    }
    assert "the checksum does not fit" in found[bad.id].problem
    assert "line-4: repeats run" in found["line-4"].problem


@pytest.mark.parametrize(
    "content", [b"", b"no gzip", gzip.compress(b"x" * 10_000)[:-9]], ids=["empty", "not packed", "cut off"]
)
def test_a_file_that_is_not_whole_is_one_row(tmp_path: Path, content: bytes) -> None:
    (tmp_path / NAME).write_bytes(content)
    found = list(find_runs(tmp_path))
    assert [run.state for run in found] == ["damaged"] * bool(content)
    assert all(str(tmp_path / NAME) in run.problem for run in found)


def test_a_newer_line_is_kept_and_told(tmp_path: Path) -> None:
    write_packed(tmp_path / NAME, [packed(finished("ln"))])
    (line,) = lines(tmp_path / NAME)
    del line[SEAL]
    rewrite(tmp_path / NAME, json.dumps(sealed({**line, "format": 2})))
    (found,) = find_runs(tmp_path)
    assert found.state == "newer"
    assert "its format 2" in found.problem


def test_names_in_a_file_of_anyone_lead_to_no_other_place(tmp_path: Path) -> None:
    hostile = finished("ln").model_copy(update={"task": "../../../etc", "model": "/root", "id": ".."})
    write_packed(tmp_path / NAME, [packed(hostile)])
    (found,) = find_runs(tmp_path)
    assert found.folder.is_relative_to(tmp_path / NAME)
    assert ".." not in found.folder.parts


def test_a_run_is_packed_with_its_answers_and_without_a_place_or_a_text(configure: Configure) -> None:
    config = configure()
    record = run(config)
    whole = read_record(run_dir(config))
    line = pack_run(record, run_dir(config))
    assert whole
    write_packed(config.runs_dir / NAME, [line])
    (path,) = [one.folder for one in find_runs(config.runs_dir) if SUFFIX in str(one.folder)]
    again = read_packed(path)
    assert again == line == pack_run(again.record, path)
    text = gzip.decompress((config.runs_dir / NAME).read_bytes()).decode()
    assert str(config.runs_dir.parent) not in text
    assert str(config.data_root) not in text
    changed = {name for name, value in again.record if value != getattr(whole, name)}
    assert changed == {"config"}
    assert again.history == (run_dir(config) / METRICS).read_text()
    rows = [json.loads(row) for row in (run_dir(config) / PREDICTIONS).read_text().splitlines()]
    labels = list(rows[0]["probabilities"])
    assert again.numbers["answer"] == [labels.index(row["label"]) for row in rows]
    assert config.task.score_numbers(again.numbers) == record.metrics["test"]
    assert not any(row["input"]["sentence"] in text for row in rows)


def test_a_run_with_a_changed_file_or_setting_is_not_packed(configure: Configure) -> None:
    config = configure()
    record, folder = run(config), run_dir(config)
    other = {**record.config, "seed": 5}
    with pytest.raises(RecordError, match=f"run {record.id}: has the configuration of run"):
        pack_run(record.model_copy(update={"config": other}), folder)
    with pytest.raises(RecordError, match="is of protocol 1"):
        pack_run(record.model_copy(update={"protocol": 1}), folder)
    with (folder / PREDICTIONS).open("a") as file:
        file.write("\n")
    with pytest.raises(RecordError, match="is not what the run wrote"):
        pack_run(record, folder)


def test_a_run_in_a_packed_file_of_its_folder_is_finished(
    configure: Configure, capsys: pytest.CaptureFixture[str]
) -> None:
    """So an experiment goes on from published runs: its runs and the trials of its searches are not done again."""
    config = configure()
    done = run(config)
    write_packed(config.runs_dir / NAME, [pack_run(done, run_dir(config))])
    shutil.rmtree(run_dir(config))
    capsys.readouterr()
    assert run(configure()).id == done.id
    shown = capsys.readouterr().out
    assert "finished already, in a packed file" in shown
    assert str(config.runs_dir / NAME) in shown
    assert "try it" not in shown, "there is no model"
    assert not run_dir(config).exists()
    [found] = find_runs(config.runs_dir)
    assert (found.id, found.state) == (done.id, "finished")
    assert run(configure("rerun=true")).id == done.id
    assert (run_dir(config) / RECORD).is_file()


def test_a_damaged_line_does_not_stand_for_a_run(configure: Configure) -> None:
    config = configure()
    done = run(config)
    path = config.runs_dir / NAME
    write_packed(path, [pack_run(done, run_dir(config))])
    shutil.rmtree(run_dir(config))
    rewrite(path, json.dumps({**lines(path)[0], "history": ""}))
    assert run(configure()).id == done.id
    assert (run_dir(config) / RECORD).is_file()
