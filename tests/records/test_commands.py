import json
import shlex
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lnbench.config.compose import compose_config, to_plain
from lnbench.config.run import RunConfig, settled, validate
from lnbench.records.commands import MissingRuns, command_lines, missing_runs
from lnbench.records.identity import run_id
from lnbench.records.record import Record
from tests.records.builders import new_record

RUNS = {
    "as shipped": [],
    "another trainer": ["trainer=paper", "trainer.lr=0.003", "trainer.grad_clip=null"],
    "a search": ["search=lr_coarse", "trainer=mini"],
    "another model": ["model=bert_large", "++model.dropout=0.2"],
    "a model of one's own": ["model.name=mine", "model.source=a folder/mine", "model.pooling=first"],
    "a changed task": ["task=sst2", "task.max_length=64", "++task.splits.validation_fraction=0.25", "data_root=data"],
}


def composed(*overrides: str) -> RunConfig:
    return validate(to_plain(compose_config(*overrides)))


def record_of(config: RunConfig) -> Record:
    return new_record(
        method=config.method_name, task=config.task.name, model=config.model.name, config=config.to_dict()
    )


def overrides_of(line: str) -> list[str]:
    return [word for word in shlex.split(line)[3:] if word != "-m"]


def one_line(config: RunConfig, method: str = "ln", changed: dict[str, Any] | None = None) -> str:
    record = record_of(config)
    [line] = command_lines(missing_runs(method, changed or {}, {record.task: record}, [4], Path("my runs")))
    return line


@pytest.mark.parametrize("overrides", RUNS.values(), ids=RUNS)
def test_a_command_does_a_run_that_differs_in_nothing_but_what_is_missing(overrides: list[str]) -> None:
    line = one_line(composed("method=bitfit", "seed=1", *overrides), "ln", {"ln.terms": ["bias"], "ln.layers": "1-3"})
    wanted = composed("method=ln", "method.ln.terms=[bias]", "method.ln.layers=1-3", "seed=4", *overrides)
    got = composed(*overrides_of(line))
    assert got.identity() == wanted.identity()
    assert got.runs_dir == Path("my runs")
    assert got.data_root == wanted.data_root


def test_a_file_of_ones_own_is_named(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("review,stars\n" + "good,5\nbad,1\n" * 20)
    own = ["task=csv", f"task.path={tmp_path / 'mine.csv'}", "task.text=review", "task.label=stars"]
    got = composed(*overrides_of(one_line(composed("method=bitfit", *own))))
    assert got.identity() == composed("method=ln", "seed=4", *own).identity()


def own_files(folder: Path) -> dict[str, list[str]]:
    """For each kind of file the overrides of a run on one whose name is that of a shipped task."""
    (folder / "mrpc.csv").write_text("text,label\n" + "good,positive\nbad,negative\n" * 20)
    (folder / "stsb.csv").write_text("text,score\n" + "".join(f"text {row},{row % 5}\n" for row in range(40)))
    (folder / "conll2003.conll").write_text("Ada B-PER\nsleeps O\n\nBob B-PER\nin O\nRome B-LOC\n\n" * 20)
    return {
        "csv": ["task=csv", f"task.path={folder / 'mrpc.csv'}"],
        "csv_regression": [
            *("task=csv_regression", f"task.path={folder / 'stsb.csv'}", "task.label=score"),
            *("task.low=0", "task.high=5"),
        ],
        "conll": ["task=conll", f"task.path={folder / 'conll2003.conll'}"],
    }


@pytest.mark.parametrize("kind", ["csv", "csv_regression", "conll"])
def test_a_file_called_like_a_shipped_task_is_not_taken_for_it(kind: str, tmp_path: Path) -> None:
    own = own_files(tmp_path)[kind]
    words = overrides_of(one_line(composed("method=bitfit", *own)))
    assert f"task={kind}" in words
    assert own[1] in words
    assert not [word for word in words if word.startswith(("++task.path", "task.name"))]
    got, wanted = composed(*words), composed("method=ln", "seed=4", *own)
    assert run_id(got) == run_id(wanted)


@pytest.mark.parametrize("parameter", ["trainer.lr_factor", "trainer.grad_clip"])
def test_a_searched_setting_is_left_to_the_search(parameter: str) -> None:
    own = ["search=lr", f"search.parameter={parameter}", "search.values=[0.5,2]"]
    config = settled(composed("method=bitfit", *own), 2, seed=1)
    assert composed(*overrides_of(one_line(config))).identity() == composed("method=ln", "seed=4", *own).identity()


LETTERS = st.characters(exclude_categories=["Cc", "Cf", "Cs", "Zl", "Zp"], exclude_characters="/\0")
NAMES = st.text(LETTERS, min_size=1, max_size=12).filter(lambda name: name.strip() == name and name.strip("."))
LABELS = st.lists(NAMES, min_size=2, max_size=3, unique_by=str.casefold)


@settings(max_examples=25, deadline=None)
@given(NAMES, NAMES, NAMES, LABELS, st.booleans())
def test_every_command_leads_back_to_its_run(
    folder: str, file: str, column: str, labels: list[str], pair: bool
) -> None:
    with TemporaryDirectory() as temporary:
        path = Path(temporary) / f"{file}.jsonl"
        texts = {column: "a text", f"{column}2": "another"}
        rows = [{**texts, f"{column}l": labels[row % len(labels)]} for row in range(30)]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        raw = composed("method=bitfit", "seed=4", *own_files(Path(temporary))["csv"]).to_dict()
        own = {"path": str(path), "content": {}, "name": "", "labels": labels, "text": column, "label": f"{column}l"}
        raw["task"] |= {**own, "pair": f"{column}2" if pair else None}
        config = validate(raw)
        record = record_of(config)
        [line] = command_lines(missing_runs("bitfit", {}, {record.task: record}, [4], Path(folder)))
        got = composed(*overrides_of(line))
        assert run_id(got) == run_id(config)
        assert (got.runs_dir, got.task.path) == (Path(folder), path)


def test_a_shipped_run_has_a_short_command() -> None:
    assert one_line(composed("method=bitfit", "seed=1")) == (
        "python -m lnbench method=ln task=tweets seed=4 model=minilm 'runs_dir=my runs'"
    )


def test_a_run_whose_settings_cannot_be_read_still_has_a_command() -> None:
    [line] = command_lines(missing_runs("ln", {}, {"films": new_record()}, [0, 1], Path("runs")))
    assert line == "python -m lnbench -m method=ln task=films seed=0,1 model=tiny runs_dir=runs"


def test_tasks_with_settings_of_their_own_get_a_command_of_their_own() -> None:
    tasks = {
        name: record_of(composed(f"task={name}", f"task.max_length={length}"))
        for name, length in (("rte", 256), ("cb", 256), ("sst2", 17))
    }
    assert command_lines(missing_runs("ln", {}, tasks, [0], Path("runs"))) == [
        "python -m lnbench -m method=ln task=rte,cb seed=0 model=minilm runs_dir=runs",
        "python -m lnbench method=ln task=sst2 seed=0 model=minilm runs_dir=runs task.max_length=17",
    ]


def test_commands_that_differ_in_their_method_are_one_and_none_stands_twice() -> None:
    lone = [MissingRuns(name, ("task=rte", "seed=0"), several=False) for name in ("ln", "full", "ln")]
    many = MissingRuns("ln", ("task=rte", "seed=0,1"), several=True)
    assert command_lines([*lone, many]) == [
        "python -m lnbench -m method=ln,full task=rte seed=0",
        "python -m lnbench -m method=ln task=rte seed=0,1",
    ]
