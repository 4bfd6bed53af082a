"""Text columns that are called like something that a prediction says: text and answer both come out."""

import json
from pathlib import Path
from typing import Any

import pytest

from lnbench.config.compose import compose_config, to_plain
from lnbench.config.run import validate
from lnbench.exchange.tuned import load
from lnbench.records.files import PREDICTIONS
from lnbench.records.identity import run_dir
from lnbench.run.lifecycle import run
from tests.runs import SHORT

WORDS = ["good", "bad"]


def texts(number: int) -> list[str]:
    return [f"a {WORDS[number % 2]} film {number}", f"b {WORDS[number // 2 % 2]} {number}"]


@pytest.mark.parametrize(
    ("columns", "answer"),
    [
        (["label"], "grade"),
        (["input"], "label"),
        (["candidate", "reference"], "same"),
        (["probabilities", "label"], "reference"),
    ],
)
def test_a_text_column_may_be_called_like_an_output(
    sources: dict[str, Path], tmp_path: Path, columns: list[str], answer: str
) -> None:
    rows: list[dict[str, Any]] = [
        {**dict(zip(columns, texts(number), strict=False)), answer: number % 2} for number in range(60)
    ]
    path = tmp_path / "mine.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    names = [f"task.text={columns[0]}", f"task.label={answer}", *(f"task.pair={column}" for column in columns[1:])]
    places = [f"model.source={sources['bert']}", f"runs_dir={tmp_path / 'runs'}", f"cache_dir={tmp_path}"]
    short = ["model.name=tiny", "method=ln", "task.max_length=32", *SHORT, "trainer.max_epochs=1"]
    config = validate(to_plain(compose_config("task=csv", f"task.path={path}", *names, *places, *short)))
    run(config)
    given = [{column: row[column] for column in columns} for row in rows]
    tuned = load(run_dir(config))
    predictions = [json.loads(line) for line in (run_dir(config) / PREDICTIONS).read_text().splitlines()]
    assert predictions
    for prediction in predictions:
        assert prediction["input"] in given
        assert float(prediction["reference"]) == given.index(prediction["input"]) % 2
        (again,) = tuned.predict([list(prediction["input"].values())])
        assert (again["input"], again["label"]) == (prediction["input"], prediction["label"])
        assert all(text in tuned.task.readable(again) for text in prediction["input"].values())
