"""A record, as a run leaves it."""

from typing import Any

from lnbench.records.record import Cost, DataSeen, Parameters, Record, Selection


def new_record(**changes: Any) -> Record:
    """A record with made-up numbers, and `changes` in place of some of them."""
    fields: dict[str, Any] = {
        "id": "0123456789ab",
        "method": "ln+prefix",
        "task": "films",
        "model": "tiny",
        "seed": 3,
        "selection": Selection(metric="accuracy", mode="max", score=0.75),
        "metrics": {"validation": {"accuracy": 0.75, "mcc": 0.1 + 0.2}, "test": {"accuracy": 2 / 3, "mcc": -0.5}},
        "baseline": {"test": {"accuracy": 0.5}},
        "parameters": Parameters(
            backbone=45_344,
            trained=4_608,
            trained_percent=10.162,
            inserted=4_224,
            by_part={"ln": 384, "prefix": 4_224},
            head=66,
        ),
        "cost": Cost(
            train_seconds=61.5,
            total_seconds=80.0,
            train_samples_per_second=902.0,
            train_tokens_per_second=9020.0,
            test_samples_per_second=2140.0,
            peak_memory_bytes=3 * 2**29,
            steps=1_234,
        ),
        "data": DataSeen(
            fingerprint="f" * 64, rows={"train": 72, "validation": 24, "test": 32}, overlap={"train/test": 1}
        ),
        "files": {},
        "hardware": {"cpu": "some", "threads": 2, "device": "cpu"},
        "versions": {"python": "3.11.7"},
        "git_commit": None,
        "started_at": "2026-01-01T00:00:00+00:00",
        "finished_at": "2026-01-01T00:01:20+00:00",
        "config": {"seed": 3},
    }
    return Record(**{**fields, **changes})
