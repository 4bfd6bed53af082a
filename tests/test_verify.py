"""Published runs are done again, and a changed digit is found."""

import gzip
import json
import os
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import torch

from lnbench.core.sealed import SEAL, sealed
from lnbench.records.files import METRICS
from lnbench.records.identity import id_of_saved
from lnbench.records.packed import SUFFIX
from lnbench.run.comparison import TOLERANCE
from lnbench.run.lifecycle import run
from lnbench.submit import submit
from tests import runs
from tests.commands import Commands, Done
from tests.conftest import Configure

Falsify = Callable[[dict[str, Any]], object]


@pytest.fixture(scope="module")
def original(sources: dict[str, Path], data_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A packed file with one run."""
    folder = tmp_path_factory.mktemp("original")
    run(runs.configure(sources["bert"], data_root, folder / "runs"))
    submit(folder / "runs", folder / "results" / "all", [])
    return folder / "results" / f"all{SUFFIX}"


@pytest.fixture(scope="module")
def replays(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of replays, of which each is done once."""
    return tmp_path_factory.mktemp("replays")


@pytest.fixture
def published(original: Path, tmp_path: Path) -> Path:
    """A copy of the packed file."""
    return Path(shutil.copy(original, tmp_path / original.name))


@pytest.fixture
def verify(sources: dict[str, Path], data_root: Path, commands: Commands, replays: Path) -> Callable[..., Done]:
    """The command, with the places of the tiny model and of its data."""
    places = [f"data_root={data_root}", f"model.source={sources['bert']}"]
    return lambda *words: commands.verify(*words, *places, *([] if "--out" in words else ["--out", replays]))


def falsify(path: Path, change: Falsify) -> None:
    """Changes the one line of a packed file, and its checksum with it."""
    line = json.loads(gzip.decompress(path.read_bytes()))
    del line[SEAL]
    change(line)
    path.write_bytes(gzip.compress(f"{json.dumps(sealed(line))}\n".encode()))


def set_in(*keys: str, value: Any) -> Falsify:
    def change(line: dict[str, Any]) -> None:
        for key in keys[:-1]:
            line = line[key]
        line[keys[-1]] = value

    return change


def test_a_run_is_equal_to_the_last_bit_in_a_folder_of_its_own(
    published: Path, verify: Callable[..., Done], replays: Path
) -> None:
    done = verify(published)
    assert (done.code, done.err) == (0, ""), done.out
    lines = done.out.splitlines()
    assert lines[0] == "1 run agrees with itself, 0 do not"
    assert lines[1].startswith("equal to the last bit")
    assert lines[-1] == "1 of 1 runs replayed: 1 equal to the last bit"
    (record,) = replays.rglob("record.json")
    written = record.stat().st_mtime_ns
    assert verify(published).code == 0
    assert record.stat().st_mtime_ns == written, "a finished replay is not repeated"


def test_a_model_in_the_current_folder_has_another_place(
    published: Path, commands: Commands, sources: dict[str, Path], data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The published record has the last name of the model's folder, and the adapter file the whole."""
    monkeypatch.chdir(sources["bert"].parent)
    places = [f"data_root={data_root}", f"model.source={sources['bert'].name}"]
    done = commands.verify(published, *places, "--out", published.parent / "again")
    assert done.out.splitlines()[-1] == "1 of 1 runs replayed: 1 equal to the last bit", done.out


FOUND_AT_ONCE: dict[str, tuple[Falsify, str]] = {
    "a score": (set_in("record", "metrics", "test", "accuracy", value=0.9375), "test/accuracy = 0.9375 recorded, and"),
    "an answer": (lambda line: line["numbers"]["answer"].__setitem__(3, 1 - line["numbers"]["answer"][3]), "test/"),
    "a setting": (set_in("record", "config", "seed", value=1), "has the configuration of run"),
    "a step of the history": (
        lambda line: line.update(history=line["history"].replace("0.", "0.0", 1)),
        "history is not the metrics.csv",
    ),
    "a history without steps": (
        lambda line: line.update(
            history=(text := "step,loss\nlast,0.5\n"),
            record=line["record"] | {"files": line["record"]["files"] | {METRICS: sha256(text.encode()).hexdigest()}},
        ),
        "history is no table of numbers by step",
    ),
    "the selection": (set_in("record", "selection", "score", value=0.75001), "by which the checkpoint was selected"),
    "the selecting metric": (
        set_in("record", "selection", "metric", value="f2"),
        "validation/f2 = None is not the score",
    ),
    "a metric that a terminal acts on": (
        set_in("record", "selection", "metric", value="\x1b[2Jf"),
        "validation/\\x1b[2Jf = None is not the score",
    ),
    "all answers": (set_in("numbers", value={}), "does not have the answer and the reference of each"),
    "an answer that is no label": (set_in("numbers", "answer", value=[9] * 32), "its answers cannot be understood"),
}


@pytest.mark.parametrize("what", FOUND_AT_ONCE)
def test_what_contradicts_itself_is_found_without_a_replay(
    published: Path, verify: Callable[..., Done], tmp_path: Path, what: str
) -> None:
    change, told = FOUND_AT_ONCE[what]
    falsify(published, change)
    done = verify(published, "--out", tmp_path / "replays")
    assert done.code == 1
    assert told in done.out
    assert not (tmp_path / "replays").exists()


def whole_lie(line: dict[str, Any]) -> None:
    """Another learning rate, with the identity that belongs to it."""
    record = line["record"]
    record["config"]["trainer"]["lr"] = 0.0123
    record["id"] = id_of_saved(record["config"])


FOUND_BY_REPLAY: dict[str, tuple[Falsify, str]] = {
    "a shift": (lambda line: line["record"]["shift"][0].update(max_abs=0.5), "shift.layer 1 mha gain.max_abs = 0.5"),
    "a loss of the baseline": (
        set_in("record", "baseline", "test", "mcc", value=0.125),
        "baseline.test.mcc = 0.125 recorded, 0.0 replayed",
    ),
    "a setting and the identity": (whole_lie, " at step "),
}


@pytest.mark.parametrize("what", FOUND_BY_REPLAY)
def test_what_only_a_replay_shows_is_found_by_it(published: Path, verify: Callable[..., Done], what: str) -> None:
    change, told = FOUND_BY_REPLAY[what]
    falsify(published, change)
    done = verify(published)
    assert done.code == 1
    assert "1 run agrees with itself" in done.out
    assert "DIFFERENT" in done.out
    assert told in done.out


def test_a_damaged_line_is_wrong(published: Path, verify: Callable[..., Done]) -> None:
    text = gzip.decompress(published.read_bytes()).decode()
    published.write_bytes(gzip.compress(text.replace('"seed":0', '"seed":1').encode()))
    done = verify(published)
    assert done.code == 1
    assert "the checksum does not fit" in done.out


def test_elsewhere_a_small_difference_is_within_the_tolerance_and_a_large_one_is_not(
    published: Path, verify: Callable[..., Done]
) -> None:
    def moved(share: float) -> Falsify:
        def change(line: dict[str, Any]) -> None:
            line["record"]["hardware"]["cpu_capability"] = "VSX"
            line["record"]["metrics"]["validation"]["mcc"] += share

        return change

    falsify(published, moved(0.5 * TOLERANCE))
    done = verify(published)
    assert done.code == 0
    assert "equal within the tolerance" in done.out
    assert f"hardware cpu_capability: VSX, here {torch.backends.cpu.get_cpu_capability()}" in done.out
    falsify(published, moved(TOLERANCE))
    assert verify(published).code == 1


def test_the_first_steps_have_the_losses_of_the_whole_run(
    published: Path, verify: Callable[..., Done], tmp_path: Path
) -> None:
    done = verify(published, "--steps", 10, "--out", tmp_path / "replays")
    assert (done.code, done.out.splitlines()[-1]) == (
        0,
        "1 of 1 runs replayed (first 10 steps): 1 equal to the last bit",
    )
    (history,) = (tmp_path / "replays").rglob("metrics.csv")
    assert ",10," in history.read_text()
    falsify(published, whole_lie)
    done = verify(published, "--steps", 10, "--out", tmp_path / "replays")
    assert done.code == 1
    assert " at step " in done.out


def test_other_data_and_models_are_named_before_anything_runs(
    published: Path, data_root: Path, commands: Commands, tmp_path: Path
) -> None:
    other = tmp_path / "data"
    (other / "sst2").mkdir(parents=True)
    for file in (data_root / "sst2").iterdir():
        (other / "sst2" / file.name).write_bytes(file.read_bytes() + b"\n")
    done = commands.verify(published, f"data_root={other}", "--out", tmp_path / "replays")
    assert done.code == 2
    assert "nothing is replayed" in done.err
    assert "model tiny at bert is not found; recorded: " in done.err
    assert "task sst2, split train, has the content " in done.err
    assert not (tmp_path / "replays").exists()


def test_a_sample_is_drawn_by_its_seed_and_time_ends_it(
    configure: Configure, runs_dir: Path, verify: Callable[..., Done]
) -> None:
    for seed in range(3):
        run(configure(f"seed={seed}", "trainer.max_steps=2"))
    drawn = [verify(runs_dir, "--sample", 1, "--seed", seed).out.splitlines()[1] for seed in range(4)]
    assert len(set(drawn)) > 1
    assert verify(runs_dir, "--sample", 1, "--seed", 0).out.splitlines()[1] == drawn[0]
    assert "1 of 3 runs replayed" in verify(runs_dir, "--minutes", 0.0001).out.splitlines()[-1]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--steps", "5"], "--steps: '5': must be a whole number of at least 10"),
        (["--sample", "0"], "--sample: '0': must be a whole number of at least 1"),
        (["seed"], "seed: must be KEY=VALUE"),
        (["seed=1"], "seed = '1': must be one of data_root, model.source"),
    ],
)
def test_wrong_arguments_are_told(published: Path, commands: Commands, words: list[str], told: str) -> None:
    done = commands.verify(published, *words)
    assert done.code == 2
    assert told in done.err


def test_a_place_without_runs_is_told(commands: Commands, tmp_path: Path) -> None:
    assert "has no finished runs" in commands.verify(tmp_path).err
    assert "is no folder of results" in commands.verify(tmp_path / "none").err


@pytest.mark.slow
@pytest.mark.shared_data
def test_todays_code_takes_the_first_steps_of_published_runs(commands: Commands, tmp_path: Path) -> None:
    """Pretrained weights and texts of all lengths: on the CPU that made them, every bit is compared. All in fp32."""
    published = Path(__file__).parents[1] / "results" / f"mini_main_nlu{SUFFIX}"
    data = os.environ["LNBENCH_DATA_ROOT"]
    done = commands.verify(published, "--sample", "4", "--steps", "10", "--out", tmp_path, f"data_root={data}")
    assert done.code == 0, done.out
    assert "4 of 48 runs replayed (first 10 steps)" in done.out
