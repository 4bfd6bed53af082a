"""What lnbench does for a Python program."""

import contextlib
import copy
import json
import logging
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra._internal.sources_registry import SourcesRegistry
from hydra.core.global_hydra import GlobalHydra

import lnbench
from lnbench.records.files import RECORD
from lnbench.records.identity import run_dir
from tests import runs
from tests.commands import Commands
from tests.conftest import Configure
from tests.report.builders import finished, folder_of, save
from tests.test_docs import blocks

SHORT = ("trainer.max_steps=2", "trainer.validate_every=null")


@pytest.fixture
def words(sources: dict[str, Path], data_root: Path, runs_dir: Path) -> list[str]:
    """Overrides of a short run."""
    return runs.overrides(sources["bert"], data_root, runs_dir, *SHORT)


def test_a_run_is_done_once_and_its_record_says_where_it_lies(words: list[str], configure: Configure) -> None:
    record = lnbench.run(*words, "seed=1")
    assert (record.method, record.task, record.seed) == ("ln", "sst2", 1)
    assert record.folder == run_dir(configure(*SHORT, "seed=1"))
    assert json.loads((record.folder / RECORD).read_text())["id"] == record.id
    assert lnbench.run(*words, "seed=1") == record
    [answer] = lnbench.load(record.folder).predict(["a good film"])
    assert answer["input"] == {"sentence": "a good film"}


def test_a_record_that_was_moved_says_where_it_lies_now(words: list[str], runs_dir: Path) -> None:
    record = lnbench.run(*words)
    moved = lnbench.run(*words, f"runs_dir={runs_dir.rename(runs_dir.with_name('moved'))}")
    assert moved.folder == runs_dir.with_name("moved") / record.folder.relative_to(runs_dir)
    assert moved.cost == record.cost


def test_a_program_keeps_its_own_hydra_and_its_random_numbers(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reader of files is Hydra's own, which a command of lnbench in this process may have replaced for good."""
    monkeypatch.setitem(SourcesRegistry.instance().types, FileConfigSource.scheme(), FileConfigSource)
    (tmp_path / "conf" / "trainer").mkdir(parents=True)
    (tmp_path / "conf" / "own.yaml").write_text("defaults: [trainer: one]")
    (tmp_path / "conf" / "trainer" / "one.yaml").write_text("max_steps: 5")
    with initialize_config_dir(str(tmp_path / "conf"), version_base="1.2", job_name="mine"):
        users, name = GlobalHydra.instance().hydra, compose("own", return_hydra_config=True).hydra.job.name
        torch.manual_seed(7)
        before = torch.get_rng_state()
        lnbench.run(*words)
        assert torch.equal(before, torch.get_rng_state())
        assert GlobalHydra.instance().hydra is users
        again = compose("own", return_hydra_config=True)
        assert (dict(again.trainer), again.hydra.job.name) == ({"max_steps": 5}, name)
    assert not GlobalHydra.instance().is_initialized()


def test_runs_of_several_threads_equal_those_of_one(words: list[str], runs_dir: Path) -> None:
    seeds = ["seed=1", "seed=2", "seed=3"]
    with ThreadPoolExecutor(len(seeds)) as pool:
        together = list(pool.map(lambda seed: lnbench.run(*words, seed), seeds))
    alone = [lnbench.run(*words, seed, f"runs_dir={runs_dir.with_name('alone')}") for seed in seeds]
    assert [record.files for record in together] == [record.files for record in alone]


def test_an_experiment_that_is_a_sweep_needs_a_value_for_each_setting(words: list[str], data_root: Path) -> None:
    sweep = "experiment=mini_main_nlu"
    told = "experiment=mini_main_nlu: is a sweep over {}, and this is one run; give a value for each, or type "
    with pytest.raises(lnbench.ConfigError, match=told.format("seed") + f"python -m lnbench {sweep}$"):
        lnbench.run(*words, sweep)
    with pytest.raises(lnbench.ConfigError, match=told.format("task, method, seed")):
        lnbench.run(sweep, f"data_root={data_root}")
    record = lnbench.run(*words, "trainer.precision=fp32", "search=none", sweep, "seed=2")
    assert (record.seed, record.config["task"]["splits"]["test_limit"]) == (2, 500)


MISTAKES = {
    "method=ln+prefx": lnbench.ConfigError,
    "method=ln,bitfit": lnbench.ConfigError,
    "method=full+ln": lnbench.ConfigError,
    "trainer.batch_size=0": lnbench.ConfigError,
    "model.name=${nowhere}": lnbench.ConfigError,
    "-m": lnbench.ConfigError,
    "plugins=[no_such_module]": lnbench.ConfigError,
    "data_root=/nowhere": lnbench.DataError,
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_an_exception_with_the_message_of_the_command(
    commands: Commands, words: list[str], mistake: str
) -> None:
    with pytest.raises(MISTAKES[mistake]) as caught:
        lnbench.run(*words, mistake)
    if mistake != "-m":
        assert commands.lnbench(*words, mistake).err.startswith(f"{caught.value}\n")


def test_a_run_that_failed_raises_what_the_command_says(
    commands: Commands, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def large(_: object) -> None:
        raise MemoryError("it is too large")

    with monkeypatch.context() as patch:
        patch.setattr("lnbench.run.execute.build_model", large)
        with pytest.raises(lnbench.RunFailed, match=r"^ln on sst2 with tiny, seed 0 failed \(out of memory\): Memory"):
            lnbench.run(*words)
    with pytest.raises(lnbench.RunFailed, match="retry_failed=true tries it again") as caught:
        lnbench.run(*words)
    assert commands.lnbench(*words).err == f"{caught.value}\n"
    assert lnbench.run(*words, "retry_failed=true").method == "ln"


@pytest.mark.parametrize("mistake", [["method=ln", "seed=1"], 3])
def test_an_override_that_is_no_text_is_refused(mistake: object) -> None:
    with pytest.raises(lnbench.ConfigError, match="is no override; each is a text of its own, such as 'method=ln'"):
        lnbench.run(mistake)  # type: ignore[arg-type]


def test_a_method_of_ones_own(words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python, (yaml,) = blocks("python")[0], blocks("yaml")
    (tmp_path / "my conf, 1" / "method").mkdir(parents=True)
    (tmp_path / "my conf, 1" / "method" / "linear_adapter.yaml").write_text(yaml)
    (tmp_path / "api_adapter.py").write_text(python)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("lnbench.core.registry._allowed", {})
    record = lnbench.run(*words, "method=linear_adapter", plugins=["api_adapter"], config_dir=tmp_path / "my conf, 1")
    assert set(record.parameters.by_part) == {"linear_adapter"}
    with pytest.raises(lnbench.ConfigError, match="config_dir = 'nowhere': there is no such folder"):
        lnbench.run(*words, config_dir="nowhere")


@pytest.mark.parametrize("name", lnbench._LAZY)
def test_every_name_is_there_at_first_use_and_afterwards(name: str) -> None:
    assert callable(getattr(lnbench, name))


def test_nothing_slow_is_imported_before_it_is_needed() -> None:
    code = """
import sys, lnbench
from lnbench import records, run, ConfigError
import lnbench.run.messages, lnbench.records.record
assert lnbench.run.messages is sys.modules["lnbench.run.messages"]
try:
    run("method=lm")
except ConfigError as error:
    print(error)
try:
    lnbench.records("nowhere")
except ConfigError as error:
    print(error)
assert not {"torch", "transformers", "pytorch_lightning", "datasets"} & set(sys.modules)
"""
    root = str(Path(lnbench.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": root}, text=True, capture_output=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    first, second = done.stdout.splitlines()
    assert first.startswith("method = 'lm': does not exist; available: ")
    assert second == "'nowhere': there is no such folder of runs"


def test_records_have_a_row_for_each_finished_run_with_all_its_scores(tmp_path: Path) -> None:
    one = finished("ln", "mrpc", seed=0, score=0.7, baseline={"test": {"accuracy": 0.6}})
    scores = {"validation": {"accuracy": 0.8, "f1": 0.7}, "test": {"accuracy": 0.75, "f1": 0.65}}
    two = finished("bitfit", "mrpc", seed=1, metrics=scores, versions={"torch": "2.13.0"})
    save(one, two, runs_dir=tmp_path)
    found = lnbench.records(tmp_path).set_index("id").to_dict("index")
    assert set(found) == {one.id, two.id}
    other, row = found[one.id], found[two.id]
    assert (row["method"], row["task"], row["model"], row["seed"]) == ("bitfit", "mrpc", "minilm", 1)
    names = ("validation/accuracy", "validation/f1", "test/accuracy", "test/f1")
    assert [row[name] for name in names] == [0.8, 0.7, 0.75, 0.65]
    assert (row["trained"], row["backbone"], row["train_seconds"], row["peak_memory_bytes"]) == (
        two.parameters.trained,
        two.parameters.backbone,
        two.cost.train_seconds,
        two.cost.peak_memory_bytes,
    )
    assert (row["protocol"], row["versions/torch"], row["folder"]) == (
        two.protocol,
        "2.13.0",
        str(folder_of(two, tmp_path)),
    )
    assert other["baseline/test/accuracy"] == 0.6
    assert pd.isna(other["test/f1"])
    assert pd.isna(row["baseline/test/accuracy"])


def dotted(found: pd.DataFrame) -> set[str]:
    return {name for name in map(str, found) if "." in name}


def test_settings_that_differ_have_columns_and_all_others_have_none(tmp_path: Path) -> None:
    save(
        finished("ln", "rte", settings={"ln.terms": ["bias"]}, config={"trainer.lr": 0.01}),
        finished("ln", "rte", settings={"ln.terms": ["bias"]}, config={"trainer.lr": 0.02, "runs_dir": "elsewhere"}),
        finished("ln+prefix", "rte", config={"trainer.lr": 0.02, "task.max_length": 64}),
        finished("bitfit", "cb", config={"trainer.lr": 0.02}),
        runs_dir=tmp_path,
    )
    found = lnbench.records(tmp_path)
    assert dotted(found) == {"trainer.lr", "method.ln.terms", "task.max_length"}
    assert found.groupby("method")["trainer.lr"].apply(sorted).to_dict() == {
        "bitfit": [0.02],
        "ln": [0.01, 0.02],
        "ln+prefix": [0.02],
    }
    terms = found.set_index("method")["method.ln.terms"]
    assert terms["ln"].tolist() == ['["bias"]'] * 2
    assert terms["ln+prefix"] == '["gain", "bias"]'
    assert pd.isna(terms["bitfit"])


def test_a_searched_setting_has_the_value_that_was_found(tmp_path: Path) -> None:
    for seed, factor in enumerate((1, 3)):
        save(finished(seed=seed, config={"search": "lr", "trainer.lr_factor": factor}), runs_dir=tmp_path)
    assert sorted(lnbench.records(tmp_path)["trainer.lr_factor"]) == [1, 3]


def test_a_run_without_a_test_has_a_row_without_test_scores(tmp_path: Path) -> None:
    trial = finished(metrics={"validation": {"accuracy": 0.9}}, config={"test": "false"})
    save(trial, finished(), runs_dir=tmp_path)
    found = lnbench.records(tmp_path).set_index("test")
    assert found["validation/accuracy"].to_dict() == {False: 0.9, True: 0.51}
    assert found["score"].isna().to_dict() == found["test/accuracy"].isna().to_dict() == {False: True, True: False}


def test_several_folders_are_read_together_and_no_run_counts_twice(tmp_path: Path) -> None:
    one, two = finished(seed=0), finished(seed=1)
    save(one, two, runs_dir=tmp_path / "a")
    save(two, runs_dir=tmp_path / "b")
    assert sorted(lnbench.records(tmp_path / "a", str(tmp_path / "b"))["seed"]) == [0, 1]


def test_what_is_damaged_is_told_and_what_is_not_there_is_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, bad = finished(seed=0), finished(seed=1)
    save(good, bad, runs_dir=tmp_path / "runs")
    path = folder_of(bad, tmp_path / "runs") / RECORD
    path.write_text(path.read_text()[:100])
    monkeypatch.chdir(tmp_path)
    with caplog.at_level(logging.WARNING):
        assert lnbench.records()["id"].tolist() == [good.id]
    [message] = caplog.messages
    assert message.startswith("damaged ")
    assert bad.id in message
    with pytest.raises(lnbench.ConfigError, match="'nowhere': there is no such folder of runs"):
        lnbench.records("nowhere")


def test_without_runs_the_frame_is_empty(tmp_path: Path) -> None:
    found = lnbench.records(tmp_path)
    assert len(found) == 0
    assert {"id", "method", "score"} <= set(found)


@pytest.fixture(scope="module")
def tuned(sources: dict[str, Path], data_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Any]:
    """Loads a run of a method."""
    folder = tmp_path_factory.mktemp("tuned")

    def load(method: str) -> Any:
        words = runs.overrides(sources["bert"], data_root, folder, *SHORT, f"method={method}")
        return lnbench.load(lnbench.run(*words).folder)

    return load


@pytest.mark.parametrize("method", ["ln", "loreft", "unipelt+lora+prefix"])
def test_threads_that_share_a_model_get_the_answers_of_one(tuned: Callable[[str], Any], method: str) -> None:
    model = tuned(method)
    texts = [" ".join(["good", "film", "a", "bad"][: 1 + number % 4] * (1 + number % 3)) for number in range(12)]
    alone = [model.predict([text]) for text in texts]
    inside = threading.Barrier(2)

    def meet(*_: object) -> None:
        """Holds a thread in the middle of the model until another one is there, too."""
        with contextlib.suppress(threading.BrokenBarrierError):
            inside.wait(timeout=0.05)

    block = model.model.backbone.get_submodule("encoder.layer.1")
    hook = block.register_forward_pre_hook(meet)
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda text: model.predict([text]), texts))
    hook.remove()
    assert together == alone


def test_a_copy_of_a_model_answers_alike(tuned: Callable[[str], Any]) -> None:
    model = tuned("ln")
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert other.predict(["a good film"]) == model.predict(["a good film"])


def test_a_model_that_is_in_training_answers_without_dropout(tuned: Callable[[str], Any]) -> None:
    model = tuned("ln")
    answers = model.predict(["a good film", "bad"])
    model.model.train()
    model.model.head.eval()
    modes = [module.training for module in model.model.modules()]
    assert model.predict(["a good film", "bad"]) == answers
    assert [module.training for module in model.model.modules()] == modes


def test_texts_come_in_any_kind_of_column(tuned: Callable[[str], Any]) -> None:
    model, texts = tuned("ln"), ["a good film", "bad"]
    frame = pd.DataFrame({"text": texts}, index=[5, 9])
    answers = model.predict(texts)
    for column in (frame["text"], np.array(texts), tuple(texts), iter(texts), frame[["text"]].to_numpy()):
        assert model.predict(column) == answers
    assert model.predict(frame["text"][:0]) == []


TEXTS: dict[str, tuple[object, str]] = {
    "one text": ("good", r"^texts = 'good': is one text; give a list of texts, such as \['good'\]$"),
    "a number": (["good", 3], "^text 2 = 3: must be a text, or a list of texts$"),
    "a missing value": (pd.Series(["good", None]), "^text 2 = "),
    "a pair with a number": ([("good", 3)], "^text 1 = .*: must be a text, or a list of texts$"),
    "a frame": (pd.DataFrame({"text": ["good"]}), r"^texts: is a DataFrame; give a list of texts, such as frame\["),
    "half a character": (["good", "\udcff"], "^text 2 = .*: has characters that are no Unicode$"),
}


@pytest.mark.parametrize("kind", TEXTS)
def test_what_is_no_list_of_texts_is_refused(tuned: Callable[[str], Any], kind: str) -> None:
    texts, message = TEXTS[kind]
    with pytest.raises(lnbench.DataError, match=message):
        tuned("ln").predict(texts)


@pytest.mark.parametrize("size", [0, -1, 1.5, "4"])
def test_a_batch_has_a_whole_number_of_texts(tuned: Callable[[str], Any], size: object) -> None:
    with pytest.raises(lnbench.ConfigError, match=r"^batch_size = .*: must be a whole number, at least 1, or None$"):
        tuned("ln").predict(["good"], batch_size=size)


@pytest.mark.parametrize("as_type", [str, Path])
def test_one_folder_is_no_list_of_folders(as_type: Callable[[str], str | Path]) -> None:
    with pytest.raises(lnbench.ConfigError, match=r"^run_dirs = 'runs/a': is one folder; give a list of folders"):
        lnbench.load_several(as_type("runs/a"))  # type: ignore[arg-type]
