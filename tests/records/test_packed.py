"""Runs in a packed file are read like those of folders, and nothing of them is lost that a report or a test needs."""

import gzip
import json
import logging
import os
import shutil
from pathlib import Path

import pytest
from pandas.testing import assert_frame_equal

from lnbench import records
from lnbench.core.sealed import SEAL, NewerError, parse_json, sealed
from lnbench.records import packed as module
from lnbench.records.failure import describe, write_failure
from lnbench.records.files import METRICS, PREDICTIONS, RECORD
from lnbench.records.finished import finished_run, published_run
from lnbench.records.identity import address_of, run_dir
from lnbench.records.listing import find_run, find_runs
from lnbench.records.packed import SUFFIX, PackedRun, packed_beside, packed_folders, read_packed, write_packed
from lnbench.records.packing import pack_run
from lnbench.records.public import public
from lnbench.records.record import Record, RecordError, read_record
from lnbench.report.history import read_curves
from lnbench.report.load import load_runs
from lnbench.run.lifecycle import run
from lnbench.submit import submit
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


def test_of_several_files_the_first_that_can_be_read_has_the_run(
    configure: Configure, runs_dir: Path, commands: Commands
) -> None:
    """A damaged line, or one of a newer version, hides no intact one."""
    config = configure()
    record, folder = run(config), run_dir(config)
    line = pack_run(record, folder)
    second = record.model_copy(update={"git_commit": "second"})
    for name, one in (("b", line), ("c", line.model_copy(update={"record": public(second)}))):
        write_packed(runs_dir / f"{name}{SUFFIX}", [one])
    (whole,) = lines(runs_dir / f"b{SUFFIX}")
    rewrite(runs_dir / f"0{SUFFIX}", json.dumps({**whole, "history": ""}))
    rewrite(runs_dir / f"1{SUFFIX}", json.dumps({**whole, "format": 9}))
    shutil.rmtree(folder)
    published = published_run(address_of(config))
    assert published
    assert published == (line.record, runs_dir / f"b{SUFFIX}" / folder.relative_to(runs_dir))
    assert run(config) == line.record
    assert load_runs(runs_dir).records == [line.record]
    for name in "bc":
        (runs_dir / f"{name}{SUFFIX}").unlink()
    with pytest.raises(NewerError, match="its format 9"):
        published_run(address_of(config))


@pytest.mark.parametrize("name", ["a", "z"], ids=["before the task", "after the task"])
def test_the_folder_of_a_run_goes_before_a_packed_file(
    configure: Configure, runs_dir: Path, commands: Commands, name: str
) -> None:
    """All commands take the same one of two records of a run."""
    config = configure()
    record, folder = run(config), run_dir(config)
    other = record.model_copy(update={"git_commit": "other"})
    path = runs_dir / f"{name}{SUFFIX}"
    write_packed(path, [pack_run(record, folder).model_copy(update={"record": public(other)})])
    found = finished_run(address_of(config))
    assert found == (record, folder)
    assert load_runs(runs_dir).records == [record]
    assert list(records(runs_dir)["folder"]) == [str(folder)]
    assert str(folder) in commands.runs(runs_dir, "--show", record.id).out
    submit(runs_dir, runs_dir.parent / "all", [])
    assert [one["record"]["git_commit"] for one in lines(runs_dir.parent / f"all{SUFFIX}")] == [record.git_commit]  # type: ignore[index]


@pytest.mark.parametrize("state", ["failed", "interrupted"])
def test_what_a_packed_file_has_finished_lacks_nothing(
    configure: Configure, runs_dir: Path, commands: Commands, state: str
) -> None:
    """An earlier try may have left a folder, or another one that was to do the run again."""
    config = configure()
    record, folder = run(config), run_dir(config)
    write_packed(runs_dir / NAME, [pack_run(record, folder)])
    (folder / RECORD).unlink()
    if state == "failed":
        write_failure(describe(config, "error", "it broke"), folder)
    own, packed_run = find_runs(runs_dir)
    assert (own.state, packed_run.state) == (state, "finished")
    assert run(config).id == record.id
    assert not (folder / RECORD).exists()
    loaded = load_runs(runs_dir)
    assert ([one.id for one in loaded.records], loaded.problems) == ([record.id], [])
    assert ": 1 run and 0 trials" in submit(runs_dir, runs_dir.parent / "all", [])
    left = find_run(folder, runs_dir)
    assert left
    assert (left.state, left.folder) == ("finished", runs_dir / NAME / folder.relative_to(runs_dir))


def test_a_record_in_the_folder_counts_whatever_its_state(configure: Configure, runs_dir: Path) -> None:
    config = configure()
    record, folder = run(config), run_dir(config)
    write_packed(runs_dir / NAME, [pack_run(record, folder)])
    (folder / RECORD).write_text("{")
    found = find_run(folder, runs_dir)
    assert found
    assert (found.state, found.folder) == ("damaged", folder)
    shutil.rmtree(folder)
    rewrite(runs_dir / NAME, json.dumps({**lines(runs_dir / NAME)[0], "history": ""}))
    found = find_run(folder, runs_dir)
    assert found
    assert found.state == "damaged"


@pytest.mark.parametrize("odd", ["a pipe", "a link to nothing", "cut off"])
def test_a_file_that_cannot_be_unpacked_is_told_once_and_stops_nothing(
    tmp_path: Path, odd: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / NAME
    if odd == "a pipe":
        os.mkfifo(path)
    elif odd == "a link to nothing":
        path.symlink_to(tmp_path / "nothing")
    else:
        path.write_bytes(gzip.compress(b"x" * 10_000)[:-9])
    with caplog.at_level(logging.WARNING):
        assert packed_beside(tmp_path / "sst2/tiny/ln/0123456789ab") == []
        assert packed_beside(tmp_path / "sst2/tiny/ln/0123456789ab") == []
    assert [one.getMessage().endswith("its runs do not count as finished") for one in caplog.records] == [True]
    assert [found.state for found in find_runs(tmp_path)] == ["damaged"]


def test_a_folder_with_the_name_of_a_packed_file_is_none(tmp_path: Path) -> None:
    (tmp_path / NAME).mkdir()
    assert list(find_runs(tmp_path)) == []
    assert packed_beside(tmp_path / "sst2/tiny/ln/0123456789ab") == []


def test_one_run_is_found_without_reading_the_others(both: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """A packed file may hold thousands of runs, and each process of a sweep looks for one."""
    file = both[1] / NAME
    paths = list(packed_folders(file))
    write_packed(file, [read_packed(path) for path in paths[:-1]])  # a new file, which is not in memory
    parsed: list[str | bytes] = []

    def parse(text: str | bytes) -> object:
        parsed.append(text)
        return parse_json(text)

    monkeypatch.setattr(module, "parse_json", parse)
    here, gone = paths[3], paths[-1]
    assert packed_beside(both[1] / here.relative_to(file)) == [here]
    assert read_packed(here).record.id == here.name
    assert len(parsed) == 2
    assert packed_beside(both[1] / gone.relative_to(file)) == []
    assert len(parsed) == 2
    assert list(packed_folders(file)) == paths[:-1]
    assert len(parsed) == 2 + len(paths) - 1


def test_many_packed_files_are_each_read_once(both: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(12):
        shutil.copy(both[1] / NAME, both[1] / f"{number}{SUFFIX}")
    unpacked: list[Path] = []
    unpack = gzip.open

    def unpacking(path: Path) -> object:
        unpacked.append(path)
        return unpack(path)

    monkeypatch.setattr(gzip, "open", unpacking)
    count = len(list(find_runs(both[1])))
    assert count == 13 * len(packed_folders(both[1] / NAME))
    assert len(unpacked) == 13


def test_a_packed_run_has_no_model_and_says_so(configure: Configure, runs_dir: Path, commands: Commands) -> None:
    config = configure()
    record, folder = run(config), run_dir(config)
    write_packed(runs_dir / NAME, [pack_run(record, folder)])
    shutil.rmtree(folder)
    path = runs_dir / NAME / folder.relative_to(runs_dir)
    told = f"{path}: is a run in a packed file, which has no model; rerun=true does it again"
    for place in (path, folder):
        assert commands.predict(place, "a good film").code == told
        assert commands.export(place, "--card").code == told
        assert commands.export(place, "--merged", runs_dir / "merged").code == told
    assert "is not the folder of a run" in str(commands.predict(folder.with_name("0" * 12), "a film").code)
