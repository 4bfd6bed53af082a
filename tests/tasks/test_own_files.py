"""Data files of a person's own: every type, what is taken from them, and what is wrong with them."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from transformers import PreTrainedTokenizerFast

from lnbench.config.compose import compose_config, to_plain
from lnbench.config.run import RunConfig, validate
from lnbench.core.errors import DataError
from lnbench.core.schema import ConfigError
from lnbench.exchange.tuned import load
from lnbench.records.identity import run_dir, run_id
from lnbench.run.lifecycle import run
from lnbench.tasks.data.files import read_file
from lnbench.tasks.data.load import load_data
from lnbench.tasks.regression import Regression
from lnbench.tasks.sequence_classification import SequenceClassification
from lnbench.tasks.token_classification import TokenClassification
from lnbench.tasks.tokens import iob2
from tests.runs import SHORT

pytestmark = pytest.mark.usefixtures("both_ways")
Write = Callable[..., Path]
ROWS: list[dict[str, Any]] = [{"text": f"a film {number}", "label": number % 2} for number in range(60)]
SENTENCES = "-DOCSTART- -X- -X- O\n\nAnn NNP B-NP I-PER\nsaw VBD B-VP O\r\nParis NNP B-NP I-LOC\n\n\nrain  NN O O\n"


def configure(name: str, path: Path, *overrides: str) -> RunConfig:
    return validate(to_plain(compose_config(f"task={name}", f"task.path={path}", *overrides)))


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes rows, text or bytes into a file, and returns its path."""

    def write(content: Any, name: str = "mine.csv") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, list):
            frame = pd.DataFrame(content)
            if path.suffix == ".parquet":
                frame.to_parquet(path)
                return path
            suffix = Path(name.removesuffix(".gz")).suffix
            writers: dict[str, Callable[[], str | None]] = {
                ".csv": lambda: frame.to_csv(index=False),
                ".tsv": lambda: frame.to_csv(index=False, sep="\t"),
                ".json": lambda: json.dumps(content),
                ".jsonl": lambda: "\n".join(map(json.dumps, content)),
            }
            content = writers[suffix]() or ""
        data = content if isinstance(content, bytes) else content.encode()
        path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
        return path

    return write


@pytest.mark.parametrize("suffix", ["csv", "csv.gz", "tsv", "jsonl", "jsonl.gz", "json", "parquet"])
def test_a_classifier_of_a_file_needs_no_yaml(
    write: Write, tmp_path: Path, tokenizer: PreTrainedTokenizerFast, suffix: str
) -> None:
    rows = [{"review": row["text"], "stars": row["label"] * 9 + 1} for row in ROWS]
    config = configure("csv", write(rows, f"films.{suffix}"), "task.text=review", "task.label=stars")
    task = config.task
    assert isinstance(task, SequenceClassification)
    assert (task.name, task.labels) == ("films", ["1", "10"])
    data = load_data(task, tokenizer, None, tmp_path / "cache")
    assert sum(data.sizes.values()) == 60
    assert min(data.sizes.values()) > 0
    assert set(data.train.labels.tolist()) == {0, 1}


def test_files_for_validation_and_test_are_kept_whole(
    write: Write, tmp_path: Path, tokenizer: PreTrainedTokenizerFast
) -> None:
    paths = [f"task.validation_path={write(ROWS[:7], 'dev.jsonl')}", f"task.test_path={write(ROWS[:9], 'test.tsv')}"]
    data = load_data(configure("csv", write(ROWS), *paths).task, tokenizer, None, tmp_path / "cache")
    assert data.sizes == {"train": 60, "validation": 7, "test": 9}
    assert data.overlap == {"train/validation": 7, "train/test": 9, "validation/test": 7}


def test_pairs_have_a_second_column(write: Write) -> None:
    rows = [{**row, "other": "b"} for row in ROWS]
    task = configure("csv", write(rows), "task.pair=other").task
    assert task.columns() == ["text", "other", "label"]


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([10, 9, 10, 9, -1, -1], ["-1", "9", "10"]),
        (["b", "a", "10", "9", "b", "a", "10", "9"], ["10", "9", "a", "b"]),
        ([True, False, True, False], ["False", "True"]),
        ([1.0, 2.0, 1.0, 2.0], ["1", "2"]),
    ],
)
def test_labels_are_taken_from_the_file_in_order(write: Write, labels: list[Any], expected: list[str]) -> None:
    path = write([{"text": "a", "label": label} for label in labels], "mine.jsonl")
    task = configure("csv", path).task
    assert isinstance(task, SequenceClassification)
    assert task.labels == expected


def test_labels_may_be_given_and_rows_skipped(write: Write) -> None:
    path = write([*ROWS, {"text": "a", "label": -1}])
    task = configure("csv", path, "task.skip=['-1']").task
    assert isinstance(task, SequenceClassification)
    assert task.labels == ["0", "1"]
    named = configure("csv", path, "task.labels=[bad,good]", "task.name=films").task
    assert isinstance(named, SequenceClassification)
    assert (named.labels, named.name) == (["bad", "good"], "films")


def test_the_same_content_elsewhere_is_the_same_run(write: Write) -> None:
    first = configure("csv", write(ROWS, "here/mine.csv"))
    second = configure("csv", write(ROWS, "there/mine.csv"))
    other = configure("csv", write(ROWS[::-1], "other/mine.csv"))
    assert run_id(first) == run_id(second) != run_id(other)
    assert run_id(configure("csv", write(ROWS), f"task.test_path={write(ROWS, 'more.csv')}")) != run_id(first)


def test_a_finished_runs_configuration_needs_no_file(write: Write) -> None:
    path = write(ROWS)
    config = configure("csv", path)
    path.unlink()
    again = validate(config.to_dict())
    assert again == config
    assert run_id(again) == run_id(config)


def test_a_file_that_changes_under_a_run_is_refused(write: Write, tokenizer: PreTrainedTokenizerFast) -> None:
    task = configure("csv", write(ROWS)).task
    write(ROWS[1:])
    with pytest.raises(DataError, match=r"mine\.csv: is not the file any more with which this run was configured"):
        load_data(task, tokenizer)


def test_numbers_are_learned_from_a_file_with_their_range(
    write: Write, tmp_path: Path, tokenizer: PreTrainedTokenizerFast
) -> None:
    rows = [{**row, "label": row["label"] + 0.5} for row in ROWS]
    task = configure("csv_regression", write(rows), "task.low=0", "task.high=2").task
    assert isinstance(task, Regression)
    assert set(load_data(task, tokenizer, None, tmp_path).train.labels.tolist()) == {0.25, 0.75}


@pytest.mark.parametrize(
    ("overrides", "expected"), [([], (0.5, 1.5)), (["task.low=0"], (0.0, 1.5)), (["task.high=9"], (0.5, 9.0))]
)
def test_the_range_is_taken_from_the_file_as_far_as_it_is_not_given(
    write: Write, overrides: list[str], expected: tuple[float, float]
) -> None:
    path = write([{**row, "label": row["label"] + 0.5} for row in ROWS])
    config = configure("csv_regression", path, *overrides)
    assert isinstance(config.task, Regression)
    assert (config.task.low, config.task.high) == expected
    given = configure("csv_regression", path, f"task.low={expected[0]}", f"task.high={expected[1]}")
    assert run_id(config) == run_id(given)
    path.unlink()
    assert validate(config.to_dict()) == config


@pytest.mark.parametrize(
    ("labels", "overrides", "message"),
    [
        ([3, 3, 3], [], r"mine\.csv: the numbers of column 'label' go from 3 to 3, which is no range; state task\.low"),
        ([1, 2, 3], ["task.low=7"], "go from 7 to 3, which is no range"),
        ([1, "much", 3], [], r"mine\.csv, row 2: label = 'much'; must be a finite number"),
        ([1, "inf", 3], [], r"mine\.csv, row 2: label = 'inf'; must be a finite number"),
        ([1, "nan", 3], [], r"mine\.csv, row 2: label = 'nan'; must be a finite number"),
    ],
)
def test_a_column_without_a_range_is_refused_by_name(
    write: Write, labels: list[Any], overrides: list[str], message: str
) -> None:
    path = write([{"text": "a", "label": label} for label in labels])
    with pytest.raises(DataError, match=message):
        configure("csv_regression", path, *overrides)


def test_a_test_label_outside_the_range_of_the_training_file_is_refused(
    write: Write, tokenizer: PreTrainedTokenizerFast
) -> None:
    test = write([{"text": "a film", "label": 9}, {"text": "b film", "label": 0}], "test.jsonl")
    config = configure("csv_regression", write(ROWS), f"task.test_path={test}")
    with pytest.raises(DataError, match=r"test\.jsonl, row 1: label = 9; must be a number from 0 to 1, which are task"):
        load_data(config.task, tokenizer)
    wider = configure("csv_regression", write(ROWS), f"task.test_path={test}", "task.high=9").task
    assert load_data(wider, tokenizer).sizes["test"] == 2


def test_columns_in_conlls_format_become_sentences(write: Write) -> None:
    frame = read_file(write(SENTENCES, "train.conll"))
    assert frame.to_dict("list") == {
        "tokens": [["Ann", "saw", "Paris"], ["rain"]],
        "tags": [["I-PER", "O", "I-LOC"], ["O"]],
    }


@pytest.mark.parametrize("separator", [" ", "   ", "\t", " \t "])
@pytest.mark.parametrize("word", ["10\u00a0000", "a\u3000b", "\u00a0", "\u3000a\u2009", "a\u2028b\x85"])
def test_white_space_that_separates_no_columns_belongs_to_the_word(write: Write, separator: str, word: str) -> None:
    frame = read_file(write(f"{word}{separator}X{separator}B-PER\n{word}{separator}Y{separator}O\n", "train.conll"))
    assert frame.to_dict("list") == {"tokens": [[word, word]], "tags": [["B-PER", "O"]]}


@pytest.mark.parametrize("separator", [" ", "\t"])
@pytest.mark.parametrize("empty", ["", " ", "\t", " \t\r", "\u00a0", "\u3000 \t"])
def test_a_line_of_nothing_but_white_space_ends_a_sentence(write: Write, separator: str, empty: str) -> None:
    text = "Ann B-PER\nsaw O\n{}\nrain O\n".replace(" ", separator).format(empty)
    assert read_file(write(text, "train.conll"))["tokens"].tolist() == [["Ann", "saw"], ["rain"]]


def test_spaces_are_part_of_a_word_where_tabs_separate_the_columns(write: Write) -> None:
    text = "-DOCSTART- -X- O O\n\nNew York\tNNP\tB-LOC\n"
    assert read_file(write(text, "train.conll"))["tokens"].tolist() == [["New York"]]
    with pytest.raises(DataError, match=r"line 4: 'Paris B-LOC' has one column; .*, separated by tabs"):
        read_file(write(text + "Paris B-LOC\n", "train.conll"))


@pytest.mark.parametrize("start", ["-DOCSTART-", "-DOCSTART-\r", "-DOCSTART- -X- O O", "-DOCSTART- "])
@pytest.mark.parametrize("separator", [" ", "\t"])
@pytest.mark.parametrize("blank", ["", "\n"])
def test_a_document_starts_with_or_without_more_columns(write: Write, start: str, separator: str, blank: str) -> None:
    text = f"{start}\n{blank}Ann B-PER\n{start}\n{blank}Bob B-PER\nsaw O\n".replace(" B", f"{separator}B")
    text = text.replace("saw ", f"saw{separator}")
    assert read_file(write(text, "train.conll"))["tokens"].tolist() == [["Ann"], ["Bob", "saw"]]


CORPORA = {
    "CoNLL-2003": "-DOCSTART- -X- O\n\nAnn NNP I-NP I-PER\nsaw VB I-VP O\nNew NNP I-NP I-LOC\nYork NNP I-NP I-LOC\n",
    "CoNLL-2002": "Ann N B-PER\nsaw V O\nNew N B-LOC\nYork N I-LOC\n\n",
    "WNUT-2017": "Ann\tB-PER\nsaw\tO\nNew\tB-LOC\nYork\tI-LOC\n\t\n",
    "GermEval-2014": "#\thttps://a.example/b [2010-01-02]\n1\tAnn\tB-PER\n2\tsaw\tO\n3\tNew\tB-LOC\n4\tYork\tI-LOC\n",
    "MultiCoNER": "# id 1f-ac\tdomain=en\nAnn _ _ B-PER\nsaw _ _ O\nNew _ _ B-LOC\nYork _ _ I-LOC\n",
    "CoNLL-U, ranges": "1\tAnn\tU-PER\n2-4\tsawNY\tO\n2\tsaw\tO\n3\tNew\tB-LOC\n4\tYork\tL-LOC\n4.1\tx\tO\n",
    "CoNLL-U": "# sent_id = 7\n# text = Ann saw\n1\tAnn\t_\tU-PER\n2\tsaw\t_\tO\n3\tNew\t_\tB-LOC\n4\tYork\t_\tL-LOC\n",
}


@pytest.mark.parametrize("text", CORPORA.values(), ids=list(CORPORA))
def test_the_files_of_corpora_give_the_same_sentence(write: Write, text: str) -> None:
    frame = read_file(write(text, "train.conll"))
    assert frame["tokens"].tolist() == [["Ann", "saw", "New", "York"]]
    assert [iob2.from_any(tags) for tags in frame["tags"]] == [["B-PER", "O", "B-LOC", "I-LOC"]]


def test_words_that_look_like_comments_or_numbers_are_words(write: Write) -> None:
    hashtags = read_file(write("#begin of a file\n#\tO\n#fail\tB-X\nAnn\tO\n", "train.conll"))
    assert hashtags["tokens"].tolist() == [["#", "#fail", "Ann"]]
    numbers = read_file(write("1 CD O\n2 CD O\n\n7 CD O\n", "train.conll"))
    assert numbers["tokens"].tolist() == [["1", "2"], ["7"]]
    ranges = read_file(write("1 CD O\n2-3 CD O\n2 CD O\n\n7 CD O\n", "train.conll"))
    assert ranges["tokens"].tolist() == [["1", "2-3", "2"], ["7"]]


def test_levels_of_nested_entities_are_refused(write: Write) -> None:
    nested = "1\tUniversity\tB-ORG\tO\n2\tof\tI-ORG\tO\n3\tParis\tI-ORG\tB-LOC\n\n1\tParis\tB-LOC\tO\n"
    with pytest.raises(DataError, match=r"last two columns are both tags, of LOC: .* cut -f1-3"):
        read_file(write(nested, "train.conll"))


def test_tags_are_taken_from_the_file_in_iob2(write: Write, tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    text = "".join(f"Ann I-PER\nsaw O\nParis I-LOC\nagain O\n{number} O\n\n" for number in range(40))
    task = configure("conll", write(text, "train.conll")).task
    assert isinstance(task, TokenClassification)
    assert (task.name, task.labels) == ("train", ["O", "B-LOC", "I-LOC", "B-PER", "I-PER"])
    data = load_data(task, tokenizer, None, tmp_path / "cache")
    assert sum(data.sizes.values()) == 40
    assert data.frames["test"]["tags"].tolist()[0] == [3, 0, 1, 0, 0]
    assert data.baseline["test"] == {"f1": 0.0, "precision": 0.0, "recall": 0.0, "accuracy": pytest.approx(3 / 5)}


@pytest.mark.parametrize("architecture", ["bert", "gpt2"])
def test_a_model_tuned_on_a_file_is_used_without_it(
    write: Write, sources: dict[str, Path], tmp_path: Path, architecture: str
) -> None:
    path = write("".join(f"good B-PER\nfilm O\n{word} O\nbad I-LOC\n\n" for word in "abcde" * 8), "train.conll")
    files = [f"task.validation_path={path}", f"task.test_path={path}"]
    places = [f"model.source={sources[architecture]}", f"runs_dir={tmp_path / 'runs'}", f"cache_dir={tmp_path}"]
    config = configure(
        "conll", path, *files, *places, "model.name=tiny", "method=ln", *SHORT, "trainer.lr=0.02", "task.max_length=16"
    )
    record = run(config)
    path.unlink()
    assert record.metrics["test"]["f1"] > 0.9 > record.baseline["test"]["f1"]
    (prediction,) = load(run_dir(config)).predict(["good film  e bad"])
    assert prediction == {"input": {"tokens": ["good", "film", "e", "bad"]}, "tags": ["B-PER", "O", "O", "B-LOC"]}


def test_lists_of_words_and_tags_serve_as_well(write: Write) -> None:
    rows = [{"words": ["Ann", "saw"], "ner": ["B-PER", "O"]}]
    for name in ("mine.jsonl", "mine.parquet"):
        task = configure("conll", write(rows, name), "task.tokens=words", "task.tags=ner").task
        assert isinstance(task, TokenClassification)
        assert task.labels == ["O", "B-PER", "I-PER"]


def test_a_byte_order_mark_is_no_part_of_the_first_column(write: Write) -> None:
    assert read_file(write("\ufefftext,label\na,1\n")).columns.tolist() == ["text", "label"]


def test_another_encoding_can_be_stated(write: Write) -> None:
    path = write("text,label\n" + "café,0\nthé,1\n" * 4)
    path.write_bytes(path.read_text("utf-8").encode("latin-1"))
    assert configure("csv", path, "task.encoding=latin-1").task.encoding == "latin-1"
    with pytest.raises(DataError, match=r"mine\.csv: byte 15 \(0xe9\) is not utf-8; state .* in task\.encoding"):
        configure("csv", path)
    with pytest.raises(DataError, match="unknown encoding: nonsense"):
        configure("csv", path, "task.encoding=nonsense")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("mine.csv", "review,label\na,1\nb,0\n", r"mine\.csv: has no column 'text'; it has: review, label"),
        ("mine.csv", "txt,label\na,1\nb,0\n", r"has no column 'text'; did you mean 'txt'\? it has: txt, label"),
        ("mine.csv", "text,label\na,1\nb,\n", r"mine\.csv, row 2: label = ''; must be a label"),
        ("mine.csv", "text,label\na,1\nb\n", r"mine\.csv, row 2: label = ''; must be a label"),
        ("mine.csv", "text,label\na,1,x\nb,0,y\n", r"read \(row 1, in line 2, has 3 fields, and the header has 2: t"),
        ("mine.csv", "text,label\na,1\nb,1\n", "column 'label' holds nothing but '1'; there must be two labels"),
        ("mine.csv", "text,label\na,0.1\nb,0.2\nc,0.3\n", "has 3 different values in 3 rows.*task=csv_regression"),
        ("mine.csv", "text,label\n", r"mine\.csv: has no rows"),
        ("mine.csv", "", r"mine\.csv: cannot be read \(No columns to parse from file\)"),
        ("mine.csv", 'text,label\n"a\nb",1\n\nb,0,c\n', r"\(row 2, in line 5, has 3 fields, .* must be in quotes\)"),
        ("mine.csv", 'text,label\na,1\n"b,0\nc,1\n', r"\(row 2, in line 3, has a field that begins with a quote and"),
        ("mine.tsv", "text\tlabel\na\t1\tx\n", r"\(row 1, in line 2, has 3 fields, .*; no field may have a tab in it"),
        ("mine.csv", "text,text,label\na,b,1\n", r"mine\.csv: cannot be read \(it has the column 'text' 2 times;"),
        ("mine.tsv", "label\tx\tlabel\na\tb\t1\n", r"mine\.tsv: cannot be read \(it has the column 'label' 2 times;"),
        ("mine.jsonl", '{"text": "a"}\n{"text": "a", "text": "b"}', r"\(line 2: it has the key 'text' 2 times"),
        ("mine.json", '[{"text": "a", "text": "b"}]', r"\(it has the key 'text' 2 times"),
        (
            "mine.jsonl",
            '{"text": "a", "label": null}\n{"text": "b", "label": 1}',
            "row 1: label = nan; must be a label",
        ),
        ("mine.jsonl", '{"text": "a", "label": 1}\n{"text": ', r"mine\.jsonl: cannot be read \(line 2: "),
        ("mine.json", "[1, 2]", r"mine\.json: cannot be read \(row 1 is not an object\)"),
        ("mine.parquet", "text", r"mine\.parquet: cannot be read"),
        ("mine.xlsx", "text", r"mine\.xlsx: must end in one of \.jsonl\.gz, "),
    ],
)
def test_a_file_that_cannot_be_used_is_named(write: Write, name: str, content: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        configure("csv", write(content, name))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("mine.csv", "text;label\na, b;1\nc;0\n", r"separated by ';', where a \.csv file has ','"),
        ("mine.csv", "sep=;\ntext;label\na;1\n", "separated by ';'"),
        ("mine.csv", "text\tlabel\na\t1\nb\t0\n", r"separated by '\\t'"),
        ("mine.tsv", "text,label\na,1\nb,0\n", r"separated by ',', .* and a \.tsv file a tab"),
        ("mine.tsv", '"text"\t"label"\r\n"a"\t"1"\r\n', 'header has names in quotes, such as "text"; .* as .csv'),
        ("mine.tsv", 'text\tlabel\nb\t0\n"say ""a"""\t1\n', "line 3: .*say .* seems to be in quotes; .*jsonl"),
        ("mine.tsv", 'text\tlabel\n"a\tb"\t1\nc\t0\n', "tabs or line breaks in fields in quotes; a .tsv file has no"),
        ("mine.tsv", 'label\ttext\r\n1\t"a\r\nb"\r\n0\tc\r\n', "tabs or line breaks in fields in quotes"),
    ],
)
def test_columns_that_are_separated_or_quoted_otherwise_are_named(
    write: Write, name: str, content: str, message: str
) -> None:
    with pytest.raises(DataError, match=rf"mine\.[ct]sv: cannot be read \(.*{message}"):
        configure("csv", write(content, name))


def test_columns_without_a_name_may_be_several(write: Write) -> None:
    assert read_file(write("text,label,,\na,1,,\n")).values.tolist() == [["a", "1", "", ""]]


@pytest.mark.parametrize(
    "content", ['text\tlabel\n"a\t1\n"b"\t0\n""\t1\n"c" d""\t0\n', 'text\tlabel\na "b""c"\t0\n"\t1\n']
)
def test_quotes_that_enclose_no_field_are_characters(write: Write, content: str) -> None:
    texts = [line.split("\t")[0] for line in content.splitlines()[1:]]
    assert read_file(write(content, "mine.tsv"))["text"].tolist() == texts


@pytest.mark.parametrize("index", [pd.Index([7, 9, 4]), pd.Index(["x", "y", "z"]), pd.Index([3, 1, 2], name="id")])
def test_an_index_stored_in_a_parquet_file_renumbers_no_row(tmp_path: Path, index: Any) -> None:
    pd.DataFrame({"text": ["a", " ", "b"], "label": [0, 1, 0]}, index=index).to_parquet(tmp_path / "mine.parquet")
    assert read_file(tmp_path / "mine.parquet").index.tolist() == [0, 1, 2]
    if index.name:
        assert read_file(tmp_path / "mine.parquet")["id"].tolist() == [3, 1, 2]
    with pytest.raises(DataError, match=r"mine\.parquet, row 2: text = ' '; must be a text"):
        load_data(configure("csv", tmp_path / "mine.parquet").task, None)  # type: ignore[arg-type]


def test_numbers_as_names_of_columns_are_texts(tmp_path: Path) -> None:
    pd.DataFrame({0: ["a", "b"], 1: [0, 1]}).to_parquet(tmp_path / "mine.parquet")
    assert read_file(tmp_path / "mine.parquet").columns.tolist() == ["0", "1"]


def test_a_file_that_is_not_compressed_as_its_name_says_is_named(write: Write) -> None:
    path = write(ROWS).rename(write(ROWS).parent / "mine.csv.gz")
    with pytest.raises(DataError, match=r"mine\.csv\.gz': cannot be read \(cannot be unpacked: Not a gzipped file"):
        configure("csv", path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Ann B-PER\nsaw\n", "line 2: 'saw' has one column; there must be a word and its tag"),
        ("Ann B-PER\nNew York B-LOC\n", "line 2: 'New York B-LOC' has 3 columns, .* the lines before it have 2"),
        ("Ann B-PER\rsaw O\r", "line 1: has a carriage return in it"),
        ("Ann NNP\n", r"row 1: tags = \['NNP'\]; must be tags in IOB2"),
        ("Ann O\n", "column 'tags' has no tag but O"),
    ],
)
def test_a_file_of_tags_that_cannot_be_used_is_named(write: Write, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        configure("conll", write(text, "train.conll"))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([*ROWS, {"text": " ", "label": 1}], "row 61: text = ' '; must be a text that is not empty"),
        ([*ROWS, {"text": "a", "label": 7}], r"test\.jsonl, row 61: label = 7; must be one of 0, 1"),
    ],
)
def test_a_row_that_cannot_be_used_is_named(
    write: Write, tokenizer: PreTrainedTokenizerFast, rows: list[dict[str, Any]], message: str
) -> None:
    task = configure("csv", write(ROWS), f"task.test_path={write(rows, 'test.jsonl')}").task
    with pytest.raises(DataError, match=message):
        load_data(task, tokenizer)


@pytest.mark.parametrize("field", ["path", "validation_path", "test_path"])
def test_a_file_that_is_not_there_is_named_at_once(write: Write, tmp_path: Path, field: str) -> None:
    with pytest.raises(DataError, match=rf"^task\.{field} = .*nowhere\.csv'.*No such file.*seen from"):
        configure("csv", write(ROWS), f"task.{field}={tmp_path / 'nowhere.csv'}")


def test_a_path_must_be_given() -> None:
    with pytest.raises(ConfigError, match=r"task\.path: "):
        to_plain(compose_config("task=csv"))
