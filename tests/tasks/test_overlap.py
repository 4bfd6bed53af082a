"""What training and held-out rows share: counted, told before training, and kept apart on demand."""

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import PreTrainedTokenizerFast

from lnbench.config.compose import compose_config, to_plain
from lnbench.config.run import RunConfig, validate
from lnbench.core.errors import DataError
from lnbench.core.schema import ConfigError
from lnbench.run.lifecycle import run
from lnbench.tasks.data.load import TaskData, load_data
from tests.runs import SHORT
from tests.tasks.builders import Rows, films, new_byte_tokenizer, new_generation, new_task
from tests.tasks.conftest import Writer

pytestmark = pytest.mark.usefixtures("both_ways")
ROWS = films(*((f"a film {number}", number % 2) for number in range(30)))
PAIRS: Rows = [
    {"text": f"premise {number // 3}", "other": f"film {number}", "label": number % 2, "user": number // 6}
    for number in range(300)
]


def write(path: Path, rows: Rows) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def of_files(*overrides: str) -> RunConfig:
    return validate(to_plain(compose_config("task=csv", *overrides)))


def load_pairs(root: Path, tokenizer: PreTrainedTokenizerFast, **splits: Any) -> TaskData:
    task = new_task(pair="other", splits={"validation_fraction": 0.2, "test_fraction": 0.2, **splits})
    return load_data(task, tokenizer, root, root / "cache")


def values(loaded: TaskData, column: str) -> dict[str, set[str]]:
    return {role: set(frame[column]) for role, frame in loaded.frames.items()}


def test_a_run_on_the_same_file_twice_says_so_before_training(
    sources: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, copy = write(tmp_path / "train.jsonl", ROWS), write(tmp_path / "copy.jsonl", ROWS)
    files = [
        f"task.path={path}",
        f"task.validation_path={copy}",
        f"task.test_path={write(tmp_path / 't.jsonl', ROWS[:7])}",
    ]
    places = [f"model.source={sources['bert']}", f"runs_dir={tmp_path / 'runs'}", f"cache_dir={tmp_path}"]
    record = run(of_files(*files, *places, "model.name=tiny", "method=ln", *SHORT, "task.max_length=32"))
    said = " ".join(capsys.readouterr().out.split("trains")[0].split())
    assert "validation: train has the input of 30 of 30 rows; it is the same as train, row for row" in said
    assert "test: train has the input of 7 of 7 rows note" not in said
    assert "test: train has the input of 7 of 7 rows" in said
    assert record.data.overlap["train/validation"] == 30


def test_the_same_rows_in_another_format_are_the_same_file(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    table = tmp_path / "copy.csv"
    table.write_text("label,text\n" + "".join(f"{row['label']},{row['text']}\n" for row in ROWS))
    config = of_files(f"task.path={write(tmp_path / 'train.jsonl', ROWS)}", f"task.test_path={table}")
    (note,) = load_data(config.task, tokenizer, None, tmp_path).warnings["test"]
    assert note == "train has the input of 30 of 30 rows; it is the same as train, row for row"


def test_splits_that_share_nothing_are_not_mentioned(write_root: Writer, tokenizer: PreTrainedTokenizerFast) -> None:
    root = write_root(train=ROWS[:10], validation=ROWS[10:20], test=ROWS[20:])
    assert load_data(new_task(), tokenizer, root, root / "cache").warnings == {
        "train": [],
        "validation": [],
        "test": [],
    }


def test_overlap_that_is_dropped_from_train_is_not_told_as_overlap(
    write_root: Writer, tokenizer: PreTrainedTokenizerFast
) -> None:
    root = write_root(train=ROWS, validation=films(("b", 0), ("c", 1)), test=ROWS[:10])
    task = new_task(splits={"validation": "validation", "test": "test", "drop_overlap": True})
    loaded = load_data(task, tokenizer, root, root / "cache")
    assert loaded.warnings["test"] == []
    assert loaded.overlap["train/test"] == 10


def test_a_text_of_a_pair_that_straddles_a_cut_is_counted(
    write_root: Writer, tokenizer: PreTrainedTokenizerFast
) -> None:
    loaded = load_pairs(write_root(train=PAIRS), tokenizer)
    texts = values(loaded, "text")
    expected = {
        role: sum(text in texts["train"] for text in loaded.frames[role]["text"]) for role in ("validation", "test")
    }
    assert min(expected.values()) > 0
    for role, rows in expected.items():
        assert loaded.overlap[f"train/{role} text"] == rows
        assert loaded.overlap[f"train/{role} other"] == 0
        assert loaded.warnings[role] == [
            f"shares single texts with train: text in {rows} rows; "
            f"task.splits.group_by=COLUMN keeps rows of one text together"
        ]


def pairs(*texts: tuple[str, str]) -> Rows:
    return [{"text": first, "other": second, "label": place % 2} for place, (first, second) in enumerate(texts)]


def test_pairs_that_train_has_with_their_texts_swapped_are_counted_and_told(
    write_root: Writer, tokenizer: PreTrainedTokenizerFast
) -> None:
    root = write_root(
        train=pairs(("a film", "b"), ("c", "c"), ("d", "e"), ("e", "d")),
        validation=pairs(("B", "A  film"), ("a film", "c")),
        test=pairs(("c", "c"), ("d", "e"), ("b", "d"), ("c", "a film")),
    )
    loaded = load_data(new_task(pair="other"), tokenizer, root, root / "cache")
    counts = {roles: rows for roles, rows in loaded.overlap.items() if roles.endswith(":swapped")}
    assert counts == {"train/validation:swapped": 1, "train/test:swapped": 1, "validation/test:swapped": 1}
    assert loaded.overlap["train/validation"] == 0
    assert loaded.overlap["train/test"] == 2
    for role in ("validation", "test"):
        assert "train has 1 pair of it with the texts swapped" in loaded.warnings[role]
    assert loaded.warnings["train"] == []


def test_a_swapped_pair_that_a_cut_tears_apart_is_counted(
    write_root: Writer, tokenizer: PreTrainedTokenizerFast
) -> None:
    texts = [(f"a {number}", f"b {number}") for number in range(100)]
    rows = pairs(*texts, *((second, first) for first, second in texts))
    loaded = load_pairs(write_root(train=rows), tokenizer)
    train = {(row["text"], row["other"]) for row in loaded.frames["train"].to_dict("records")}
    for role in ("validation", "test"):
        turned = [(row["other"], row["text"]) in train for row in loaded.frames[role].to_dict("records")]
        assert loaded.overlap[f"train/{role}:swapped"] == sum(turned) > 0


def test_tasks_on_single_texts_have_no_swapped_pairs(write_root: Writer, tokenizer: PreTrainedTokenizerFast) -> None:
    root = write_root(train=ROWS[:10], validation=ROWS[10:20], test=ROWS[20:])
    assert not [roles for roles in load_data(new_task(), tokenizer, root, root / "cache").overlap if ":" in roles]


def test_groups_that_train_shares_with_a_given_split_are_counted_and_told(
    write_root: Writer, tokenizer: PreTrainedTokenizerFast
) -> None:
    users = [{**row, "user": place // 2} for place, row in enumerate(ROWS)]
    test = [
        {**row, "text": f"b {place}", "user": user} for place, (row, user) in enumerate(zip(ROWS, "0ab", strict=False))
    ]
    root = write_root(train=users, test=[*test, {**test[0], "text": "c", "user": None}])
    task = new_task(splits={"validation_fraction": 0.3, "test": "test", "group_by": "user", "seed": 2})
    loaded = load_data(task, tokenizer, root, root / "cache")
    in_train = {int(text.split()[-1]) // 2 for text in loaded.frames["train"]["text"]}
    assert loaded.overlap["train/validation user"] == 0
    assert 0 in in_train
    assert loaded.overlap["train/test user"] == 1
    assert loaded.warnings["test"] == [
        "shares groups with train: user in 1 row; task.splits.group_by acts on what is cut from train alone"
    ]
    assert loaded.warnings["validation"] == []


def test_a_given_split_without_the_column_of_groups_says_so(
    write_root: Writer, tokenizer: PreTrainedTokenizerFast
) -> None:
    users = [{**row, "user": place // 2} for place, row in enumerate(ROWS)]
    root = write_root(train=users, test=films(("b", 0), ("c", 1)))
    task = new_task(splits={"validation_fraction": 0.3, "test": "test", "group_by": "user"})
    loaded = load_data(task, tokenizer, root, root / "cache")
    assert loaded.warnings["test"] == ["has no column 'user', so that groups that it shares with train are not known"]
    assert "train/test user" not in loaded.overlap


def test_groups_are_counted_where_rows_have_several_references(write_root: Writer) -> None:
    rows: Rows = [
        {"facts": f"a {number}", "text": "b", "refs": ["b", "c"], "user": number // 2} for number in range(40)
    ]
    root = write_root("facts", train=rows, test=[{**row, "facts": f"d {row['facts']}"} for row in rows[:6]])
    splits = {"validation_fraction": 0.3, "test": "test", "group_by": "user"}
    task = new_generation(splits=splits, references="refs", metric="loss", metrics=["bleu"])
    loaded = load_data(task, new_byte_tokenizer(), root, root / "cache")
    kept = {int(source.split()[-1]) // 2 for source in loaded.frames["train"]["source"]}
    assert loaded.overlap["train/validation user"] == 0
    assert loaded.overlap["train/test user"] == 2 * sum(2 for user in range(3) if user in kept) > 0


def test_a_train_split_that_is_all_in_the_test_is_told_as_such(
    write_root: Writer, tokenizer: PreTrainedTokenizerFast
) -> None:
    root = write_root(train=ROWS[:5], validation=films(("b", 0), ("c", 1)), test=ROWS)
    task = new_task(splits={"validation": "validation", "test": "test", "drop_overlap": True})
    with pytest.raises(
        DataError, match=r"no row is left for train; the test split has the text of each, and task\.spl"
    ):
        load_data(task, tokenizer, root, root / "cache")


def test_fewer_groups_than_splits_are_told_as_such(write_root: Writer, tokenizer: PreTrainedTokenizerFast) -> None:
    rows = [{**row, "user": place % 2} for place, row in enumerate(ROWS)]
    root = write_root(train=rows)
    with pytest.raises(DataError) as caught:
        load_data(new_task(splits={"group_by": "user"}), tokenizer, root, root / "cache")
    assert str(caught.value) == (
        "films: no row is left for validation; task.splits.group_by = user makes 2 groups of the rows, each of which "
        "is in one split; group by another column, raise task.splits.validation_fraction or give "
        "task.splits.validation=SPLIT"
    )


@pytest.mark.parametrize("group_by", ["text", ["text"], ["text", "user"], "user"])
def test_a_cut_by_a_column_keeps_its_values_together(
    write_root: Writer, tokenizer: PreTrainedTokenizerFast, group_by: str | list[str]
) -> None:
    root = write_root(train=PAIRS)
    loaded = load_pairs(root, tokenizer, group_by=group_by)
    texts = values(loaded, "text")
    assert not texts["train"] & texts["validation"]
    assert not texts["train"] & texts["test"]
    assert all("single texts" not in note for notes in loaded.warnings.values() for note in notes)
    assert sum(loaded.sizes.values()) == 300
    write_root(train=PAIRS[::-1])
    assert values(load_pairs(root, tokenizer, group_by=group_by), "text") == texts


def test_rows_of_equal_text_stay_together_whatever_their_groups(
    write_root: Writer, tokenizer: PreTrainedTokenizerFast
) -> None:
    rows = [{**row, "user": place} for row in ROWS for place in range(2)]
    task = new_task(splits={"validation_fraction": 0.3, "test_fraction": 0.3, "group_by": "user", "seed": 1})
    root = write_root(train=rows)
    with pytest.raises(
        DataError, match=r"no row is left for train; .* = user makes 1 groups of the rows, .*, lower task"
    ):
        load_data(task, tokenizer, root, root / "cache")
    rows = [{**row, "user": place % 15} for place, row in enumerate([*ROWS, *ROWS])]
    root = write_root(train=rows)
    texts = values(load_data(task, tokenizer, root, root / "cache"), "text")
    assert not texts["train"] & (texts["validation"] | texts["test"])


def test_a_group_is_one_whatever_its_values_are_written_like(
    write_root: Writer, tokenizer: PreTrainedTokenizerFast
) -> None:
    rows = [{**row, "user": value} for place, row in enumerate(PAIRS) for value in [(1.0, "1", " 1")[place % 3]]]
    with pytest.raises(DataError, match="no row is left for validation"):
        load_pairs(write_root(train=rows), tokenizer, group_by="user")


def test_a_column_to_group_by_must_be_there_and_full(write_root: Writer, tokenizer: PreTrainedTokenizerFast) -> None:
    root = write_root(train=PAIRS)
    with pytest.raises(DataError, match="split 'train': has no column 'usr'; did you mean 'user'"):
        load_pairs(root, tokenizer, group_by="usr")
    write_root(train=[*PAIRS, {**PAIRS[0], "user": None}])
    with pytest.raises(DataError, match=r"row 301: user = nan; must be a value, for task\.splits\.group_by names"):
        load_pairs(root, tokenizer, group_by="user")


def test_grouping_where_nothing_is_cut_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"splits\.group_by = text: nothing is cut"):
        new_task(splits={"validation": "validation", "test": "test", "group_by": "text"})
    path = write(tmp_path / "train.jsonl", ROWS)
    files = [f"task.path={path}", f"task.validation_path={path}", f"task.test_path={path}"]
    with pytest.raises(ConfigError, match=r"splits\.group_by = user: nothing is cut"):
        of_files(*files, "task.splits.group_by=user")


def test_the_command_line_takes_one_column_or_several(tmp_path: Path) -> None:
    path = write(tmp_path / "train.jsonl", PAIRS)
    one, several = (
        of_files(f"task.path={path}", f"task.splits.group_by={columns}") for columns in ("user", "[text,user]")
    )
    assert (one.task.splits.group_by, several.task.splits.group_by) == (("user",), ("text", "user"))
    assert validate(several.to_dict()) == several
