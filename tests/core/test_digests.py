import gzip
import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from huggingface_hub import HfApi, constants

from lnbench.core import digests
from lnbench.core.digests import content_digest, hub_answers, hub_commit

COMMIT, OTHER = "a" * 40, "b" * 40


@pytest.fixture
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where digests are remembered; those of all files are."""
    monkeypatch.setenv("LNBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(digests, "REMEMBERED_BYTES", 1)
    return tmp_path / "cache" / "digests"


def write(path: Path, content: bytes, age: float = 100) -> Path:
    """Writes a file that was last changed some seconds ago."""
    path.write_bytes(content)
    time = path.stat().st_mtime - age
    os.utime(path, (time, time))
    return path


def test_a_digest_follows_the_content(tmp_path: Path) -> None:
    first, second = write(tmp_path / "a", b"one"), write(tmp_path / "b", b"one")
    assert content_digest(first) == content_digest(second)
    assert content_digest(write(tmp_path / "b", b"two")) != content_digest(first)


def test_a_packed_file_counts_by_what_it_holds(tmp_path: Path) -> None:
    plain = write(tmp_path / "a.jsonl", b"rows")
    for level in (1, 9):
        packed = write(tmp_path / "a.jsonl.gz", gzip.compress(b"rows", level, mtime=level))
        assert content_digest(packed) == content_digest(plain)


PACKED = gzip.compress(b"rows" * 100, mtime=0)


@pytest.mark.parametrize(
    "content", [b"no gzip", PACKED[:-9], PACKED[:10] + b"\xff" * 20], ids=["plain", "cut", "garbled"]
)
def test_a_packed_file_that_is_damaged_is_an_error_of_the_file(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(OSError, match=r"gz|unpacked"):
        content_digest(write(tmp_path / "a.jsonl.gz", content))


def test_a_large_file_is_read_once(tmp_path: Path, memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(tmp_path / "weights", b"x" * 100)
    digest = content_digest(file)
    monkeypatch.setattr(digests, "_digest", lambda path: pytest.fail("must not be read again"))
    assert content_digest(file) == digest


def test_a_large_file_that_changed_is_read_again(tmp_path: Path, memory: Path) -> None:
    file = write(tmp_path / "weights", b"x" * 100)
    digest = content_digest(file)
    assert content_digest(write(file, b"y" * 100, age=50)) != digest


def test_a_file_changed_just_now_is_not_remembered(tmp_path: Path, memory: Path) -> None:
    content_digest(write(tmp_path / "weights", b"x" * 100, age=0))
    assert not memory.exists()


@pytest.mark.parametrize("damage", [b"", b"\xff", b"0" * 64, b"0" * 64 + b" " + b"0" * 16])
def test_a_damaged_memory_is_not_believed(tmp_path: Path, memory: Path, damage: bytes) -> None:
    file = write(tmp_path / "weights", b"x" * 100)
    digest = content_digest(file)
    (kept,) = memory.iterdir()
    kept.write_bytes(damage)
    assert content_digest(file) == digest
    assert kept.read_text().startswith(digest)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The cache of a hub that cannot be reached."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    hub_answers.cache_clear()
    hub_commit.cache_clear()
    yield tmp_path
    hub_answers.cache_clear()
    hub_commit.cache_clear()


def test_a_commit_is_what_it_is(hub: Path) -> None:
    assert hub_commit("some/model", "model", COMMIT) == COMMIT


def test_offline_a_branch_is_what_was_downloaded(hub: Path) -> None:
    assert hub_commit("some/model", "model", None) is None
    hub_commit.cache_clear()
    refs = hub / "models--some--model" / "refs"
    refs.mkdir(parents=True)
    (refs / "main").write_text(COMMIT)
    (refs / "next").write_text(OTHER)
    assert hub_commit("some/model", "model", None) == COMMIT
    assert hub_commit("some/model", "model", "next") == OTHER
    assert hub_commit("some/model", "dataset", None) is None


def test_online_the_hub_says_what_a_branch_is(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def repo_info(self: HfApi, repository: str, *, repo_type: str, revision: str | None, timeout: float) -> object:
        return SimpleNamespace(sha=COMMIT if (repository, repo_type, revision) == ("a/b", "dataset", None) else OTHER)

    monkeypatch.setattr(digests, "hub_answers", lambda: True)
    monkeypatch.setattr(HfApi, "repo_info", repo_info)
    assert hub_commit("a/b", "dataset", None) == COMMIT
    assert hub_commit("a/b", "model", "v2") == OTHER


def test_a_small_file_is_read_once_by_a_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digests, "REMEMBERED_BYTES", 2**24)
    monkeypatch.setattr(digests, "SETTLED_SECONDS", -60)
    file = write(tmp_path / "a", b"one")
    first, reads, read = content_digest(file), list[Path](), digests._digest

    def counted(path: Path) -> str:
        reads.append(path)
        return read(path)

    monkeypatch.setattr(digests, "_digest", counted)
    assert content_digest(file) == first
    assert not reads
    write(file, b"two")  # of the same size
    assert content_digest(file) != first
    assert reads == [file]


def test_a_file_that_has_just_changed_is_read_each_time(tmp_path: Path) -> None:
    file = write(tmp_path / "a", b"one")
    digests._digest_in_state.cache_clear()
    content_digest(file)
    assert digests._digest_in_state.cache_info().currsize == 0
