"""The model card that a run leaves."""

import ast
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard, ModelCardData

from lnbench.config.compose import compose_config, to_plain
from lnbench.config.run import RunConfig, validate
from lnbench.core.escape import cell, code, fenced
from lnbench.exchange.card import model_card, write_card
from lnbench.records.files import CARD
from lnbench.records.identity import run_dir
from lnbench.records.record import Parameters, Record, SearchResult, Trial, check_files
from lnbench.records.shift import NormShift
from lnbench.run.lifecycle import run
from lnbench.tasks.scores.metric import written
from tests.commands import words_of
from tests.conftest import Configure
from tests.records.builders import new_record

HOSTILE = "a|b`` <script>alert(1)</script>\n---\n# boo: [x](http://y) {{ 1 }} \u202e'\""


def composed(*overrides: str) -> RunConfig:
    return validate(to_plain(compose_config(*overrides)))


def record_of(config: RunConfig, **changes: Any) -> Record:
    named = {"method": config.method_name, "task": config.task.name, "model": config.model.name, "seed": config.seed}
    return new_record(**{**named, "config": config.to_dict(), **changes})


def read(record: Record, folder: Path) -> ModelCard:
    write_card(record, folder)
    card: ModelCard = ModelCard.load(folder / CARD)
    return card


def metadata(card: ModelCard) -> ModelCardData:
    assert isinstance(card.data, ModelCardData)
    return card.data


def results(card: ModelCard) -> dict[str | None, tuple[str, float]]:
    found = metadata(card).eval_results or []
    return {result.metric_name: (result.metric_type, result.metric_value) for result in found}


def test_the_metadata_are_those_of_the_run(tmp_path: Path) -> None:
    record = record_of(composed("method=ln+prefix", "task=rte", "model=bert_large"))
    data = metadata(read(record, tmp_path))
    assert data.base_model == "google-bert/bert-large-cased"
    assert data["base_model_relation"] == "adapter"
    assert data.library_name == "lnbench"
    assert data.license is None
    assert data.tags == ["lnbench", "parameter-efficient-tuning", "ln", "prefix", "classification"]
    assert data.datasets == ["nyu-mll/glue"]
    assert data.pipeline_tag == "text-classification"
    assert data.metrics == ["accuracy", "matthews_correlation"]
    assert data.eval_results
    first = data.eval_results[0]
    assert (first.task_type, first.dataset_type, first.dataset_name, first.dataset_config, first.dataset_split) == (
        "text-classification",
        "nyu-mll/glue",
        "rte",
        "rte",
        "validation",
    )
    assert (first.metric_type, first.metric_value) == ("accuracy", 2 / 3)


@pytest.mark.parametrize(
    ("overrides", "base", "relation"),
    [
        (["model=minilm"], "sentence-transformers/all-MiniLM-L6-v2", "adapter"),
        (["model=minilm", "model.source=package:mine/model"], None, None),
        (["model=gpt2", "model.source=gpt2"], "gpt2", "adapter"),
        (["model=gpt2", "method=full"], "openai-community/gpt2", "finetune"),
        (["model=gpt2", "model.source=/nowhere/gpt2"], None, None),
    ],
)
def test_the_base_model_is_told_only_where_it_is_known(
    tmp_path: Path, overrides: list[str], base: str | None, relation: str | None
) -> None:
    data = metadata(read(record_of(composed(*overrides)), tmp_path)).to_dict()
    assert (data.get("base_model"), data.get("base_model_relation")) == (base, relation)


def test_a_folder_with_the_name_of_a_hub_model_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    record = record_of(composed("model=gpt2"))
    assert metadata(read(record, tmp_path)).base_model == "openai-community/gpt2"
    (tmp_path / "openai-community" / "gpt2").mkdir(parents=True)
    assert metadata(read(record, tmp_path)).base_model is None


@pytest.mark.parametrize(
    ("overrides", "test", "pipeline", "tag", "expected"),
    [
        (
            ["task=stsb"],
            {"pearson": 0.5, "rmse": float("nan")},
            "text-classification",
            "regression",
            {"pearson": ("pearsonr", 0.5)},
        ),
        (
            ["task=conll2003", "model=bert_base"],
            {"f1": 0.25, "accuracy": 0.75},
            "token-classification",
            "named-entity-recognition",
            {"f1": ("f1", 0.25), "accuracy": ("accuracy", 0.75)},
        ),
        (["task=squad"], {"f1": 0.5}, "question-answering", "question-answering", {"f1": ("f1", 0.5)}),
        (
            ["task=e2e_nlg", "model=gpt2"],
            {"loss": 2.0, "bleu": 31.5, "rougeL": 0.4},
            "text-generation",
            "generation",
            {"loss": ("loss", 2.0), "bleu": ("sacrebleu", 31.5), "rougeL": ("rouge", 0.4)},
        ),
    ],
)
def test_every_family_has_its_metrics(
    tmp_path: Path, overrides: list[str], test: dict[str, float], pipeline: str, tag: str, expected: dict[str, Any]
) -> None:
    metrics = {"validation": {"loss": 1.5}, "test": test}
    missing = {"meteor": "needs a download"}
    card = read(record_of(composed(*overrides), metrics=metrics, baseline={}, missing=missing), tmp_path)
    assert (metadata(card).pipeline_tag, (metadata(card).tags or [])[-1]) == (pipeline, tag)
    assert results(card) == expected
    for title, value in written(test).items():
        assert re.search(rf"^\| {title} \| .* \| {re.escape(value)} \|  \|$", card.text, re.MULTILINE)
    assert "`meteor` is missing: `needs a download`." in card.text


@pytest.mark.parametrize(
    "overrides",
    [["task=sst2"], ["task=mrpc"], ["task=stsb"], ["task=conll2003"], ["task=squad"], ["task=dart", "model=gpt2"]],
)
def test_every_family_is_asked_as_the_card_says(tmp_path: Path, overrides: list[str]) -> None:
    config = composed(*overrides)
    text = read(record_of(config), tmp_path).text
    (line,) = re.findall(r"^python -m lnbench\.predict .*$", text, re.MULTILINE)
    assert len(config.task.unlabelled(words_of(line)[4:])) == 1
    (given,) = re.findall(r"^tuned\.predict\((.*)\)$", text, re.MULTILINE)
    assert len(config.task.unlabelled(ast.literal_eval(given))) == 1


def test_the_page_says_what_was_done(tmp_path: Path) -> None:
    trials = [Trial(value=0.3, id="a", score=0.7), Trial(value=10, id="b", score=None, problem="diverged")]
    shift = [
        NormShift(layer=1, norm="mha", term="gain", mean_abs=mean, max_abs=most, relative=None)
        for mean, most in ((0.1, 0.5), (0.2, 0.25))
    ]
    overlap = {"train/test": 1, "train/test premise": 3, "train/test:swapped": 2, "validation/test": 0}
    record = record_of(
        composed("method=lora", "task=rte", "model=bert_large", "search=lr", "trainer.accumulate=2"),
        data=new_record().data.model_copy(update={"overlap": overlap}),
        search=SearchResult(parameter="trainer.lr_factor", trials=trials, chosen=0.3),
        shift=shift,
        parameters=Parameters(
            backbone=45_344, trained=3_072, trained_percent=6.7748, inserted=3_072, by_part={"lora": 3_072}, head=66
        ),
    )
    text = read(record, tmp_path).text
    for said in (
        "# `lora` on `rte` with `bert_large`",
        "| accuracy | 75.00% | 66.67% | 50.00% |",
        "- `lora`: `lr=0.002`, `targets=",
        "3,072 parameters, 6.775% of the backbone's 45,344 (`lora` 3,072); the head's 66 are counted apart",
        "`trainer.lr_factor` = `0.3`, the best on the validation split of `0.3` (70.00%), `10` (failed)",
        "gains 0.15 on average, 0.5 at most\n",
        "1,234 steps of 64 rows",
        "62 s of training, 80 s in all, 1.50 GiB at most, on `some`",
        "- Rows: train 72, validation 24, test 32\n",
        "Overlap `train/test`: 1 row of the second split with an input of the first",
        "Overlap `train/test premise`: 3 rows of the second split with a value of the first in that column",
        "Overlap `train/test:swapped`: 2 rows of the second split with the texts of a pair of the first, swapped",
        "- Labels: `entailment`, `not_entailment`\n",
        f"`{'f' * 64}`",
        'lnbench.load("FOLDER")',
        "python -m lnbench.predict FOLDER",
        "--merged PLAIN",
        "--peft ADAPTER",
        "python 3.11.7\n",
    ):
        assert said in text


def test_a_run_that_is_no_better_than_its_baseline_says_so(tmp_path: Path) -> None:
    poor: dict[str, Any] = {"baseline": {"test": {"accuracy": 0.7}}, "baseline_name": "majority baseline"}
    text = read(record_of(composed("method=ln", "task=rte"), **poor), tmp_path).text
    assert "| metric | validation | test | test, majority baseline |" in text
    assert "**This run is no better than the majority baseline on test.**" in text
    better = {**poor, "baseline": {"test": {"accuracy": 0.5}}}
    assert "no better" not in read(record_of(composed("method=ln", "task=rte"), **better), tmp_path).text


@pytest.mark.parametrize(
    ("method", "inserted", "merged", "peft"),
    [("ln", 0, True, True), ("bitfit+ln", 0, True, False), ("ln+prefix", 4_224, False, False)],
)
def test_only_exports_that_work_are_offered(
    tmp_path: Path, method: str, inserted: int, merged: bool, peft: bool
) -> None:
    size = Parameters(backbone=9, trained=5_000, trained_percent=1.0, inserted=inserted, by_part={}, head=2)
    text = read(record_of(composed(f"method={method}"), parameters=size), tmp_path).text
    assert ("--merged" in text, "--peft" in text) == (merged, peft)


def test_its_command_does_the_same_run(tmp_path: Path) -> None:
    (tmp_path / "my films.csv").write_text("review,stars\n" + "good,5\nbad,1\n" * 20)
    overrides = ["method=ln+prefix", "method.ln.terms=[bias]", "method.prefix.lr=0.002", "seed=7", "search=lr"]
    own = ["task=csv", f"task.path='{tmp_path / 'my films.csv'}'", "task.text=review", "task.label=stars"]
    config = composed(*overrides, *own, "trainer=paper")
    text = read(record_of(config), tmp_path).text
    (line,) = re.findall(r"^python -m lnbench (.*)$", text, re.MULTILINE)
    assert composed(*shlex.split(line)).identity() == config.identity()
    assert f"`{config.task.content['train']}`" in text


def test_a_run_with_code_of_ones_own_is_shown_with_what_allows_it() -> None:
    config = composed("method=ln").to_dict() | {"plugins": ["my_methods"]}
    page = model_card(new_record(method="ln", task="tweets", model="minilm", config=config))
    (python, shell, again) = re.findall(r"```(?:python)?\n(.*?)```", page, re.DOTALL)
    assert "lnbench.allow_modules(['my_methods'])" in python
    assert [" --plugin my_methods" in line for line in shell.splitlines()] == [True, True]
    assert "plugins" not in again, "the shipped method needs none"


def test_data_of_ones_own_are_not_taken_for_the_hubs(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("sentence,label\n" + "good,positive\nbad,negative\n" * 20)
    record = record_of(composed("task=sst2", f"++task.path={tmp_path / 'mine.csv'}"))
    data = metadata(read(record, tmp_path))
    assert data.datasets is None
    assert {result.dataset_type for result in data.eval_results or []} == {"unknown"}


def test_a_hostile_text_stays_a_text(tmp_path: Path) -> None:
    raw = composed("method=ln", "task=sst2").to_dict()
    raw["task"] |= {"labels": [HOSTILE, "good"]}
    named = {"task": HOSTILE, "model": HOSTILE, "versions": {HOSTILE: HOSTILE}, "git_commit": HOSTILE}
    record = record_of(validate(raw), missing={"meteor": HOSTILE}, **named)
    card = read(record, tmp_path)
    assert {result.dataset_name for result in metadata(card).eval_results or []} == {HOSTILE}
    assert metadata(card).model_name == f"ln on {HOSTILE} with {HOSTILE}"
    text = re.sub(r"(?ms)^(`{3,})[a-z]*$.*?^\1$", "", card.text)
    assert not re.search(r"^(---|# boo.*)$", text, re.MULTILINE)
    outside = re.sub(r"(?s)(?<!`)(`+)(?!`).+?(?<!`)\1(?!`)", "", card.text)
    assert not re.search(r"(?<!\\)[<\[`]", outside)
    assert "\u202e" not in card.text
    assert len(re.findall(r"^#+ ", outside, re.MULTILINE)) == 6


def test_code_spans_and_blocks_end_where_the_text_does() -> None:
    assert code("a") == "`a`"
    assert code("a``b\n c") == "```a``b c```"
    assert code("`a") == "`` `a ``"
    assert code("") == "`  `"
    assert cell("a|b") == "`a\\|b`"
    assert fenced("a\n```\nb", "python") == "````python\na\n```\nb\n````"


def test_a_run_leaves_a_card_that_may_be_edited(configure: Configure) -> None:
    config = configure("trainer.max_steps=2")
    record = run(config)
    folder = run_dir(config)
    assert (folder / CARD).read_text() == model_card(record)
    card = ModelCard.load(folder / CARD)
    assert results(card)["accuracy"] == ("accuracy", record.metrics["test"]["accuracy"])
    assert metadata(card).base_model is None
    assert CARD not in record.files
    (folder / CARD).write_text("mine")
    check_files(record, folder)
    assert run(config) == record
    assert (folder / CARD).read_text() == "mine"


def test_a_run_without_a_test_leaves_no_card(configure: Configure) -> None:
    config = configure("trainer.max_steps=2", "test=false")
    record = run(config)
    assert not (run_dir(config) / CARD).exists()
    assert not re.search("model.(index|name)", model_card(record).partition("\n---\n")[0])
