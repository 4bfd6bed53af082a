"""Keeps W&B offline, and reads the file in which it keeps a run: protobuf records in the framing of LevelDB's logs."""

import importlib
import json
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lnbench.config.run import RunConfig
from lnbench.records.identity import run_dir, run_id
from tests.waiting import wait_for

PROTOBUF: Any = importlib.import_module("wandb.proto.wandb_internal_pb2")
"""Made for the installed protobuf when it is imported, so that types cannot be checked."""
FILE_HEADER = 7
BLOCK = 32 * 1024
CHUNK_HEADER = struct.Struct("<IHB")
"""Checksum, length, and whether the chunk is a whole record or its first, middle or last part."""
WHOLE, FIRST, MIDDLE, LAST = 1, 2, 3, 4


def isolate(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Nobody is logged in, and W&B's own files go to `folder`."""
    for name in ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(name, str(folder))
    monkeypatch.setenv("NETRC", str(folder / "netrc"))
    monkeypatch.setenv("WANDB_SILENT", "true")


def offline_files(config: RunConfig) -> list[Path]:
    """The files that `wandb sync` takes, oldest first."""
    return sorted(run_dir(config).glob(f"wandb/offline-run-*/run-{run_id(config)}.wandb"))


def wait_for_another_folder() -> None:
    """Returns in the next second, by which W&B names its folders."""
    time.sleep(1 - time.time() % 1)


def parse(data: bytes) -> list[Any]:
    """The whole records at the start of a file, of which more may be written."""
    return [PROTOBUF.Record.FromString(content) for content in _contents(data)]


class WandbFile:
    """What is in a `.wandb` file."""

    def __init__(self, path: Path) -> None:
        """Waits for the end of the file, which W&B's service writes when it gets to it."""
        self.media = path.parent / "files"
        self.records: list[Any] = []
        wait_for(lambda: self._ended(path))

    def _ended(self, path: Path) -> bool:
        self.records = parse(path.read_bytes())
        return bool(self.exit_codes)

    @property
    def run(self) -> Any:
        """How the run was started."""
        (run,) = (record.run for record in self.records if record.HasField("run"))
        return run

    @property
    def config(self) -> dict[str, Any]:
        """The run's configuration."""
        return {item.key: json.loads(item.value_json) for item in self.run.config.update if item.key != "_wandb"}

    @property
    def summary(self) -> dict[str, Any]:
        """The last value of everything that was ever logged."""
        values: dict[str, Any] = {}
        for record in self.records:
            values |= _values(record.summary.update)
        return values

    @property
    def history(self) -> list[dict[str, Any]]:
        """The points of the curves in their order."""
        return [_values(record.history.item) for record in self.records if record.HasField("history")]

    @property
    def step_metrics(self) -> dict[str, str]:
        """The x-axis of the curves of each name or pattern."""
        metrics = [record.metric for record in self.records if record.HasField("metric")]
        return {metric.glob_name: metric.step_metric for metric in metrics if metric.step_metric}

    @property
    def artifacts(self) -> dict[str, Any]:
        """Artifacts by type."""
        return {record.artifact.type: record.artifact for record in self.records if record.HasField("artifact")}

    def table(self, key: str) -> list[dict[str, Any]]:
        """The rows of a table that was logged once."""
        (path,) = (point[f"{key}.path"] for point in self.history if f"{key}.path" in point)
        table = json.loads((self.media / path).read_text())
        return [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]

    @property
    def preempting(self) -> bool:
        """Whether the run said that it will go on."""
        return any(record.HasField("preempting") for record in self.records)

    @property
    def exit_codes(self) -> list[int]:
        """One, if the run was closed."""
        return [record.exit.exit_code for record in self.records if record.HasField("exit")]


def _contents(data: bytes) -> Iterator[bytes]:
    assert data[:4] == b":W&B"[: len(data)]
    position, content = FILE_HEADER, b""
    while position + CHUNK_HEADER.size <= len(data):
        if (left := BLOCK - position % BLOCK) < CHUNK_HEADER.size:
            position += left
            continue
        _, length, kind = CHUNK_HEADER.unpack_from(data, position)
        position += CHUNK_HEADER.size
        if position + length > len(data):
            return
        assert kind in (WHOLE, FIRST, MIDDLE, LAST)
        assert bool(content) == (kind in (MIDDLE, LAST))
        content += data[position : position + length]
        position += length
        if kind in (WHOLE, LAST):
            yield content
            content = b""


def _values(items: Any) -> dict[str, Any]:
    return {item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in items}
