import copy
import json
import math
import os
import time
from pathlib import Path
from typing import Any

import pytest

from lnbench.config.run import set_value
from lnbench.records.files import CONFIG, RECORD
from lnbench.records.record import Record, SearchResult, Trial, write_record
from lnbench.records.setting import rates
from lnbench.records.shift import NormShift
from lnbench.report.load import COLUMNS, frame, hardware_of, load_runs, told
from tests.records.builders import new_record
from tests.report.builders import finished, folder_of, save


def row_of(**changes: Any) -> dict[str, Any]:
    [row] = frame([finished(**changes)]).to_dict("records")
    return {str(name): value for name, value in row.items()}


def test_a_row_has_the_numbers_of_its_record() -> None:
    row = row_of(method="ln", task="rte", seed=2, score=0.5)
    assert row["score"] == 0.5
    assert row["validation_score"] == 0.51
    assert (row["method"], row["variant"], row["task"], row["model"], row["seed"]) == ("ln", "ln", "rte", "minilm", 2)
    assert (row["trained"], row["head"], row["train_seconds"], row["steps"]) == (9_216, 770, 61.5, 1_234)
    assert (row["metric"], row["mode"], row["setting"], row["lr"]) == ("accuracy", "max", "", "0.003")
    assert (row["device"], row["hardware"]) == ("cpu", "some, 2 threads")


def test_without_records_the_columns_are_there() -> None:
    assert list(frame([]).columns) == COLUMNS


VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "ln": ("ln", {}),
    "ln[terms=bias]": ("ln", {"ln.terms": ["bias"]}),
    "ln[layers=4-6,norms=mha]": ("ln", {"ln.norms": ["mha"], "ln.layers": "4-6"}),
    "bitfit[components=query+norms]": ("bitfit", {"bitfit.components": ["query", "norms"]}),
    "ln+prefix[length=5]": ("prefix+ln", {"prefix.length": 5}),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_variant_says_what_is_not_as_shipped(variant: str) -> None:
    method, settings = VARIANTS[variant]
    assert row_of(method=method, settings=settings)["variant"] == variant


def test_a_part_that_is_not_shipped_shows_all_its_settings() -> None:
    parts = {"mine": {"_target_": "elsewhere.Mine", "lr": 0.1, "size": 3}}
    [row] = frame([new_record(method="mine", config={"method": parts})]).to_dict("records")
    assert (row["variant"], row["lr"]) == ("mine[size=3]", "0.1")


RATES: dict[str, dict[str, Any]] = {
    "0.003": {"method": "ln"},
    "ln 0.003, prefix 0.05": {"method": "ln+prefix"},
    "ln 0.03, prefix 0.5": {"method": "ln+prefix", "config": {"trainer.lr_factor": 10}},
    "0.03": {"method": "ln+prefix", "config": {"trainer.lr": 0.03}},
    "0.002": {"method": "ln", "settings": {"ln.lr": 0.002}},
}


@pytest.mark.parametrize("lr", RATES)
def test_learning_rates_stand_beside_the_variant_and_the_setting(lr: str) -> None:
    row = row_of(**RATES[lr])
    assert (row["lr"], row["variant"], row["setting"]) == (lr, RATES[lr]["method"], "")


def test_a_search_for_the_rate_is_one_rate_whatever_it_chose() -> None:
    runs = [
        finished(
            seed=seed,
            config={"search": "lr"},
            search=SearchResult(parameter="trainer.lr_factor", trials=[], chosen=chosen),
        )
        for seed, chosen in ((0, 0.3), (1, 3.0))
    ]
    rows = frame(runs)
    assert set(rows["lr"]) == {"searched"}
    assert set(rows["setting"]) == {""}


def test_a_setting_tells_what_differs_within_a_task_or_between_all_runs_of_a_model() -> None:
    runs = [
        finished(task="rte"),
        finished(task="rte", config={"task.max_length": 17}),
        finished(task="cb"),
        finished(task="cb", config={"trainer.grad_clip": "null"}),
    ]
    assert frame(runs)["setting"].tolist() == [
        "task.max_length=256, trainer.grad_clip=1.0",
        "task.max_length=17, trainer.grad_clip=1.0",
        "trainer.grad_clip=1.0",
        "trainer.grad_clip=null",
    ]


def test_an_experiments_limits_are_told_of_all_of_its_tasks() -> None:
    """So that they stay in one table, although another experiment has done only some of these tasks."""
    limits = [("sst2", 1000), ("cb", 1000), ("sst2", 500), ("rte", 200)]
    runs = [finished(task=task, config={"task": task, "task.splits.test_limit": limit}) for task, limit in limits]
    assert frame(runs)["setting"].tolist() == [*[f"task.splits.test_limit={limit}" for _, limit in limits[:3]], ""]


def test_models_that_are_trained_differently_are_not_told_apart_by_that() -> None:
    small, large = (
        finished(model=model, config={"model": model, "trainer.batch_size": size})
        for model, size in (("minilm", 8), ("bert_large", 16))
    )
    other = finished(model="bert_large", config={"model": "bert_large", "trainer.batch_size": 32})
    assert frame([small, large])["setting"].tolist() == ["", ""]
    assert frame([small, large, other])["setting"].tolist() == ["", "trainer.batch_size=16", "trainer.batch_size=32"]


def test_what_cannot_change_the_numbers_is_no_setting() -> None:
    runs = [finished(), finished(seed=1, config={"runs_dir": "elsewhere", "trainer.progress": "false"})]
    assert set(frame(runs)["setting"]) == {""}


def test_a_configuration_of_another_version_is_compared_as_it_is() -> None:
    runs = [
        new_record(seed=seed, config={"seed": seed, "colour": colour}) for seed, colour in ((0, "red"), (1, "blue"))
    ]
    assert frame(runs)["setting"].tolist() == ["colour=red", "colour=blue"]


def changed(record: Record, **settings: Any) -> Record:
    """A run with other settings, `__` in place of a dot, whether they are allowed or not."""
    config = copy.deepcopy(record.config)
    for name, value in settings.items():
        set_value(config, name.replace("__", "."), value)
    return record.model_copy(update={"config": config})


def of_own_data(folder: Path, file: str, content: str = "", **changes: Any) -> Record:
    """A run on a file of one's own, which is written; `content` tells it from others."""
    path = folder / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"text,label\n{content or file},good\nb,bad\n")
    own = {"task.path": path, "task.text": "text", "task.label": "label", "task.name": "films"}
    return finished(task="csv", config=own, **changes)


@pytest.mark.parametrize(
    ("files", "told"),
    [
        (["a/films.csv", "b/old.csv"], ["films.csv", "old.csv"]),
        (["a/films.csv", "b/films.csv"], ["{folder}/a/films.csv", "{folder}/b/films.csv"]),
    ],
)
def test_data_that_differ_are_told_by_their_file(tmp_path: Path, files: list[str], told: list[str]) -> None:
    runs = [of_own_data(tmp_path, file) for file in files]
    assert frame(runs)["setting"].tolist() == [f"task.path={one.format(folder=tmp_path)}" for one in told]


def test_a_copy_of_data_is_told_like_the_data_themselves(tmp_path: Path) -> None:
    runs = [of_own_data(tmp_path, file, content) for file, content in (("a.csv", "x"), ("b.csv", "x"), ("c.csv", "y"))]
    assert frame(runs)["setting"].tolist() == ["task.path=a.csv", "task.path=a.csv", "task.path=c.csv"]


def test_data_that_were_changed_in_their_place_are_told_by_eight_signs(tmp_path: Path) -> None:
    before = of_own_data(tmp_path, "a.csv")
    digest = before.config["task"]["content"]["train"].removeprefix("csv:")
    after = changed(before, task__content={"train": f"csv:{digest[:8]}{'0' * 56}"})
    shown = [f"task.content.train=csv:{one}" for one in ("01234567", "76543210")]
    digests = [f"csv:{one}" + "0" * 56 for one in ("01234567", "76543210")]
    runs = [changed(before, task__content={"train": one}) for one in digests]
    assert frame(runs)["setting"].tolist() == shown
    assert frame([before, after])["setting"].tolist() == [
        f"task.content.train={run.config['task']['content']['train']}" for run in (before, after)
    ], "eight signs do not tell them apart"


def test_data_of_another_root_are_told_by_it(tmp_path: Path) -> None:
    for root in ("old", "new"):
        (tmp_path / root / "sst2").mkdir(parents=True)
        for split in ("train", "validation", "test"):
            (tmp_path / root / "sst2" / f"{split}.csv").write_text(f"sentence,label\n{root} {split},1\n")
    runs = [finished(task="sst2", config={"data_root": tmp_path / root}) for root in ("old", "new")]
    assert frame(runs)["setting"].tolist() == ["data_root=old", "data_root=new"]


def test_models_of_one_name_are_told_by_their_folder(tmp_path: Path) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(name)
    runs = [finished(config={"model.source": tmp_path / name}) for name in ("first", "second")]
    assert frame(runs)["setting"].tolist() == ["model.source=first", "model.source=second"]


def test_commits_are_told_by_eight_signs() -> None:
    commits = ["0123456789abcdef" * 2 + "01234567", "f" * 40]
    runs = [changed(finished(), model__content=commit) for commit in commits]
    assert frame(runs)["setting"].tolist() == ["model.content=01234567", "model.content=ffffffff"]


@pytest.mark.parametrize("kind", ["mine", "elsewhere.Mine"])
def test_a_method_that_is_unknown_here_differs_in_nothing_else(kind: str) -> None:
    other = finished(seed=1, config={"runs_dir": "elsewhere", "data_root": "there"})
    unknown = changed(other, method={"mine": {"kind": kind, "lr": 0.1}})
    assert frame([finished(), unknown])["setting"].tolist() == ["", ""]
    larger = changed(unknown, trainer__batch_size=7)
    assert frame([finished(), larger])["setting"].tolist() == ["trainer.batch_size=32", "trainer.batch_size=7"]


def test_a_task_that_is_unknown_here_differs_in_what_it_is(tmp_path: Path) -> None:
    runs = [
        changed(of_own_data(tmp_path, file, "same", seed=seed), task__kind="mine")
        for seed, file in enumerate(("a.csv", "b.csv"))
    ]
    assert frame(runs)["setting"].tolist() == ["", ""]
    other = changed(runs[0], task__max_length=7)
    assert frame([*runs, other])["setting"].tolist() == [*["task.max_length=128"] * 2, "task.max_length=7"]


def test_the_number_of_layers_is_that_of_the_model() -> None:
    shift = [NormShift(layer=6, norm="ffn", term="gain", mean_abs=0.1, max_abs=0.2, relative=None)]
    runs = [finished("bitfit"), finished("ln", shift=shift), finished("ln", config={"model": "bert_large"})]
    assert frame(runs)["num_layers"].tolist() == [6, 6, 24]


def test_a_trial_of_a_search_is_no_result(tmp_path: Path) -> None:
    trial = finished(metrics={"validation": {"accuracy": 0.9}})
    save(finished(), trial, runs_dir=tmp_path)
    found = load_runs(tmp_path)
    assert (len(found.records), len(found.trials), found.problems) == (1, 1, [])


def test_a_test_score_that_is_missing_is_not_a_number() -> None:
    assert frame([finished(metrics={"validation": {}, "test": {}})])["score"].isna().all()


def test_what_is_not_finished_is_listed_and_breaks_nothing(tmp_path: Path) -> None:
    good, half, moved = finished(), finished(seed=1), finished(seed=2)
    save(good, half, runs_dir=tmp_path)
    path = folder_of(half, tmp_path) / RECORD
    path.write_text(path.read_text()[:100])
    write_record(moved, folder_of(moved, tmp_path).with_name("0" * 12))
    begun = folder_of(finished(seed=3), tmp_path)
    begun.mkdir()
    (begun / CONFIG).write_text(json.dumps(good.config))
    (tmp_path / "a file").write_text("")
    found = load_runs(tmp_path)
    assert found.records == [good]
    assert found.folders == {good.id: folder_of(good, tmp_path)}
    assert sorted(problem.state for problem in found.problems) == ["damaged", "damaged", "interrupted"]
    lines = [told(problem) for problem in found.problems]
    assert any(line.endswith(f"its record belongs to another run, {moved.id}") for line in lines)
    assert any(line == f"interrupted  {begun}" for line in lines)


def test_a_folder_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    found = load_runs(tmp_path / "nowhere")
    assert (found.records, found.problems) == ([], [])


def test_a_chosen_text_is_allowed() -> None:
    result = SearchResult(parameter="trainer.precision", trials=[Trial(value="fp32", id="0", score=1.0)], chosen="fp32")
    assert row_of(search=result)["lr"] == "0.003"


def test_runs_that_trained_together_are_on_hardware_of_their_own() -> None:
    shared = finished("ln", hardware={"cpu": "some", "threads": 2, "runs_together": 4, "precision": "32-true"})
    assert hardware_of(shared) == "some, 2 threads, 4 runs together, 32-true"


@pytest.fixture
def later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of its own, and a clock at which all records are old enough to be remembered."""
    monkeypatch.setenv("LNBENCH_CACHE", str(tmp_path / "cache"))
    then = time.time_ns() + 60 * 10**9
    monkeypatch.setattr("lnbench.records.remembered.time.time_ns", lambda: then)


@pytest.mark.usefixtures("later")
def test_records_that_are_known_to_be_intact_are_read_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shift = [NormShift(layer=1, norm="mha", term="gain", mean_abs=0.1, max_abs=1.0, relative=None)]
    trials = [Trial(value=value, id="0" * 12, score=None) for value in (1, 1.0, "one")]
    search = SearchResult(parameter="trainer.lr", trials=trials, chosen=1.0)
    metrics = {split: {"accuracy": score, "mcc": math.nan} for split, score in (("validation", 1.0), ("test", 1e-320))}
    records = [finished(seed=seed, shift=shift, search=search, metrics=metrics, git_commit="é") for seed in range(2)]
    save(*records, runs_dir=tmp_path / "runs")
    first = load_runs(tmp_path / "runs")
    monkeypatch.setattr("lnbench.core.sealed.read_json", pytest.fail)
    again = load_runs(tmp_path / "runs")
    assert [repr(one) for one in again.records] == [repr(one) for one in first.records]
    assert len(again.records) == 2


@pytest.mark.usefixtures("later")
@pytest.mark.parametrize("change", ["0.75", "0,75"])
def test_a_record_that_changed_is_checked_again(tmp_path: Path, change: str) -> None:
    record = finished(score=0.85)
    save(record, runs_dir=tmp_path)
    path = folder_of(record, tmp_path) / RECORD
    about = path.stat()
    assert load_runs(tmp_path).records == [record]
    time.sleep(0.02)
    path.write_text(path.read_text().replace("0.85", change))
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))
    loaded = load_runs(tmp_path)
    assert (loaded.records, [found.state for found in loaded.problems]) == ([], ["damaged"])


def test_what_records_have_in_common_is_in_memory_once(tmp_path: Path) -> None:
    save(finished(seed=0), finished(seed=1), finished(seed=1, config={"trainer.lr": 0.5}), runs_dir=tmp_path)
    one, other, third = sorted(load_runs(tmp_path).records, key=lambda record: (rates(record), record.seed))
    assert one.config["task"] is other.config["task"] is third.config["task"]
    assert one.config["trainer"] is other.config["trainer"] != third.config["trainer"]
    assert [record.config["seed"] for record in (one, other, third)] == [0, 1, 1]
