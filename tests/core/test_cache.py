from pathlib import Path

import pytest

from lnbench.core.cache import scratch_file


def test_a_folder_that_cannot_be_written_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("LNBENCH_CACHE", str(tmp_path / "file"))
    for _ in range(3):
        scratch_file().close()
    assert caplog.text.count("using the system's folder for temporary files") == 1
