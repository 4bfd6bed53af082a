import os
import threading
from pathlib import Path

import pytest

from lnbench.core.atomic_files import write_atomically
from lnbench.core.errors import plainly


def test_text_and_bytes_are_written_whole_below_new_folders(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file"
    write_atomically(path, "grün")
    assert path.read_bytes() == "grün".encode()
    write_atomically(path, b"\x00\xff")
    assert path.read_bytes() == b"\x00\xff"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("broken", ["replace", "fsync"])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    path = tmp_path / "file"
    write_atomically(path, "old")

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, broken, fail)
    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_names_the_file_and_not_the_temporary_one(tmp_path: Path) -> None:
    (tmp_path / "file").mkdir()
    with pytest.raises(IsADirectoryError) as caught:
        write_atomically(tmp_path / "file", "new")
    assert plainly(caught.value) == f"{tmp_path / 'file'}: Is a directory"


def test_a_new_file_has_the_usual_permissions(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    write_atomically(tmp_path / "ours", "")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_reader_beside_many_writers_sees_whole_files_only(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"0" * 50_000)

    def write_often(byte: bytes) -> None:
        for _ in range(10):
            write_atomically(path, byte * 50_000)

    writers = [threading.Thread(target=write_often, args=(byte,)) for byte in (b"0", b"1", b"2")]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        content = path.read_bytes()
        assert len(content) == 50_000
        assert len(set(content)) == 1
    for writer in writers:
        writer.join()
    assert list(tmp_path.iterdir()) == [path]
