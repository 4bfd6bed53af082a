import json
from pathlib import Path

import pytest

from lnbench.records.files import DECISIONS
from lnbench.report.claims.claims import read_claims
from lnbench.report.claims.paths import read_paths, rows, to_markdown

LOOK = {"seeds": {"sst2": 3}, "level": 0.01, "mean": 0.02, "interval": [-0.01, 0.05], "outcome": "not decided"}
COMPARISON = {
    "claim": "ln-helps-prefix",
    "comparison": "ln+prefix better than prefix",
    "unit": "points",
    "margin": 0.01,
    "outcome": "supported",
    "open": False,
    "looks": [LOOK, {**LOOK, "seeds": {"sst2": 4}, "interval": None, "level": None, "outcome": "supported"}],
}


def write(folder: Path, name: str, **changes: object) -> None:
    claim = next(claim for claim in read_claims() if claim.id == "ln-helps-prefix")
    whole = {
        "format": 1,
        "claims": [claim.model_dump(mode="json")],
        "level": 0.05,
        "most_seeds": 40,
        "verdicts": {claim.id: "supported"},
        "comparisons": [COMPARISON],
    }
    (folder / DECISIONS).mkdir(exist_ok=True)
    (folder / DECISIONS / name).write_text(json.dumps(whole | changes))


def test_each_look_is_a_row(tmp_path: Path) -> None:
    write(tmp_path, "a.json")
    [path] = read_paths(tmp_path)
    assert rows(path) == [
        ["ln+prefix better than prefix", "sst2 3", "+0.0200", "[-0.0100, +0.0500]", "0.01", "not decided"],
        ["ln+prefix better than prefix", "sst2 4", "+0.0200", "-", "-", "supported"],
    ]
    assert "**LN-tuning added to prefix-tuning beats prefix-tuning. supported** (error level 0.05)" in to_markdown(
        [path]
    )
    assert to_markdown([]) == ""


@pytest.mark.parametrize("changes", [{"level": "much"}, {"format": 2}, {"comparisons": [{}]}])
def test_a_path_that_cannot_be_read_is_told_and_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, changes: dict[str, object]
) -> None:
    write(tmp_path, "a.json")
    write(tmp_path, "b.json", **changes)
    assert len(read_paths(tmp_path)) == 1
    assert f"{tmp_path / DECISIONS / 'b.json'}: cannot be read" in caplog.text


def test_without_experiments_there_are_none(tmp_path: Path) -> None:
    assert read_paths(tmp_path) == []
