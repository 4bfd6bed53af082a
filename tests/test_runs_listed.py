"""Lists remember what they read from records, and never trust their memory over a record."""

import os
import time
from pathlib import Path

import pytest

from lnbench.records.files import RECORD
from lnbench.records.identity import run_dir
from lnbench.records.listing import FoundRun, look_at
from lnbench.records.record import read_record, write_record
from lnbench.runs.listed import FOLDER, list_runs
from tests.commands import Commands
from tests.conftest import Configure
from tests.records.many import begin, finish


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LNBENCH_CACHE", str(tmp_path / "cache"))
    later = time.time_ns() + 60 * 10**9
    monkeypatch.setattr("lnbench.records.remembered.time.time_ns", lambda: later)
    return tmp_path / "cache"


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The folders of runs that were read."""
    read: list[str] = []

    def look(folder: Path, runs_dir: Path) -> FoundRun:
        read.append(folder.name)
        return look_at(folder, runs_dir)

    monkeypatch.setattr("lnbench.runs.listed.look_at", look)
    return read


def test_a_second_list_is_equal_and_reads_no_record_again(configure: Configure, reads: list[str]) -> None:
    config = configure("method=ln")
    finish(config)
    begun = begin(configure("method=bitfit"))
    first = [run.row for run in list_runs(config.runs_dir)]
    del reads[:]
    assert [run.row for run in list_runs(config.runs_dir)] == first
    assert reads == [begun.name]


def test_a_changed_record_is_read_again_even_if_its_size_and_time_are_the_same(configure: Configure) -> None:
    config = configure("method=ln")
    record, folder = finish(config), run_dir(config)
    about = (folder / RECORD).stat()
    list_runs(config.runs_dir)
    time.sleep(0.02)
    write_record(record.model_copy(update={"finished_at": "2026-01-01T00:09:20+00:00"}), folder)
    os.utime(folder / RECORD, ns=(about.st_atime_ns, about.st_mtime_ns))
    assert (folder / RECORD).stat().st_size == about.st_size
    (run,) = list_runs(config.runs_dir)
    assert run.row.when == "2026-01-01T00:09:20+00:00"


def test_a_damaged_memory_is_not_used(configure: Configure, cache: Path, reads: list[str]) -> None:
    config = configure("method=ln")
    finish(config)
    list_runs(config.runs_dir)
    (memory,) = (cache / FOLDER).iterdir()
    memory.write_text(memory.read_text().replace("0.75", "0.95"))
    del reads[:]
    (run,) = list_runs(config.runs_dir)
    assert (run.row.score, len(reads)) == (0.75, 1)


def test_a_record_younger_than_the_clock_can_tell_is_not_remembered(
    configure: Configure, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = configure("method=ln")
    finish(config)
    monkeypatch.setattr(
        "lnbench.records.remembered.time.time_ns", lambda: (run_dir(config) / RECORD).stat().st_ctime_ns + 10**9
    )
    list_runs(config.runs_dir)
    list_runs(config.runs_dir)
    assert len(reads) == 2


def test_what_the_row_lacks_is_read_when_asked_for(configure: Configure, reads: list[str]) -> None:
    config = configure("method=ln")
    finish(config)
    list_runs(config.runs_dir)
    del reads[:]
    (run,) = list_runs(config.runs_dir)
    assert run.run.record == read_record(run_dir(config))
    assert len(reads) == 1


def test_without_a_cache_to_write_the_list_is_the_same(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a file").touch()
    monkeypatch.setenv("LNBENCH_CACHE", str(tmp_path / "a file"))
    config = configure("method=ln")
    finish(config)
    assert [run.row.state for run in list_runs(config.runs_dir)] == ["finished"]


def test_published_runs_are_named_by_what_differs(commands: Commands) -> None:
    """By the changed settings of the method, and by the learning rate where a search tried several."""
    results = Path(__file__).parents[1] / "results"
    lines = commands.runs(results, "method=ln", "task=stsb", "model=minilm", "seed=0,1").out.splitlines()
    assert " lr " in lines[0]
    assert any(" ln[terms=bias] " in line and " 0.003 (trial) " in line for line in lines)
    assert any(" ln[terms=bias] " in line and " searched " in line for line in lines)
    places = [place for place, line in enumerate(lines) if " ln[terms=bias] " in line]
    assert places == list(range(places[0], places[0] + len(places))), "runs of one method stand together"
