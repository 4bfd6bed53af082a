import json
import math
import os
import re
from pathlib import Path

import pytest

from lnbench.core.sealed import NewerError, write_sealed
from lnbench.records.files import RECORD
from lnbench.records.record import Cost, RecordError, read_record, write_record
from tests.records.builders import new_record


def test_a_record_comes_back_equal(tmp_path: Path) -> None:
    write_record(new_record(), tmp_path / "new" / "run")
    assert read_record(tmp_path / "new" / "run") == new_record()
    assert json.loads((tmp_path / "new" / "run" / RECORD).read_text())["status"] == "finished"


def test_a_record_without_what_later_ones_tell_of_costs_is_read(tmp_path: Path) -> None:
    old = new_record().model_dump(mode="json")
    for name in [name for name, field in Cost.model_fields.items() if not field.is_required()]:
        del old["cost"][name]
    write_sealed(tmp_path / RECORD, old)
    assert read_record(tmp_path) == new_record()


def test_a_metric_that_is_not_a_number_comes_back_too(tmp_path: Path) -> None:
    write_record(new_record(metrics={"test": {"accuracy": math.nan, "loss": math.inf}}), tmp_path)
    record = read_record(tmp_path)
    assert record
    assert math.isnan(record.metrics["test"]["accuracy"])
    assert record.metrics["test"]["loss"] == math.inf


def test_no_record_is_none(tmp_path: Path) -> None:
    assert read_record(tmp_path) is None
    assert read_record(tmp_path / "nowhere") is None


@pytest.mark.parametrize("old", [None, new_record(seed=1)])
def test_a_crash_while_writing_leaves_no_half_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: object
) -> None:
    if old:
        write_record(new_record(seed=1), tmp_path)

    def crash(*_: object) -> None:
        raise OSError("power is gone")

    monkeypatch.setattr(os, "replace", crash)
    with pytest.raises(OSError, match="power is gone"):
        write_record(new_record(), tmp_path)
    assert read_record(tmp_path) == old
    assert [file.name for file in tmp_path.iterdir()] == ([RECORD] if old else [])


CONTENT = new_record().model_dump_json(indent=2)
DAMAGED = {
    "empty": "",
    "truncated": CONTENT[: len(CONTENT) // 2],
    "zeros": "\0" * 100,
    "a list": "[]",
    "a field is missing": CONTENT.replace('"seed": 3,', "", 1),
    "a field is of another type": CONTENT.replace('"steps": 1234', '"steps": "many"'),
    "a field is unknown": CONTENT.replace('"seed"', '"sead"', 1),
    "unfinished": CONTENT.replace('"finished"', '"running"'),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_record_is_told_by_name(tmp_path: Path, damage: str) -> None:
    assert DAMAGED[damage] != CONTENT
    (tmp_path / RECORD).write_text(DAMAGED[damage])
    with pytest.raises(RecordError, match=f"^{tmp_path / RECORD}: is damaged or of an unknown format") as caught:
        read_record(tmp_path)
    assert "\n" not in str(caught.value)


def test_bytes_that_are_no_text_are_told_too(tmp_path: Path) -> None:
    (tmp_path / RECORD).write_bytes(CONTENT.encode().replace(b"films", b"f\xff\xfems"))
    with pytest.raises(RecordError):
        read_record(tmp_path)


def test_the_score_is_that_of_the_selection() -> None:
    assert new_record().score == 0.75


NEWER: dict[str, dict[str, object]] = {
    "a field is unknown": {"colour": "red"},
    "a field of a group is unknown": {"cost": {**new_record().cost.model_dump(), "kilowatts": 3.0}},
    "a later format": {"format": 2},
    "a later format with other fields": {"format": 2, "seed": None, "grain": "fine"},
    "a format that is no number": {"format": "2.1"},
    "a format that is nothing": {"format": None},
    "a value is unknown": {"selection": {"metric": "accuracy", "mode": "closest", "score": 0.5}},
    "a field has another type": {"git_commit": ["a", "b"]},
}


@pytest.mark.parametrize("change", NEWER)
def test_a_whole_record_of_a_newer_lnbench_is_not_damaged(tmp_path: Path, change: str) -> None:
    versions = {"versions": {"lnbench": "9.1.0"}}
    write_sealed(tmp_path / RECORD, {**new_record().model_dump(mode="json"), **versions, **NEWER[change]})
    with pytest.raises(NewerError, match=f"^{tmp_path / RECORD}: was written by lnbench 9.1.0, and .* use lnbench 9.1"):
        read_record(tmp_path)


def test_a_whole_record_that_lacks_a_field_is_not_damaged(tmp_path: Path) -> None:
    content = new_record().model_dump(mode="json")
    del content["seed"]
    write_sealed(tmp_path / RECORD, content)
    with pytest.raises(NewerError, match="does not know its seed"):
        read_record(tmp_path)


@pytest.mark.parametrize("own", [3, "2.1", None, [2], 0])
@pytest.mark.parametrize("seal", [{}, {"seal": "blake3:0"}, {"sha256": "0" * 64}, {"sha256": {"of": "something else"}}])
def test_a_format_that_is_unknown_may_have_no_checksum_or_another(
    tmp_path: Path, own: object, seal: dict[str, object]
) -> None:
    (tmp_path / RECORD).write_text(json.dumps({"id": "0123456789ab", "format": own, **seal}))
    with pytest.raises(
        NewerError, match=rf"was written by a newer lnbench, .* does not know its format {re.escape(repr(own))}"
    ):
        read_record(tmp_path)


def test_a_format_that_is_known_has_a_checksum_that_fits(tmp_path: Path) -> None:
    write_record(new_record(), tmp_path)
    path = tmp_path / RECORD
    path.write_text(path.read_text().replace('"seed": 3', '"seed": 2'))
    with pytest.raises(RecordError, match="the checksum does not fit"):
        read_record(tmp_path)
