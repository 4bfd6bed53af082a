"""The hosts on which the script does its sweep; the sweep itself takes minutes."""

import sys
from pathlib import Path

import pytest

from scripts.two_hosts import Host

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="network namespaces are Linux's")


def test_a_host_has_a_name_a_disk_and_processes_of_its_own(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    try:
        host = Host("far", "10.77.0.9", disk)
    except OSError as error:
        pytest.skip(f"network namespaces: {error}")
    try:
        host.run("sh", "-c", f"test $(hostname) = far && touch here && ! touch {tmp_path}/there 2>/dev/null")
        assert (host.own(disk) / "here").exists()
        assert not (disk / "here").exists()
        assert not (tmp_path / "there").exists()
        assert host.has("sleep")
        assert not host.has(Path(sys.executable).name)
    finally:
        host.close()
