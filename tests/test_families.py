"""Every kind of task goes the whole way: from the command to the record, the card, the report and `predict`."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
from huggingface_hub import ModelCard

from lnbench.exchange.card import model_card
from lnbench.records.files import CARD, RECORD
from lnbench.records.record import Record, read_record
from tests.commands import Commands
from tests.runs import SHORT

WORDS = ("good", "bad")
COUNT = 40
QUICK = (*SHORT, "trainer.max_steps=2", "trainer.validate_every=null", "method=ln", "model.name=tiny")


def lines(rows: list[dict[str, object]]) -> str:
    """Rows as JSON lines."""
    return "".join(json.dumps(row) + "\n" for row in rows)


def films(place: int) -> dict[str, object]:
    return {"sentence": f"a film {WORDS[place % 2]} {place}", "label": place % 2}


def pairs(place: int) -> dict[str, object]:
    return {"sentence1": f"a film {place}", "sentence2": f"film {WORDS[place % 2]}", "label": float(place % 5)}


def tagged(place: int) -> dict[str, object]:
    return {"tokens": ["good", "film", str(place)], "ner_tags": [7, 0, 1 + place % 2]}


def questions(place: int) -> dict[str, object]:
    answer = {"text": ["good"], "answer_start": [7]}
    return {"id": str(place), "question": "a film", "context": f"a film good {place}", "answers": answer}


def facts(place: int) -> dict[str, object]:
    return {"meaning_representation": f"a film {place}", "human_reference": f"good film {place}"}


@dataclass(frozen=True)
class Case:
    """A task on small data.

    Attributes:
        overrides: that choose it; `{}` is the folder with its data.
        write: puts the data there.
        text: to be answered.
        model: architecture of the tiny model.
        card: what its card says of the data.
    """

    overrides: tuple[str, ...]
    write: Callable[[Path], None]
    text: str = "a film"
    model: str = "bert"
    card: str = ""


def folder(name: str, row: Callable[[int], dict[str, object]]) -> Callable[[Path], None]:
    """Writes a data set with three splits, to be read as `data_root`."""

    def write(root: Path) -> None:
        (root / name).mkdir(parents=True)
        for split in ("train", "validation", "test"):
            (root / name / f"{split}.jsonl").write_text(lines([row(place) for place in range(COUNT)]))

    return write


def table(name: str, row: Callable[[int], dict[str, object]]) -> Callable[[Path], None]:
    """Writes a file of one's own."""

    def write(root: Path) -> None:
        root.mkdir(parents=True)
        pd.DataFrame([row(place) for place in range(COUNT)]).to_csv(root / name, index=False)

    return write


def conll(root: Path) -> None:
    """Writes a file of words and tags."""
    root.mkdir(parents=True)
    (root / "train.conll").write_text("".join(f"good B-PER\nfilm O\n{place} O\n\n" for place in range(COUNT)))


OWN = "files of one's own, by SHA-256: train "
CASES = {
    "classification": Case(("task=sst2", "data_root={}"), folder("sst2", films)),
    "regression": Case(("task=stsb", "data_root={}"), folder("stsb", pairs), text="a film\ta film"),
    "tokens": Case(("task=conll2004", "data_root={}"), folder("conll2004", tagged)),
    "questions": Case(
        ("task=squad", "data_root={}", "task.stride=4", "task.splits.validation_fraction=0.3"),
        folder("squad", questions),
        text="a film\ta film good",
    ),
    "generation": Case(
        (
            "task=e2e_nlg",
            "data_root={}",
            "task.metrics=[bleu]",
            "task.search.max_new_tokens=4",
            "task.max_source_length=16",
            "task.max_target_length=16",
        ),
        folder("e2e_nlg", facts),
        model="gpt2",
    ),
    "own texts": Case(
        ("task=csv", "task.path={}/films.csv", "task.text=sentence"), table("films.csv", films), card=OWN
    ),
    "own pairs": Case(
        ("task=csv", "task.path={}/pairs.csv", "task.text=sentence1", "task.pair=sentence2"),
        table("pairs.csv", pairs),
        text="a film\ta film",
        card=OWN,
    ),
    "own numbers": Case(
        ("task=csv_regression", "task.path={}/films.csv", "task.text=sentence"), table("films.csv", films), card=OWN
    ),
    "own numbers in a range": Case(
        ("task=csv_regression", "task.path={}/films.csv", "task.text=sentence", "task.low=0", "task.high=5"),
        table("films.csv", films),
        card=OWN,
    ),
    "own tags": Case(("task=conll", "task.path={}/train.conll"), conll, card=OWN),
}


def only_record(runs_dir: Path) -> tuple[Record, Path]:
    """The record of the only run, and its folder."""
    (path,) = runs_dir.rglob(RECORD)
    record = read_record(path.parent)
    assert record
    return record, path.parent


@pytest.mark.parametrize("name", CASES)
def test_a_task_goes_from_the_command_to_the_answer(
    commands: Commands, sources: dict[str, Path], tmp_path: Path, runs_dir: Path, name: str
) -> None:
    case, data = CASES[name], tmp_path / "data"
    case.write(data)
    longest = [] if case.model == "gpt2" else ["task.max_length=32"]  # the tiny model has 64 positions
    places = [f"model.source={sources[case.model]}", f"runs_dir={runs_dir}", f"cache_dir={tmp_path / 'cache'}"]
    overrides = [*longest, *(override.format(data) for override in case.overrides)]
    done = commands.lnbench(*overrides, *places, *QUICK)
    assert (done.code, done.err) == (0, "")
    record, found = only_record(runs_dir)
    assert record.selection.metric in record.metrics["test"]
    text = (found / CARD).read_text()
    assert text == model_card(record)
    assert case.card in text
    assert (ModelCard.load(found / CARD).data.to_dict())["library_name"] == "lnbench"
    reported = commands.report(runs_dir)
    assert reported.code == 0
    assert "Test scores: tiny" in reported.out
    assert "Not in this report" not in reported.out
    answered = commands.predict(found, "--json", case.text)
    assert answered.code == 0
    assert json.loads(answered.out)
    assert commands.lnbench(*overrides, *places, *QUICK).out.startswith("This run is finished already")
