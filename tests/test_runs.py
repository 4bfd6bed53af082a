"""`python -m lnbench.runs`: which runs it finds, what it tells of them, and what it deletes."""

import json
import os
import pty
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import lnbench
from lnbench.config.compose import compose_config, to_plain
from lnbench.config.run import RunConfig, validate
from lnbench.core.sealed import read_sealed, write_sealed
from lnbench.records.failure import Cause, Failure, describe, write_failure
from lnbench.records.files import CONFIG, RECORD
from lnbench.records.identity import run_dir, run_id
from lnbench.records.lock import hold
from lnbench.records.record import Selection
from lnbench.runs.__main__ import main
from tests.records.many import begin, finish, finish_many
from tests.test_cli import SLOW_IMPORTS

Made = Callable[..., RunConfig]


class Runs:
    """Runs `main` in this process on the folder of runs."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], folder: Path) -> None:
        self.monkeypatch, self.capsys, self.folder = monkeypatch, capsys, folder

    def __call__(self, *arguments: str) -> tuple[object, str]:
        """Returns the exit code, or the message with which it ended, and what was written to stdout."""
        self.monkeypatch.setattr(sys, "argv", ["lnbench.runs", str(self.folder), *arguments])
        with pytest.raises(SystemExit) as caught:
            main()
        captured = self.capsys.readouterr()
        return caught.value.code or captured.err.splitlines()[-1:] or 0, captured.out

    def listed(self, *arguments: str) -> list[dict[str, Any]]:
        """What `--json` says."""
        code, out = self(*arguments, "--json")
        assert code == 0
        return [json.loads(line) for line in out.splitlines()]

    def ids(self, *arguments: str) -> set[str]:
        """Which runs `--json` lists."""
        return {row["id"] for row in self.listed(*arguments)}


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], runs_dir: Path) -> Runs:
    runs_dir.mkdir()
    return Runs(monkeypatch, capsys, runs_dir)


@pytest.fixture
def made(runs_dir: Path) -> Made:
    """Makes configurations whose runs go to the folder of runs."""

    def make(*overrides: str) -> RunConfig:
        config = validate(to_plain(compose_config(*overrides)))
        return config.model_copy(update={"runs_dir": runs_dir})

    return make


def fail(config: RunConfig, cause: Cause = "error", message: str = "it broke") -> Failure:
    failure = describe(config, cause, message, ZeroDivisionError("oops"))
    write_failure(failure, begin(config))
    return failure


@pytest.fixture
def five(made: Made) -> dict[str, str]:
    """One run in every state but `running`; their ids by state."""
    configs = {
        "finished": made("method=ln", "seed=0"),
        "failed": made("method=ln+prefix", "seed=1", "trainer.lr=1e-3"),
        "interrupted": made("method=bitfit", "seed=2", "task=sst2"),
        "damaged": made("method=ln", "seed=3", "method.ln.terms=[bias]"),
    }
    finish(configs["finished"])
    fail(configs["failed"])
    begin(configs["interrupted"])
    finish(configs["damaged"])
    (run_dir(configs["damaged"]) / RECORD).write_text("{}")
    return {state: run_id(config) for state, config in configs.items()}


def test_a_run_that_is_no_better_than_its_baseline_is_marked(runs: Runs, made: Made) -> None:
    finish(made("method=ln"), baseline={"validation": {"accuracy": 0.75}}, baseline_name="majority baseline")
    finish(made("method=bitfit"), baseline={"validation": {"accuracy": 0.7}})
    lines = runs()[1].splitlines()
    scores = {line.split()[2]: "75.00% †" in line for line in lines if "75.00%" in line}
    assert scores == {"ln": True, "bitfit": False}
    assert lines[-2].startswith("† no better than the majority baseline")
    listed = {row["method"]: row for row in runs.listed()}
    assert {name: row["no_better"] for name, row in listed.items()} == {"ln": ["validation"], "bitfit": []}
    assert "the run is no better than the majority baseline on validation" in runs("--show", listed["ln"]["id"])[1]


def test_every_run_is_listed_with_its_state(runs: Runs, five: dict[str, str], made: Made) -> None:
    with hold(runs.folder, begin(made("method=lora")).name):
        code, out = runs()
        rows = {row["state"]: row for row in runs.listed()}
    assert code == 0
    lines = out.splitlines()
    assert lines[-1] == "5 runs: 1 finished, 1 failed, 1 running, 1 interrupted, 1 damaged"
    assert {line.split()[0] for line in lines if any(run in line for run in five.values())} == set(five.values())
    (line,) = [line for line in lines if five["finished"] in line]
    assert line.replace(" ", "") == f"{five['finished']}finishedlntweetsminilm0accuracy75.00%2026-01-0100:0180"
    assert {state: row["id"] for state, row in rows.items() if state != "running"} == five
    assert (rows["finished"]["metric"], rows["finished"]["score"]) == ("accuracy", 0.75)
    assert (rows["failed"]["cause"], rows["failed"]["message"]) == ("error", "it broke")
    assert (rows["interrupted"]["task"], rows["interrupted"]["seed"]) == ("sst2", 2)
    assert "is damaged" in rows["damaged"]["message"]
    assert f"{five['damaged']}  {rows['damaged']['message']}" in lines
    assert rows["running"]["method"] == "lora"


@pytest.mark.parametrize(
    ("words", "states"),
    [
        (["method=ln"], "finished damaged"),
        (["method=prefix+ln"], "failed"),
        (["method=ln*"], "finished failed damaged"),
        (["method=ln,bitfit", "seed=0,2"], "finished interrupted"),
        (["task=sst?"], "interrupted"),
        (["state=failed,int*"], "failed interrupted"),
        (["trainer.lr=0.001"], "failed"),
        (["trainer.lr=null"], "finished interrupted damaged"),
        (["method.ln.terms=[bias]"], "damaged"),
        (["method.ln.terms=[gain,bias]"], "finished failed"),
        (["method.prefix.length=*"], "failed"),
        (["test=true", "seed=4"], ""),
    ],
)
def test_filters(runs: Runs, five: dict[str, str], words: list[str], states: str) -> None:
    assert runs.ids(*words) == {five[state] for state in states.split()}


def test_a_filter_by_id(runs: Runs, five: dict[str, str]) -> None:
    assert runs.ids(f"id={five['failed']}") == {five["failed"]}


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("sed=0", "sed: no run has such a setting; did you mean 'seed'? known keys: id, state, method, task, model, "),
        ("trainer.lrr=0", "trainer.lrr: no run has such a setting; did you mean 'trainer.lr'? known keys: "),
        ("state=fail", "state = 'fail': did you mean 'failed'? must be one of finished, failed, running, "),
        ("seed=", "'seed=': must be KEY=VALUE"),
        ("--show=zz", "--show zz: no id of a run starts with this"),
    ],
)
def test_a_mistake_is_answered(runs: Runs, five: dict[str, str], word: str, message: str) -> None:
    code, out = runs(word)
    assert str(code).startswith(message)
    assert not out


def test_a_folder_that_is_not_there(runs: Runs) -> None:
    runs.folder /= "nowhere"
    assert runs()[0] == f"'{runs.folder}': there is no such folder of runs"


def test_no_runs(runs: Runs) -> None:
    assert runs("seed=1") == (0, "0 runs\n")


def test_the_log_of_a_tracker_is_no_run(runs: Runs) -> None:
    log = runs.folder / "version_0" / "events.out.tfevents.1796066488.host.1.0"
    log.parent.mkdir(parents=True)
    log.touch()
    code, out = runs()
    assert code == 0
    assert out.startswith(f"0 runs\n{log}: is a log of TensorBoard; it has curves and scores, and no record of what")


def test_failures_are_told(runs: Runs, five: dict[str, str], made: Made) -> None:
    fail(made("method=lora"), "diverged", "first line\nsecond line")
    out = runs("--failed")[1]
    assert "lora on tweets with minilm, seed 0" in out
    assert "cause      diverged, at 20" in out
    assert "message    first line\n             second line\n" in out
    assert f"traceback  {run_dir(made('method=lora'))}/failure.json" in out
    assert "ln on tweets with minilm, seed 3\n  cause    damaged\n  message  " in out
    assert "record.json: is damaged or of an unknown format (the checksum is missing)\n" in out
    assert out.endswith("3 runs: 2 failed, 1 damaged\n")
    assert runs.ids("--failed") == {five["failed"], five["damaged"], run_id(made("method=lora"))}
    assert runs.ids("--failed", "method=lora") == {run_id(made("method=lora"))}


def test_everything_about_a_finished_run(runs: Runs, made: Made) -> None:
    config = made("method=ln+prefix", "method.prefix.length=7", "trainer.lr=0.01")
    finish(config)
    out = runs("--show", run_id(config)[:5])[1]
    assert "method.prefix.length  7  (default " in out
    assert "trainer.lr            0.01  (default null)" in out
    assert "test.accuracy        0.6666666666666666" in out
    assert "adapter.safetensors  1.0 kB" in out
    changed = out.partition("settings that are not the defaults")[2].partition("\n\n")[0].split("\n")[1:]
    assert {line.split()[0] for line in changed} == {"method.prefix.length", "trainer.lr", "runs_dir"}
    (row,) = runs.listed("--show", run_id(config))
    assert row["record"]["cost"]["steps"] == 1_234
    assert row["changed"].keys() == {"method.prefix.length", "trainer.lr", "runs_dir"}


def test_everything_about_a_failed_run(runs: Runs, five: dict[str, str]) -> None:
    out = runs("--show", five["failed"])[1]
    assert "message  it broke" in out
    assert out.endswith("ZeroDivisionError: oops\n\n")


def test_an_id_must_be_of_one_run(runs: Runs, five: dict[str, str]) -> None:
    assert str(runs("--show", "")[0]).startswith("--show : several runs have: ")


def test_what_is_not_a_number_is_null(runs: Runs, made: Made) -> None:
    finish(made("method=ln"), selection=Selection(metric="accuracy", mode="max", score=float("nan")))
    assert runs.listed()[0]["score"] is None


HOSTILE = "[red]a[blue] :smile: \x1b[31m\a"


def test_names_are_shown_as_they_are(runs: Runs, made: Made) -> None:
    runs.folder /= "[bold]r\x1buns]"
    config = made("method=ln").model_copy(update={"runs_dir": runs.folder})
    config = config.model_copy(update={"task": config.task.model_copy(update={"name": HOSTILE})})
    fail(config, message=f"{HOSTILE}[/nothing]")
    shown = r"[red]a[blue] :smile: \x1b[31m\x07"
    for arguments in ([], ["--failed"], ["--show", run_id(config)]):
        code, out = runs(*arguments)
        assert code == 0
        assert shown in out
        assert "\x1b" not in out
    assert f"{shown}[/nothing]" in out
    assert r"[bold]r\x1buns]" in out
    assert runs.listed()[0]["task"] == HOSTILE


def test_what_is_missing_of_a_sweep(runs: Runs, made: Made) -> None:
    finish(made("method=ln"))
    fail(made("method=ln", "seed=1"), "diverged")
    fail(made("method=bitfit", "seed=1"), "killed")
    with hold(runs.folder, begin(made("method=bitfit")).name):
        sweep = ["--missing", "method=ln,bitfit,ln+prefix,prefix+ln", "seed=0,1"]
        code, out = runs(*sweep)
        rows = runs.listed(*sweep)
    assert code == 0
    assert out.endswith("6 runs: 1 finished, 2 failed, 1 running, 2 never started\n")
    assert f"running: bitfit on tweets with minilm, seed 0  ({run_id(made('method=bitfit'))})\nfailed: bitfit" in out
    assert (
        f"failed: ln on tweets with minilm, seed 1  ({run_id(made('method=ln', 'seed=1'))})\n  diverged: it br" in out
    )
    place = f"runs_dir={runs.folder}"
    assert [(row["state"], shlex.split(row["command"])[3:]) for row in rows] == [
        ("failed", ["method=ln", "seed=1", place, "retry_failed=true"]),
        ("running", []),
        ("failed", ["method=bitfit", "seed=1", place]),
        ("never started", ["method=ln+prefix", "seed=0", place]),
        ("never started", ["method=ln+prefix", "seed=1", place]),
    ]


@pytest.mark.parametrize("mark", ["", "+", "++"])
def test_the_command_says_everything_once(runs: Runs, made: Made, mark: str) -> None:
    fail(made("method=ln"), "diverged")
    typed = [f"{mark}runs_dir=elsewhere", f"{mark}retry_failed=false", "method=ln"]
    (row,) = runs.listed("--missing", *typed)
    assert shlex.split(row["command"])[3:] == ["method=ln", f"runs_dir={runs.folder}", "retry_failed=true"]
    assert row["reason"] == "diverged: it broke"


def test_the_command_does_the_missing_job(runs: Runs, made: Made) -> None:
    runs.folder /= "odd 'name', {with} $signs"
    (row,) = runs.listed("--missing", "method=ln", "method.ln.terms=[bias]", "task.max_length=32")
    config = validate(to_plain(compose_config(*shlex.split(row["command"])[3:])))
    assert run_dir(config) == Path(row["folder"])
    assert config.runs_dir == runs.folder
    finish(config)
    assert not runs.listed("--missing", "method=ln", "method.ln.terms=[bias]", "task.max_length=32")


OWN_METHOD = """
from lnbench.methods.head import HeadOnly

class Mine(HeadOnly):
    colour: str = "red"
"""


def test_a_method_from_elsewhere_is_known_once_its_module_is_allowed(
    runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "conf" / "method").mkdir(parents=True)
    (tmp_path / "conf" / "method" / "mine.yaml").write_text("# @package method.mine\nkind: method_of_runs.Mine\n")
    (tmp_path / "method_of_runs.py").write_text(OWN_METHOD)
    monkeypatch.syspath_prepend(tmp_path)
    sweep = ["--missing", f"hydra.searchpath=[{tmp_path}/conf]", "method=mine"]
    assert str(runs(*sweep)[0]).startswith("method.mine.kind = 'method_of_runs.Mine': is unknown")
    assert runs("--plugin", "no_such_module")[0] == 2
    assert "never started: mine on tweets with minilm, seed 0" in runs("--plugin=method_of_runs", *sweep)[1]


def test_what_the_configuration_itself_sweeps_over(runs: Runs, made: Made) -> None:
    experiment = ("experiment=ablation_terms", "task=tweets", "seed=0")
    finish(made(*experiment, "method.ln.terms=[gain]"))
    rows = runs.listed("--missing", *experiment)
    jobs = {row["id"]: made(*shlex.split(row["command"])[3:-1]) for row in rows}
    assert [run_id(config) for config in jobs.values()] == list(jobs)
    assert {config.to_dict()["method"]["ln"]["terms"][0] for config in jobs.values()} == {"gain", "bias"}
    assert len(jobs) == 2


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["method=ln,typo"], "method = 'typo': does not exist; available: "),
        (["trainer.lrr=1,2"], "trainer.lrr: unknown key; did you mean 'lr'? known keys: "),
        (["trainer.lr=2"], "trainer.lr = 2: must be less than or equal to 1"),
        (["method=glob(lorra*)"], "method=glob(lorra*): 'lorra*' matches nothing; there is: adalora, adapter, "),
        (["runs_dir=${HOME}/x"], "runs_dir: ${HOME} stands for a setting 'HOME', and there is none"),
        (["seed=range(0)"], "seed=range(0): is a sweep over no value"),
        (["method=ln", "seed=interval(0,1)"], "interval(START,STOP): names no values"),
    ],
)
def test_a_sweep_with_a_mistake(runs: Runs, overrides: list[str], message: str) -> None:
    assert str(runs("--missing", *overrides)[0]).startswith(message)


def test_a_sweep_of_a_file_without_jobs(runs: Runs, tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    file = tmp_path / "experiment" / "empty.yaml"
    file.write_text('# @package _global_\nhydra: {mode: MULTIRUN, sweeper: {params: {seed: "range(0)"}}}\n')
    assert str(runs("--missing", f"hydra.searchpath=[{tmp_path}]", "experiment=empty")[0]).startswith(
        "the sweep has no"
    )


def test_deleting_tells_what_it_frees(runs: Runs, five: dict[str, str]) -> None:
    size = sum(file.stat().st_size for file in runs.folder.glob(f"*/*/*/{five['interrupted']}/*"))
    code, out = runs("--delete", "--yes", "task=sst2")
    assert code == 0
    assert five["interrupted"] in out
    assert five["failed"] not in out
    assert out.endswith(f"1 deleted, {size:,} bytes freed\n")
    assert runs.ids() == set(five.values()) - {five["interrupted"]}
    assert not (runs.folder / "sst2").exists()
    assert runs("--delete", "--yes", "--all")[0] == 0
    assert [path.name for path in runs.folder.iterdir()] == [".locks"]


def test_a_run_that_is_being_done_is_not_deleted(runs: Runs, made: Made) -> None:
    finish(made("method=ln"))
    folder = begin(made("method=lora"))
    with hold(runs.folder, folder.name):
        code, out = runs("--delete", "--yes", "--all")
    assert code == 1
    assert f"not deleted: run {folder.name} is being done by process {os.getpid()}" in out
    assert "1 deleted" in out
    assert (folder / CONFIG).is_file()


def test_a_run_that_finishes_meanwhile_is_not_deleted(
    runs: Runs, made: Made, five: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was failed when somebody decided that it should go."""
    config = made("method=ln+prefix", "seed=1", "trainer.lr=1e-3")

    def finish_now(question: str) -> bool:
        (run_dir(config) / RECORD).write_text("{}")
        return True

    monkeypatch.setattr("lnbench.runs.delete._confirmed", finish_now)
    code, out = runs("--delete", "state=failed")
    assert code == 1
    assert f"not deleted: run {five['failed']} has finished meanwhile" in out
    assert run_dir(config).is_dir()


def test_deleting_without_a_terminal_or_a_choice_is_refused(runs: Runs, five: dict[str, str]) -> None:
    assert runs("--delete", "seed=0")[0] == "--delete: without a terminal to ask at, it needs --yes"
    assert runs("--delete", "--yes")[0] == 2
    assert runs.ids() == set(five.values())


@pytest.mark.parametrize(("answer", "left"), [("y", 3), ("", 4), ("no", 4), ("\x04", 4), ("\x03", 4)])
def test_deleting_asks(runs: Runs, five: dict[str, str], answer: str, left: int) -> None:
    terminal, inside = pty.openpty()
    os.write(terminal, f"{answer}\n".encode())
    command = [sys.executable, "-m", "lnbench.runs", str(runs.folder), "--delete", "seed=0"]
    done = subprocess.run(command, stdin=inside, capture_output=True, text=True, env=environment(), timeout=60)
    assert "Delete 1 of " in done.stdout
    assert done.returncode == (0 if left == 3 else 1)
    assert "Traceback" not in done.stderr
    assert len(runs.ids()) == left
    os.close(terminal)
    os.close(inside)


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(lnbench.__file__).parents[1]), "PYTHONWARNINGS": "error", **more}


@pytest.mark.parametrize("arguments", [[], ["--json"], ["--missing", "seed=0,1"]])
def test_a_reader_that_goes_away_is_no_error(made: Made, runs_dir: Path, arguments: list[str]) -> None:
    finish_many(made("method=ln"), 300)
    command = shlex.join([sys.executable, "-m", "lnbench.runs", str(runs_dir), *arguments])
    done = subprocess.run(
        ["bash", "-c", f"{command} | true"], capture_output=True, text=True, env=environment(), timeout=120
    )
    assert (done.stdout, done.stderr) == ("", "")


@pytest.mark.parametrize("arguments", [[], ["--json"], ["--failed"], ["--show={id}"], ["--missing", "seed=0,1"]])
def test_nothing_slow_is_imported(made: Made, tmp_path: Path, runs_dir: Path, arguments: list[str]) -> None:
    config = made("method=ln")
    finish(config)
    blocker = f"import sys\nsys.modules.update(dict.fromkeys({(*SLOW_IMPORTS, 'pandas')}))\n"
    (tmp_path / "sitecustomize.py").write_text(blocker)
    path = os.pathsep.join([str(tmp_path), environment()["PYTHONPATH"]])
    command = [sys.executable, "-m", "lnbench.runs", str(runs_dir)]
    command += [argument.format(id=run_id(config)) for argument in arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(PYTHONPATH=path), timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_help_teaches(runs: Runs) -> None:
    out = runs("--help")[1]
    assert "python -m lnbench.runs --delete state=failed,interrupted" in out


def target_of_link(runs: Runs, made: Made) -> Path:
    """A finished run elsewhere, and a link to it where runs are looked for."""
    elsewhere = made("method=ln").model_copy(update={"runs_dir": runs.folder.with_name("elsewhere")})
    finish(elsewhere)
    place = run_dir(made("method=ln"))
    place.parent.mkdir(parents=True)
    place.symlink_to(run_dir(elsewhere))
    return run_dir(elsewhere)


def test_a_link_to_a_run_is_not_followed_by_a_deletion(runs: Runs, made: Made) -> None:
    target = target_of_link(runs, made)
    before = {path: path.read_bytes() for path in target.iterdir()}
    finish(made("method=bitfit"))
    code, out = runs("--delete", "--yes", "--all")
    assert code == 1
    assert f"not deleted: run {target.name}: {run_dir(made('method=ln'))} is a link to {target}; delete" in out
    assert "1 deleted" in out
    assert {path: path.read_bytes() for path in target.iterdir()} == before
    assert runs.ids() == {target.name}


@pytest.mark.parametrize("level", [1, 2, 3])
def test_nor_is_a_link_to_a_folder_above_it(runs: Runs, made: Made, level: int) -> None:
    config = made("method=ln")
    finish(config)
    linked = run_dir(config).parents[level - 1]
    linked.rename(runs.folder.with_name("elsewhere"))
    linked.symlink_to(runs.folder.with_name("elsewhere"))
    code, out = runs("--delete", "--yes", "--all")
    assert (code, (run_dir(config) / RECORD).is_file()) == (1, True)
    assert f"{linked} is a link to" in out


def test_a_link_in_a_run_is_deleted_and_what_it_leads_to_stays(runs: Runs, made: Made, tmp_path: Path) -> None:
    config = made("method=ln")
    finish(config)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").write_text("precious")
    (run_dir(config) / "wandb").symlink_to(tmp_path / "mine")
    (run_dir(config) / RECORD).rename(tmp_path / "mine" / RECORD)
    (run_dir(config) / RECORD).symlink_to(tmp_path / "mine" / RECORD)
    assert runs("--delete", "--yes", "--all")[0] == 0
    assert not run_dir(config).exists()
    assert {path.name for path in (tmp_path / "mine").iterdir()} == {"file", RECORD}


def test_a_run_of_which_a_part_cannot_be_deleted_stays_whole(
    runs: Runs, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = made("method=ln")
    finish(config)
    inner = run_dir(config) / "wandb"
    inner.mkdir()
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: path != inner and access(path, mode))
    code, out = runs("--delete", "--yes", "--all")
    assert code == 1
    assert f"not deleted: run {run_id(config)}: {inner} cannot be changed" in out
    assert (run_dir(config) / RECORD).is_file()


def test_a_folder_in_place_of_a_record_is_deleted_with_its_run(runs: Runs, made: Made) -> None:
    (begin(made("method=ln")) / RECORD).mkdir()
    assert runs("--delete", "--yes", "state=damaged")[0] == 0
    assert runs.ids() == set()


@pytest.mark.parametrize("words", [["--all"], ["method=ln"], ["state=*"]])
def test_a_newer_run_is_deleted_only_by_that_name(runs: Runs, made: Made, words: list[str]) -> None:
    config = made("method=ln")
    finish(config)
    finish(made("method=ln", "seed=1"))
    path = run_dir(config) / RECORD
    write_sealed(path, {**read_sealed(path), "format": 2})
    code, out = runs("--delete", "--yes", *words)
    assert code == 1
    assert f"not deleted: run {run_id(config)}: a newer lnbench did it; state=newer deletes such runs" in out
    assert runs.ids() == {run_id(config)}
    assert runs("--delete", "--yes", "state=newer")[0] == 0
    assert runs.ids() == set()


def test_a_newer_run_is_kept_out_of_what_is_missing(runs: Runs, made: Made) -> None:
    config = made("method=ln")
    finish(config)
    path = run_dir(config) / RECORD
    write_sealed(path, {**read_sealed(path), "colour": "red"})
    (row,) = runs.listed("--missing", "method=ln")
    assert (row["state"], row["command"]) == ("newer", "")
    assert runs("--delete", "--yes", "state=newer")[0] == 0
