"""Scripts that judge learning rates, on tiny models."""

import json
import math
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from lnbench.config.compose import compose_config, to_plain
from lnbench.config.run import validate
from lnbench.core.config_folders import config_dir
from lnbench.records.files import RECORD
from lnbench.training.device import computes_bf16
from scripts import compare_probe, tune_rates
from scripts.compare_probe import Comparison, against
from scripts.rates.acceptability import SIZES, write_acceptability
from scripts.rates.choice import Trial, best_factors, mean_shares, shipped_rate, write_rate, written
from scripts.rates.trials import Budget, at_factor, methods, together
from tests import runs

NEEDS_BF16 = pytest.mark.skipif(not computes_bf16("cpu"), reason="the processor does not multiply bf16")
SMALL = ("--batch-size", "16", "--rows", "32", "--seeds", "0")


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    """A copy of the shipped configurations."""
    return Path(shutil.copytree(config_dir(), tmp_path / "conf"))


@pytest.fixture
def tiny_overrides(sources: dict[str, Path], data_root: Path, tmp_path: Path) -> list[str]:
    """For runs on a tiny model and the small data sets."""
    given = runs.overrides(sources["bert"], data_root, tmp_path)
    return [one for one in given if one.startswith(("model.", "data_root", "cache_dir", "task.max_length"))]


def trials(gains: dict[str, list[float | None]], method: str = "ln", task: str = "one") -> list[Trial]:
    """Of the factors 0.3, 1 and 3, on tasks by name."""
    return [
        Trial(method, task, factor, gain)
        for task, by_factor in gains.items()
        for factor, gain in zip((0.3, 1.0, 3.0), by_factor, strict=True)
    ]


def test_tasks_count_alike_whatever_their_unit() -> None:
    some = trials({"accuracy": [0.10, 0.30, 0.20], "bleu": [10.0, 20.0, 40.0]})
    assert mean_shares(some)["ln"] == pytest.approx({0.3: (1 / 3 + 0.25) / 2, 1.0: 0.75, 3.0: (2 / 3 + 1) / 2})
    assert best_factors(some) == {"ln": 3.0}


def test_a_failed_run_has_gained_nothing_and_equal_rates_leave_the_shipped_one() -> None:
    assert best_factors(trials({"one": [0.2, 0.2, None]})) == {"ln": 1.0}
    assert best_factors(trials({"one": [None, None, None]})) == {"ln": 1.0}
    assert best_factors(trials({"one": [-0.1, -0.2, 0.1]})) == {"ln": 3.0}
    assert best_factors(trials({"one": [0.1, 0.199, 0.2]})) == {"ln": 1.0}


@pytest.mark.parametrize(
    ("rate", "text"), [(1e-3, "1e-3"), (4e-4 * 3, "1.2e-3"), (5e-5 * 0.3, "1.5e-5"), (0.1, "1e-1")]
)
def test_rates_are_written_as_in_the_shipped_files(rate: float, text: str) -> None:
    assert written(rate) == text


@pytest.mark.parametrize("method", methods())
def test_a_new_rate_changes_nothing_else_of_a_file(conf: Path, method: str) -> None:
    write_rate(conf, method, 0.0123)
    assert shipped_rate(conf, method) == 0.012
    changed = [
        (before, after)
        for file in sorted(conf.rglob("*.yaml"))
        for before, after in zip(
            (config_dir() / file.relative_to(conf)).read_text().splitlines(), file.read_text().splitlines(), strict=True
        )
        if before != after
    ]
    ((before, after),) = changed
    assert after == re.sub(r"^lr: \S+", "lr: 1.2e-2", before)


def test_rates_are_searched_once_and_written(
    conf: Path,
    tiny_overrides: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    monkeypatch.setattr(tune_rates, "config_dir", lambda: conf)
    command = ["tune_rates", "--out", str(out), "--methods", "head", "ln", "--tasks", "sst2", "--steps", "6", *SMALL]
    command += ["--factors", "0.01", "10", "--overrides", *tiny_overrides]
    monkeypatch.setattr(sys, "argv", command)
    tune_rates.main()
    known = json.loads((out / tune_rates.FILE).read_text())
    assert known["rates"] == {method: shipped_rate(config_dir(), method) for method in ("head", "ln")}
    assert [(one["method"], one["factor"]) for one in known["trials"]] == [
        ("head", 0.01),
        ("head", 10.0),
        ("ln", 0.01),
        ("ln", 10.0),
    ]
    records = {file: file.read_bytes() for file in out.rglob(RECORD)}
    assert len(records) == 4
    configs = [json.loads(content)["config"] for content in records.values()]
    for method in ("head", "ln"):
        assert {config["trainer"]["lr_factor"] for config in configs if method in config["method"]} == {0.01, 10.0}
    assert not any(config["test"] for config in configs)
    monkeypatch.setattr(sys, "argv", [*command[:1], "--write", *command[1:]])
    tune_rates.main()
    assert {file: file.read_bytes() for file in out.rglob(RECORD)} == records
    for method in ("head", "ln"):
        assert written(shipped_rate(conf, method)) == known["chosen"][method]
    assert "method, best rate" in capsys.readouterr().out


@pytest.mark.parametrize("method", methods())
def test_every_method_can_be_searched_at_its_own_rate(tiny_overrides: list[str], tmp_path: Path, method: str) -> None:
    budget, shipped = Budget(tmp_path, 6, 4, 8, tiny_overrides), shipped_rate(config_dir(), method)
    config = budget.configure(together(method), "sst2", 0, at_factor(method, shipped, 3.0))
    searched, others = config.method[method], [part for name, part in config.method.items() if name != method]
    assert searched.lr * config.trainer.lr_factor == pytest.approx(3 * shipped)
    assert [part.lr * config.trainer.lr_factor for part in others] == [
        shipped_rate(config_dir(), name) for name in sorted(config.method) if name != method
    ]


def test_a_sentence_of_the_acceptability_task_is_whole_or_has_two_words_swapped(tmp_path: Path) -> None:
    (tmp_path / "sst2").mkdir()
    sentences = [f"one two three four five {number}" for number in range(sum(SIZES.values()) + 9)]
    pd.DataFrame({"sentence": [*sentences, "too short"]}).to_json(
        tmp_path / "sst2" / "train.jsonl", orient="records", lines=True
    )
    chosen = write_acceptability(tmp_path / "made", tmp_path)
    splits = {split: pd.read_csv(tmp_path / "made" / f"{split}.csv") for split in SIZES}
    assert {split: len(rows) for split, rows in splits.items()} == SIZES
    rows = pd.concat(splits.values())
    wrong = rows[rows["label"] == 0]["sentence"].str.split()
    assert 0.25 < len(wrong) / len(rows) < 0.35
    assert set(rows[rows["label"] == 1]["sentence"]) < set(sentences)
    assert not rows["sentence"].str.split().map(sorted).map(tuple).duplicated().any()
    for words in wrong.head(50):
        whole = f"one two three four five {next(word for word in words if word.isdigit())}".split()
        moved = [place for place, (one, other) in enumerate(zip(words, whole, strict=True)) if one != other]
        assert len(moved) == 2
        assert moved[1] == moved[0] + 1
    assert "task.metric=mcc" in chosen


@pytest.mark.parametrize(
    ("task", "precision"),
    [("sst2", ()), pytest.param("mrpc", ("trainer.precision=bf16",), marks=NEEDS_BF16)],
)
def test_methods_are_compared_with_the_linear_probe(
    task: str,
    precision: tuple[str, ...],
    tiny_overrides: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    command = ["compare_probe", "--out", str(out), "--methods", "head", "--tasks", task, "--steps", "150", *SMALL]
    monkeypatch.setattr(sys, "argv", [*command, "--overrides", *tiny_overrides, "method.head.lr=0.05", *precision])
    compare_probe.main()
    (compared,) = json.loads((out / compare_probe.FILE).read_text())
    assert compared["task"] == task
    head, shown = compared["methods"]["head"], capsys.readouterr().out
    assert head["difference"] == pytest.approx(head["score"] - compared["probe"], abs=1e-12)
    assert head["low"] <= head["difference"] <= head["high"]
    assert f"{task}, accuracy on the test split; linear probe {compared['probe']:.3f}" in shown
    assert ("below the probe" in shown) == (head["high"] < 0)
    if task == "sst2":
        assert compared["probe"] > 0.8
        assert head["score"] > compared["probe"] - 0.1


def test_a_method_is_below_the_probe_only_beyond_the_chance_of_the_rows() -> None:
    """The probe has 320 of 400 rows right. 40 lost rows decide; 9 lost and 7 won ones do not."""
    task = validate(to_plain(compose_config("task=sst2", "method=head"))).task

    def rows(lost: int, won: int = 0) -> list[dict[str, Any]]:
        names = ("negative", "positive")
        return [{"label": names[lost <= place < 320 + won], "reference": "positive"} for place in range(400)]

    few = against(task, rows(0), [rows(9, 7), rows(9, 7)])
    assert (few.score, few.difference) == pytest.approx((0.795, -0.005))
    assert few.low < few.difference < 0 < few.high
    many = against(task, rows(0), [rows(40)])
    chance = 1.96 * math.sqrt(0.1 * 0.9 / 400)
    assert (many.low, many.high) == pytest.approx((-0.1 - chance, -0.1 + chance), abs=0.006)
    assert Comparison("sst2", "accuracy", 0.8, {"few": few, "many": many, "failed": None}).losers == ["many", "failed"]


def test_a_task_without_a_probe_is_told(
    tiny_overrides: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["compare_probe", "--out", str(tmp_path), "--tasks", "acceptability", *SMALL]
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(SystemExit, match="is made of SST-2; add data_root=FOLDER"):
        compare_probe.main()
