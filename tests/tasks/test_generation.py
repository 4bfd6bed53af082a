"""Texts generated from sources: what is learned, what is asked, and what comes back."""

import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import lnbench
from lnbench.backbone.tuned_model import count_parameters
from lnbench.config.compose import compose_config, to_plain
from lnbench.config.run import RunConfig, validate
from lnbench.core.errors import DataError
from lnbench.core.schema import ConfigError
from lnbench.records.files import PREDICTIONS
from lnbench.records.identity import run_dir
from lnbench.run.lifecycle import run
from lnbench.tasks.data.load import load_data
from lnbench.tasks.generation import ConditionalGeneration
from lnbench.tasks.parts.decoding import NextTokenLogits
from lnbench.tasks.scores import texts as text_metrics
from lnbench.tasks.tokens.examples import IGNORED
from lnbench.training.assemble import build_skeleton
from tests import runs
from tests.tasks.builders import Rows, new_byte_tokenizer, new_generation, new_tokenizer
from tests.tasks.conftest import Writer
from tests.tiny import VOCABULARY

FACTS = [["Aromi", "food", "Thai"], ["Aromi", "area", "riverside"]]


def rows(*pairs: tuple[Any, Any]) -> Rows:
    return [{"facts": source, "text": target} for source, target in pairs]


def clean(data: Rows, task: ConditionalGeneration | None = None) -> pd.DataFrame:
    return (task or new_generation()).clean(pd.DataFrame(data), "facts, split 'train'")


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("name[Aromi], food[Thai]", "name[Aromi], food[Thai]"),
        (["Aromi | food | Thai", "Aromi | area | riverside"], "Aromi | food | Thai ; Aromi | area | riverside"),
        (FACTS, "Aromi | food | Thai ; Aromi | area | riverside"),
        (np.array(FACTS), "Aromi | food | Thai ; Aromi | area | riverside"),
    ],
)
def test_sources_become_texts(source: Any, text: str) -> None:
    assert clean(rows((source, "good")))["source"].tolist() == [text]


def test_every_reference_is_a_row_to_learn_from() -> None:
    data: Rows = [
        {"facts": "a", "text": "one", "all": ["one", "two"]},
        {"facts": "b", "text": "three", "all": np.array(["four"])},
        {"facts": "c", "text": "five", "all": []},
    ]
    frame = clean(data, new_generation(references="all"))
    assert frame.to_numpy().tolist() == [["a", "one"], ["a", "two"], ["b", "four"], ["c", "five"]]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([{"facts": "a"}], "facts, split 'train': has no column 'text'"),
        (rows(("a", "b"), (" ", "b")), "split 'train', row 2: facts = ' '; must be a text that is not empty"),
        (rows(("a", "b"), ([], "b")), r"row 2: facts = \[\]; must be"),
        (rows(("a", "b"), ("c", "")), r"row 2: text = \[''\]; must be"),
        (rows(("a", 7)), r"row 1: text = \[7\]; must be"),
    ],
)
def test_rows_that_cannot_be_used_are_named(data: Rows, message: str) -> None:
    with pytest.raises(DataError, match=message):
        clean(data)


def test_empty_sources_are_left_out_on_demand_and_counted() -> None:
    task, data = new_generation(skip_empty=True), rows(("", "b"), ("a", "b"))
    assert clean(data, task)["source"].tolist() == ["a"]
    assert task.remarks(pd.DataFrame(data)) == ["left out: 1 row without a source, as task.skip_empty says"]
    with pytest.raises(DataError, match=r"row 1: facts = ''; .*task\.skip_empty=true"):
        clean(data)


SEVERAL: Rows = [
    {"facts": "a", "text1": "one", "text2": "two", "text3": "one"},
    {"facts": "b", "text1": "four", "text2": "", "text3": None},
]


def test_a_split_may_have_a_column_for_each_reference() -> None:
    task = new_generation(reference_columns=["text1", "text2", "text3"])
    frame = task.arrange(clean(SEVERAL, task), "test")
    assert frame["references"].tolist() == [["one", "two"], ["four"]]
    assert clean(rows(("a", "b")), task)["target"].tolist() == ["b"]
    both = [{**row, "text": text} for row, text in zip(SEVERAL, ("zero", "four"), strict=True)]
    assert task.arrange(clean(both, task), "test")["references"].tolist() == [["zero", "one", "two"], ["four"]]


def test_references_that_are_there_in_part_or_empty_are_refused() -> None:
    task = new_generation(reference_columns=["text1", "text2", "text3"])
    with pytest.raises(DataError, match=r"has no column 'text3'; .*it has: facts, text1, text2"):
        clean([{name: row[name] for name in ("facts", "text1", "text2")} for row in SEVERAL], task)
    with pytest.raises(DataError, match=r"row 3: text = \[\]; must be a text"):
        clean([*SEVERAL, {"facts": "c", "text1": "", "text2": "", "text3": ""}], task)


def test_a_target_may_be_a_list_of_references() -> None:
    frame = clean(rows(("a", ["one", "two"]), ("b", np.array(["three"], object)), ("c", "four")))
    assert frame.to_numpy().tolist() == [["a", "one"], ["a", "two"], ["b", "three"], ["c", "four"]]


def test_columns_that_look_like_references_and_are_not_read_are_named() -> None:
    frame = pd.DataFrame([{"facts": "a", "text": "b", "text1": "c", "text_2": "d", "textual": "e"}])
    (note,) = new_generation().remarks(frame)
    assert note.startswith("columns text1, text_2 are not read; ")
    assert note.endswith("task.reference_columns=[text1,text_2]")
    assert new_generation(reference_columns=["text1", "text_2"]).remarks(frame) == []


def test_dialogsums_original_test_file_has_three_references(tmp_path: Path) -> None:
    (tmp_path / "dialogsum").mkdir()
    row = {"fname": "test_1", "dialogue": "#Person1#: film", "topic": "film", "summary": "a b"}
    several = {"fname": "test_1", "dialogue": "c d", **{f"summary{n}": f"film {n}" for n in (1, 2, 3)}, "topic1": "c"}
    for split, data in (("train", row), ("validation", row), ("test", several)):
        (tmp_path / "dialogsum" / f"{split}.jsonl").write_text(json.dumps(data))
    task = validate(to_plain(compose_config("task=dialogsum", "model=gpt2", "method=ln"))).task
    loaded = load_data(task, new_byte_tokenizer(), tmp_path, tmp_path / "cache")
    assert loaded.frames["test"]["references"].tolist() == [["film 1", "film 2", "film 3"]]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"template": "no place"}, r"task.template = 'no place': must contain \{source\} once"),
        ({"metrics": ["blue"]}, r"task.metrics.0 = 'blue': .*'bleu'"),
        ({"metric": "chrf", "mode": "max"}, "metric = 'chrf' must be 'loss' or one of metrics = bleu, meteor"),
        ({"metric": "bleu"}, "mode = 'min' must be 'max' with metric = 'bleu'"),
        ({"search": {"num_beams": 0, "max_new_tokens": 1}}, "task.search.num_beams = 0"),
    ],
)
def test_bad_settings_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        new_generation(**changes)


def test_a_metric_that_cannot_be_computed_selects_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_metrics, "_has_wordnet", lambda: False)
    with pytest.raises(ConfigError, match=r"task.metric = 'meteor': needs NLTK's WordNet"):
        clean(rows(("a", "b")), new_generation(metric="meteor", mode="max"))


def test_only_the_target_and_the_end_are_learned() -> None:
    tokenizer, task = new_byte_tokenizer(), new_generation()
    examples = task.encode(clean(rows(("ab", "good"), ("c", "x"))), tokenizer)
    batch = examples.batch(np.array([0, 1]))
    assert tokenizer.batch_decode(batch["input_ids"]) == ["<ab> good<|endoftext|>", "<c> x" + 5 * "<|endoftext|>"]
    learned = [row[row != IGNORED] for row in batch["labels"]]
    assert tokenizer.batch_decode(learned) == [" good<|endoftext|>", " x<|endoftext|>"]
    assert torch.equal(batch["labels"][0, 4:], batch["input_ids"][0, 4:])


def test_what_is_too_long_loses_its_end_and_the_prompt_stays_whole() -> None:
    tokenizer, task = new_byte_tokenizer(), new_generation(max_source_length=5, max_target_length=4)
    frame = clean(rows(("12345", "good"), ("12", "go")))
    examples = task.encode(frame, tokenizer)
    batch = examples.batch(np.array([0, 1]))
    assert tokenizer.batch_decode(batch["input_ids"]) == ["<123> goo", "<12> go<|endoftext|>" + "<|endoftext|>"]
    assert task.warnings(frame, examples) == [
        "task.max_source_length = 5 cuts off 1 of 2 rows",
        "task.max_target_length = 4 cuts off 1 of 2 rows",
    ]
    with pytest.raises(ConfigError, match=r"task.max_source_length = 2: must be more than the \d tokens of"):
        new_generation(max_source_length=2).encode(frame, tokenizer)


def test_a_template_that_ends_in_white_space_joins_the_target_itself() -> None:
    tokenizer = new_byte_tokenizer()
    examples = new_generation(template="{source}\n").encode(clean(rows(("a", "b"))), tokenizer)
    assert tokenizer.decode(examples.tokens) == "a\nb<|endoftext|>"


def test_a_tokenizer_without_end_token_is_refused() -> None:
    with pytest.raises(DataError, match=r"^model.source = .*has no end-of-text token.* write its eos_token"):
        new_generation().encode(clean(rows(("a", "b"))), new_tokenizer())


def test_the_score_weighs_tokens_not_rows() -> None:
    predictions = [{"nll": 6.0, "tokens": 3}, {"nll": 1.0, "tokens": 1}]
    assert new_generation().score(predictions) == {"loss": 7 / 4}


@pytest.mark.parametrize(
    ("metric", "role", "merged"),
    [
        ("loss", "train", False),
        ("loss", "validation", False),
        ("loss", "test", True),
        ("bleu", "train", False),
        ("bleu", "validation", True),
        ("bleu", "test", True),
    ],
)
def test_a_source_is_generated_for_once_and_has_all_its_references(metric: str, role: str, merged: bool) -> None:
    task = new_generation(metric=metric, mode="min" if metric == "loss" else "max")
    frame = clean(rows(("b", "one"), ("a", "two"), ("b", "three")))
    arranged = task.arrange(frame, role)
    assert arranged["source"].tolist() == (["b", "a"] if merged else ["b", "a", "b"])
    assert arranged["target"].tolist() == (["one", "two"] if merged else ["one", "two", "three"])
    assert not merged or arranged["references"].tolist() == [["one", "three"], ["two"]]


def test_generated_ids_end_at_the_end_token() -> None:
    tokenizer = new_byte_tokenizer()
    examples = new_generation().encode(clean(rows(("a", "b"))), tokenizer)
    end = tokenizer.eos_token_id
    assert examples.text(np.array([*tokenizer(" Léo \n")["input_ids"], end, *tokenizer("x")["input_ids"]])) == "Léo"
    assert examples.text(np.array(tokenizer(" a")["input_ids"])) == "a"
    assert examples.text(np.array([end, end])) == ""


def test_predictions_hold_texts_and_what_the_score_needs() -> None:
    task, tokenizer = new_generation(), new_byte_tokenizer()
    frame = task.arrange(clean(rows(("a", "the cat sat there"), ("a", "no"))), "test")
    examples = task.encode(frame, tokenizer)
    ids = np.array(tokenizer(" the cat sat there<|endoftext|>")["input_ids"], np.float32)
    outputs = [{"nll": np.array(3.0), "tokens": np.array(2.0), "generated": ids}]
    predictions = task.predictions(outputs, frame, examples)
    assert (
        json.loads(json.dumps(predictions))
        == predictions
        == [
            {
                "input": {"source": "a"},
                "generated": "the cat sat there",
                "references": ["the cat sat there", "no"],
                "nll": 3.0,
                "tokens": 2,
            }
        ]
    )
    scores = task.score(predictions)
    assert (scores["loss"], scores["bleu"]) == pytest.approx((1.5, 100))
    assert task.readable(predictions[0]) == "the cat sat there"


def test_new_sources_are_asked_without_targets() -> None:
    task, tokenizer = new_generation(), new_byte_tokenizer()
    frame = task.unlabelled(["a", "b"])
    examples = task.encode(frame, tokenizer)
    assert tokenizer.decode(examples.tokens) == "<a><b>"
    assert set(examples.labels) == {IGNORED}
    with pytest.raises(DataError, match="text 2 = ' ': must be a text"):
        task.unlabelled(["a", " "])


def test_the_language_model_has_the_head() -> None:
    assert not list(new_generation().head(8, "mean", 0.0).parameters())
    assert isinstance(new_generation().head(8, "mean", 0.0), NextTokenLogits)


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with a data set `e2e_nlg`: two texts for each of a few sources."""
    root = tmp_path_factory.mktemp("facts")
    (root / "e2e_nlg").mkdir()
    for split, names in (("train", "abcdeabcde"), ("validation", "ab"), ("test", "cde")):
        data = [
            {"meaning_representation": name, "human_reference": text}
            for name in names
            for text in (f"a good film {name}", f"a bad film {name}")
        ]
        (root / "e2e_nlg" / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in data))
    return root


@pytest.fixture
def configure(sources: dict[str, Path], facts: Path, tmp_path: Path) -> Any:
    """Makes configurations of short runs that generate."""

    def configure(*more: str, architecture: str = "gpt2") -> RunConfig:
        places = [f"model.source={sources[architecture]}", f"data_root={facts}", f"cache_dir={tmp_path / 'cache'}"]
        task = ["task=e2e_nlg", "task.max_source_length=16", "task.max_target_length=8"]
        search = ["task.search.max_new_tokens=8", "task.search.num_beams=2"]
        names = ["model.name=tiny", f"runs_dir={tmp_path / 'runs'}", "method=full"]
        return validate(to_plain(compose_config(*places, *task, *search, *names, *runs.SHORT, *more)))

    return configure


def test_a_run_learns_to_generate_and_is_loaded_again(configure: Any) -> None:
    config = configure("trainer.max_epochs=20")
    record = run(config)
    assert record.data.rows == {"train": 20, "validation": 4, "test": 3}
    assert record.selection.metric == "loss"
    assert record.metrics["validation"].keys() == {"loss"}
    assert record.metrics["test"].keys() | record.missing.keys() == {
        "loss",
        "bleu",
        "nist",
        "meteor",
        "rougeL",
        "cider",
    }
    assert record.metrics["test"]["rougeL"] > 0.7
    lines = [json.loads(line) for line in (run_dir(config) / PREDICTIONS).read_text().splitlines()]
    assert [line["input"]["source"] for line in lines] == ["c", "d", "e"]
    assert lines[0]["references"] == ["a good film c", "a bad film c"]
    tuned = lnbench.load(run_dir(config))
    again = tuned.predict([line["input"]["source"] for line in lines])
    assert [row["generated"] for row in again] == [line["generated"] for line in lines]
    assert again[0].keys() == {"input", "generated"}


def test_head_leaves_a_language_model_untuned(configure: Any) -> None:
    config = configure("method=head")
    record = run(config)
    assert (record.parameters.trained, record.parameters.head, record.cost.steps) == (0, 0, 0)
    assert record.metrics["test"]["loss"] == pytest.approx(math.log(VOCABULARY), abs=2)
    assert len(lnbench.load(run_dir(config)).predict(["c"])) == 1


def test_a_text_metric_selects_the_checkpoint_on_demand(configure: Any) -> None:
    record = run(configure("task.metric=bleu", "task.mode=max"))
    assert record.score == record.metrics["validation"]["bleu"]
    assert record.data.rows == {"train": 20, "validation": 2, "test": 3}


def test_an_encoder_is_refused_before_anything_is_read(configure: Any, tmp_path: Path) -> None:
    config = configure(architecture="bert")
    with pytest.raises(ConfigError, match=r"generates text, and the architecture 'bert' does not; .* model=.*gpt2"):
        run(config)
    assert not (tmp_path / "cache").exists()
    with pytest.raises(ConfigError, match="architecture 'bert' does not"):
        build_skeleton(config)


@pytest.mark.parametrize(
    ("model", "size"), [("gpt2", 124_439_808), ("pythia_160m", 162_322_944), ("opt_350m", 331_196_416)]
)
def test_a_tied_output_layer_counts_once(model: str, size: int) -> None:
    config = validate(to_plain(compose_config(f"model={model}", "task=e2e_nlg", "method=full")))
    count = count_parameters(build_skeleton(config))
    assert (count.backbone, count.trained, count.head) == (size, size, 0)


@pytest.mark.parametrize("drop", [True, False])
def test_training_rows_that_are_tested_are_left_out_on_demand(write_root: Writer, tmp_path: Path, drop: bool) -> None:
    root = write_root(
        "facts",
        train=rows(("a", "x"), ("A ", "y"), ("b", "z")),
        validation=rows(("a", "x")),
        test=rows(("c", "x"), ("a", "y")),
    )
    task = new_generation(splits={"validation": "validation", "test": "test", "drop_overlap": drop})
    loaded = load_data(task, new_byte_tokenizer(), root, tmp_path)
    assert loaded.frames["train"]["source"].tolist() == (["b"] if drop else ["a", "A ", "b"])
    assert loaded.overlap["train/test"] == 1
    assert loaded.warnings["train"] == (["left out: 2 rows whose text the test split has too"] if drop else [])


def test_tokens_from_the_cache_can_be_turned_into_text(write_root: Writer, tmp_path: Path) -> None:
    root = write_root("facts", **dict.fromkeys(("train", "validation", "test"), rows(("a", "x"))))
    for _ in range(2):
        loaded = load_data(new_generation(), new_byte_tokenizer(), root, tmp_path / "cache")
        assert loaded.test.text(loaded.test.tokens.astype(np.int64)) == "<a> x"


@pytest.mark.shared_data
@pytest.mark.parametrize(
    ("name", "sizes", "references", "overlap"),
    [
        ("e2e_nlg", {"train": 42_061, "validation": 4_672, "test": 630}, 4_693, 0),
        ("web_nlg", {"train": 18_102, "validation": 2_268, "test": 1_862}, 4_928, 24),
        ("samsum", {"train": 14_689, "validation": 818, "test": 819}, 819, 42),
    ],
)
def test_local_copies_of_public_data_load(
    tmp_path: Path, name: str, sizes: dict[str, int], references: int, overlap: int
) -> None:
    task = validate(to_plain(compose_config(f"task={name}", "model=gpt2", "method=ln"))).task
    loaded = load_data(task, new_tokenizer(special=False, pad=False), Path(os.environ["LNBENCH_DATA_ROOT"]), tmp_path)
    assert loaded.sizes == sizes
    assert sum(map(len, loaded.frames["test"]["references"])) == references
    assert loaded.overlap["train/test"] == overlap
