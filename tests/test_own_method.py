"""A method of the user's own, in a folder outside lnbench: from the first run to the report."""

import importlib
import json
import re
import shlex
import sys
import time
from pathlib import Path

import pytest

import lnbench
from lnbench.config.compose import compose_config, to_plain
from lnbench.config.run import validate
from lnbench.core.errors import REFUSED
from lnbench.core.schema import ConfigError
from lnbench.records import variant
from lnbench.records.commands import command_lines, missing_runs
from lnbench.records.identity import run_id
from lnbench.records.listing import find_runs
from lnbench.report.load import frame, load_runs
from tests import runs
from tests.commands import Commands, words_of

METHOD = """
from lnbench.methods.ln import LayerNormTuning

class Mine(LayerNormTuning):
    kind = "mine"
    colour: str
"""
YAML = """
# @package method.mine
kind: mine
lr: 0.01
terms: [gain, bias]
norms: [mha, ffn]
layers: all
norm_reading: position
embedding_norm: false
final_norm: false
colour: red
""".lstrip()


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module of its own in each test, because Python imports one once."""
    monkeypatch.setattr("lnbench.core.registry._allowed", {})
    monkeypatch.setattr("lnbench.core.config_folders._own", {})
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    name = re.sub(r"\W", "_", f"own_{tmp_path.name}")
    Path(f"{name}.py").write_text(METHOD)
    Path("my conf/method").mkdir(parents=True)
    Path("my conf/method/mine.yaml").write_text(YAML)
    return name


def change(module: str, code: str) -> None:
    """Writes other code into a module, and imports it as a new process would."""
    Path(f"{module}.py").write_text(code)
    importlib.reload(sys.modules[module])


@pytest.fixture
def own(module: str) -> list[str]:
    """The options that make the method known to a command."""
    return ["--config-dir", "my conf", "--plugin", module]


@pytest.fixture
def words(module: str, sources: dict[str, Path], data_root: Path) -> list[str]:
    """The overrides of a run of the method."""
    whole = runs.overrides(sources["bert"], data_root, Path("runs"), "trainer.max_steps=2")
    kept = [one for one in whole if one not in ("method=ln", "trainer.lr=0.03")]
    return [*kept, "method=mine", f"plugins=[{module}]"]


def test_every_printed_command_finds_the_method(commands: Commands, words: list[str], own: list[str]) -> None:
    done = commands.lnbench("--config-dir", "my conf", *words)
    assert done.code == 0, done.err
    (found,) = find_runs(Path("runs"))
    assert found.record
    card = (found.folder / "README.md").read_text()
    (again,) = re.findall(r"^python -m lnbench .*", card, re.MULTILINE)
    assert run_id(validate(to_plain(compose_config(*words_of(again)[3:])))) == found.id

    said = commands.report("runs", *own).out
    assert "Is mine better than ln with tiny? No claim is about it." in said
    (question,) = re.findall(r"python -m (lnbench.decide .*)", said)
    done = commands.decide(*words_of(question)[1:], "--plan")
    assert done.code == 0, done.err
    assert "mine better than ln" in done.out

    left = commands.runs("--missing", *words, "seed=0,1", *own, "--json")
    assert left.code == 0, left.err
    (row,) = map(json.loads, left.out.splitlines())
    for elsewhere in (
        ["--missing", *own, *words, "--json", "seed=0,1"],
        [*words, "--missing", "seed=0,1", "--json", *own],
    ):
        assert json.loads(commands.runs(*elsewhere).out)["id"] == row["id"]
    second = validate(to_plain(compose_config(*words_of(row["command"])[3:])))
    assert (run_id(second), second.seed, second.config_dir) == (row["id"], 1, Path("my conf"))


def test_commands_for_other_methods_leave_the_module_out(commands: Commands, words: list[str], module: str) -> None:
    commands.lnbench("--config-dir", "my conf", *words)
    (found,) = find_runs(Path("runs"))
    assert found.record
    tasks = {found.record.task: found.record}
    (ours,) = command_lines(missing_runs("ln+mine", {}, tasks, [1], Path("runs")))
    assert ours.endswith(f" 'plugins=[{module}]' 'config_dir=my conf'")
    (theirs,) = command_lines(missing_runs("ln", {}, tasks, [1], Path("runs")))
    assert not {"plugins", "config_dir"} & {word.partition("=")[0] for word in shlex.split(theirs)}


def test_the_file_in_ones_folder_says_what_is_usual(
    commands: Commands, words: list[str], own: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    commands.lnbench("--config-dir", "my conf", *words, "method.mine.colour=blue")
    assert "Is mine better" not in commands.report("runs", *own).out, "only a changed one was run"
    commands.lnbench("--config-dir", "my conf", *words)
    assert set(frame(load_runs(Path("runs")).records)["variant"]) == {"mine", "mine[colour=blue]"}
    assert re.findall(r"mine\S*", commands.runs("runs", *own).out) == ["mine", "mine[colour=blue]"]
    monkeypatch.setattr("lnbench.core.config_folders._own", {})
    assert "mine[colour=red," in commands.runs("runs").out, "what is remembered is not from another folder"
    (listed,) = re.findall(r"mine\S*", commands.runs("runs", "method.mine.colour=red", *own).out)
    assert listed == "mine"
    claim = Path("claims/mine.yaml")
    claim.parent.mkdir()
    claim.write_text(
        "id: mine\ntext: Mine is better.\nwhere: here\n"
        "comparisons: [{left: mine, right: {method: mine, settings: {mine.colour: blue}}, left_is: better}]\n"
    )
    assert commands.report("runs", "--claims", "claims", *own).code == 0
    text = Path("runs/report/claims.md").read_text()
    assert re.search(r"mine\W+better than\W+mine\W+colour=blue", text)


def test_decide_plans_runs_of_the_method(commands: Commands, words: list[str], own: list[str]) -> None:
    shared = [word for word in words if not word.startswith(("method=", "task=", "plugins="))]
    done = commands.decide("mine better than ln", "--tasks", "sst2", "--plan", *shared, *own)
    assert done.code == 0, done.err
    assert "mine" in done.out


def test_changed_code_is_another_run(words: list[str], module: str, recwarn: pytest.WarningsRecorder) -> None:
    run = [*words, 'config_dir="my conf"']
    first = lnbench.run(*run)
    assert set(first.config["code"]) == {"method.mine"}
    assert lnbench.run(*run).id == first.id
    lnbench.load(first.folder)
    assert not recwarn

    change(module, f"{METHOD}\n# another line\n")
    with pytest.warns(UserWarning, match=r"the code of method\.mine has changed since the run"):
        lnbench.load(first.folder)
    time.sleep(1)  # records tell the time in seconds
    second = lnbench.run(*run)
    assert second.id != first.id
    table = frame(load_runs(Path("runs")).records).set_index("id")["variant"]
    assert table[second.id] == "mine", "claims are about the code as it is now"
    assert table[first.id] == f"mine[code={first.config['code']['method.mine'][:8]}]"
    assert lnbench.run(*run, "method=ln", "plugins=[]").config.get("code") is None


def test_code_that_is_changed_back_has_the_plain_name_again(
    words: list[str], module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = [*words, 'config_dir="my conf"']
    first = lnbench.run(*run)
    change(module, f"{METHOD}\n# another line\n")
    time.sleep(1)  # records tell the time in seconds
    second = lnbench.run(*run)
    change(module, METHOD)
    assert lnbench.run(*run).id == first.id
    records = load_runs(Path("runs")).records
    table = frame(records).set_index("id")["variant"]
    assert table[first.id] == "mine"
    assert table[second.id] == f"mine[code={second.config['code']['method.mine'][:8]}]"
    monkeypatch.setattr("lnbench.core.registry._allowed", {})
    assert frame(records).set_index("id")["variant"][second.id] == "mine", "the latest, if the class is not known"


def test_code_of_a_base_class_counts(words: list[str], module: str) -> None:
    run = [*words, 'config_dir="my conf"']
    base = f"{module}_base"
    Path(f"{base}.py").write_text(METHOD)
    Path(f"{module}.py").write_text(f"from {base} import Mine as Base\nclass Mine(Base):\n    kind = 'mine'\n")
    first = lnbench.run(*run)
    change(base, f"{METHOD}\n# another line\n")
    importlib.reload(sys.modules[module])
    second = lnbench.run(*run)
    assert first.config["code"].keys() == second.config["code"].keys() == {"method.mine"}
    assert first.id != second.id


def test_the_code_that_was_imported_counts(words: list[str], module: str) -> None:
    """A file that is edited during a long search, or in a notebook, does not change the code that runs."""
    run = [*words, 'config_dir="my conf"']
    first = lnbench.run(*run)
    Path(f"{module}.py").write_text(f"{METHOD}\n# another line\n")
    with pytest.warns(UserWarning, match=r"method\.mine: the file with its class has changed since Python imported it"):
        assert lnbench.run(*run).id == first.id
    importlib.reload(sys.modules[module])
    assert lnbench.run(*run).id != first.id


def test_changed_code_of_a_task_is_another_setting(words: list[str], module: str) -> None:
    task = "from lnbench.tasks.sequence_classification import SequenceClassification\n\n"
    task += "class Task(SequenceClassification):\n    kind = 'own_task'\n"
    Path(f"{module}.py").write_text(METHOD + task)
    run = [*words, 'config_dir="my conf"', "method=ln", "task.kind=own_task"]
    first = lnbench.run(*run)
    change(module, f"{METHOD}{task}\n# another line\n")
    second = lnbench.run(*run)
    table = frame(load_runs(Path("runs")).records).set_index("id")["setting"]
    assert [table[one.id] for one in (first, second)] == [
        f"code.task={one.config['code']['task'][:8]}" for one in (first, second)
    ]


def test_a_folder_without_its_module_names_the_methods(
    commands: Commands, words: list[str], own: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    commands.lnbench("--config-dir", "my conf", *words)
    commands.lnbench("--config-dir", "my conf", *words, "method.mine.colour=blue")
    monkeypatch.setattr("lnbench.core.registry._allowed", {})
    variant._in_file.cache_clear()
    loaded = load_runs(Path("runs"))
    assert not loaded.problems
    assert set(frame(loaded.records)["variant"]) == {"mine", "mine[colour=blue]"}
    assert re.findall(r"mine\S*", commands.runs("runs", *own[:2]).out) == ["mine", "mine[colour=blue]"]


def test_a_published_run_names_no_folder_of_its_machine(commands: Commands, words: list[str], own: list[str]) -> None:
    for seed in range(3):
        assert commands.lnbench("--config-dir", str(Path("my conf").absolute()), *words, f"seed={seed}").code == 0
    done = commands.submit("runs", "--out", "results/mine", *own)
    assert done.code == 0, done.err
    assert all("config_dir" not in record.config for record in load_runs(Path("results")).records)

    (place,) = [word.partition("=")[2] for word in words if word.startswith("data_root=")]
    change(own[-1], f"{METHOD}\n# another line\n")
    done = commands.verify("results", "--sample", "1", "--out", "again", f"data_root={place}", *own)
    assert done.code == REFUSED
    assert "method.mine: its code has the content" in done.err


def test_a_folder_that_is_not_there(words: list[str], module: str) -> None:
    with pytest.raises(ConfigError, match=r"^config_dir = 'nowhere': there is no such folder"):
        compose_config(*words, "config_dir=nowhere")
    with pytest.raises(ConfigError, match=r"^method = 'mime': does not exist; did you mean 'mine'"):
        compose_config('config_dir="my conf"', "method=ln+mime")
    assert compose_config("config_dir=null")["config_dir"] is None
    other = Path("other/model")
    other.mkdir(parents=True)
    (other / "tiny.yaml").write_text("name: tiny\nsource: x\npooling: mean\n")
    both = compose_config("hydra.searchpath=[other]", "model=tiny", 'config_dir="my conf"', "method=mine+ln", words[-1])
    assert (both["model"]["name"], set(both["method"])) == ("tiny", {"ln", "mine"})


def test_a_package_on_the_search_path(words: list[str]) -> None:
    other = Path("own_package/model")
    other.mkdir(parents=True)
    (other.parent / "__init__.py").touch()
    (other / "tiny.yaml").write_text("name: tiny\nsource: x\npooling: mean\n")
    path = "hydra.searchpath=[pkg://own_package]"
    assert compose_config(path, "model=tiny")["model"]["name"] == "tiny"
    both = compose_config(path, "model=tiny", 'config_dir="my conf"', "method=mine+ln", words[-1])
    assert (both["model"]["name"], set(both["method"])) == ("tiny", {"ln", "mine"})
    with pytest.raises(ConfigError, match=r"^hydra\.searchpath = 'nowhere': there is no such folder"):
        compose_config("hydra.searchpath=[nowhere]")


def test_missing_runs_are_those_of_the_code_as_it_is_now(
    commands: Commands, words: list[str], module: str, own: list[str]
) -> None:
    run = [*words, 'config_dir="my conf"']
    lnbench.run(*run)
    change(module, f"{METHOD}\n# another line\n")
    for seed in (0, 1):
        lnbench.run(*run, f"seed={seed}")
    assert "Missing runs" not in commands.report("runs", *own).out
