"""The command line: what it answers, with which exit code, and before what is imported."""

import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from operator import attrgetter
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

import lnbench
from lnbench.__main__ import main
from lnbench.cli import IN_THIS_PROCESS
from lnbench.config.overrides import as_typed
from lnbench.config.run import RunConfig
from lnbench.core.errors import FAILED, INTERRUPTED, REFUSED, DataError
from lnbench.core.interruption import RunInterrupted
from lnbench.core.schema import ConfigError

SLOW_IMPORTS = ("torch", "transformers", "pytorch_lightning", "datasets", "wandb", "lnbench.run.lifecycle")
Python = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def python(tmp_path: Path) -> Python:
    """Runs Python in an empty folder; importing anything slow fails there, and warnings are errors."""
    (tmp_path / "site").mkdir()
    (tmp_path / "empty").mkdir()
    blocker = f"import sys\nsys.modules.update(dict.fromkeys({SLOW_IMPORTS}))\n"
    (tmp_path / "site" / "sitecustomize.py").write_text(blocker)
    path = os.pathsep.join([str(tmp_path / "site"), str(Path(lnbench.__file__).parents[1])])

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        result = subprocess.run(
            [sys.executable, *arguments],
            cwd=tmp_path / "empty",
            env={**os.environ, "PYTHONPATH": path, "PYTHONWARNINGS": "error"},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert not list((tmp_path / "empty").iterdir()), "what only shows or refuses leaves no files"
        return result

    return run


@pytest.fixture
def cli(python: Python) -> Python:
    """Runs `python -m lnbench` so."""
    return partial(python, "-m", "lnbench")


class App:
    """Runs `main` in this process, with `lnbench.run.lifecycle` replaced, so that nothing is trained."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.monkeypatch, self.capsys = monkeypatch, capsys
        self.ran: list[RunConfig] = []
        self.outcome: dict[str, BaseException] = {}
        module = ModuleType("lnbench.run.lifecycle")
        vars(module).update(run=self._run)
        monkeypatch.setitem(sys.modules, "lnbench.run.lifecycle", module)
        monkeypatch.setenv("HYDRA_FULL_ERROR", "0")  # main changes it; monkeypatch puts it back

    def _run(self, config: RunConfig) -> SimpleNamespace:
        self.ran.append(config)
        if error := self.outcome.get(config.method_name):
            raise error
        return SimpleNamespace(score=0.5)

    def __call__(self, *arguments: str) -> tuple[int, str]:
        """Returns the exit code and what was written to stderr."""
        self.monkeypatch.setattr(sys, "argv", ["lnbench", *arguments, IN_THIS_PROCESS])
        with pytest.raises(SystemExit) as caught:
            main()
        return int(caught.value.code or 0), self.capsys.readouterr().err


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> App:
    monkeypatch.chdir(tmp_path)
    return App(monkeypatch, capsys)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("method=ln+prefx", "method = 'prefx': does not exist; did you mean 'prefix'? available: "),
        ("--info defaults method=typo", "method = 'typo': does not exist; available: "),
        ("method=ln+ln", "method = 'ln+ln': the parts are 'ln', 'ln'; 'ln' may not be repeated"),
        ("method.prefix.lenght=3", "method.prefix.lenght: unknown key; did you mean 'length'? known keys: "),
        ("+method.prefix.lenght=3", "method.prefix.lenght: unknown key; did you mean 'length'? known keys: "),
        ("trainer.batch_size=abc", "trainer.batch_size = 'abc': must be a whole number"),
        ("trainer.batch_size=0", "trainer.batch_size = 0: must be greater than or equal to 1"),
        ("method=full+ln", "method = full+ln: 'full' leaves nothing to add, so it cannot be summed with ln"),
        ("hydra/launcher=gpu", "hydra/launcher = 'gpu': does not exist; did you mean 'gpus'? available: "),
        ("--config-dir", "--config-dir: has no value"),
        ("model.name=${nowhere}", "model.name: ${nowhere} stands for a setting 'nowhere', and there is none; "),
    ],
)
def test_a_mistake_is_answered_before_anything_slow_is_imported(cli: Python, arguments: str, message: str) -> None:
    result = cli(*arguments.split())
    assert result.returncode == REFUSED
    assert result.stderr.startswith(message)
    assert "Traceback" not in result.stderr
    assert len(result.stderr.splitlines()) <= 3
    assert not result.stdout


def test_help_teaches(cli: Python) -> None:
    result = cli("--help")
    assert (result.returncode, result.stderr) == (0, "")
    for group in ("method: ", "model: ", "task: ", "trainer: ", "logger: ", "experiment: "):
        assert f"\n{group}" in result.stdout
    assert result.stdout.count("\n  lnbench ") == 6
    assert "$" not in result.stdout


def test_examples_of_the_help_are_accepted(cli: Python, app: App) -> None:
    examples = [line.split("   ")[0] for line in cli("--help").stdout.splitlines() if line.startswith("  lnbench")]
    for example in examples:
        assert app(*example.split()[1:]) == (0, "")
    assert len(app.ran) == 4 + 9 + 2


def test_the_configuration_can_be_shown(cli: Python) -> None:
    assert "\nmethod:\n  ln:\n    kind: ln\n" in cli("--cfg", "job").stdout
    tree = cli("--info", "defaults-tree", "method=prefix+ln").stdout
    assert "    method: prefix+ln:\n      method/ln\n      method/prefix\n      _self_\n" in tree
    assert "| method/ln  " in cli("--info", "defaults").stdout


def test_a_shell_completes_sums(cli: Python, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMP_LINE", "lnbench method=ln+pre")
    assert cli("-sc", "query=bash").stdout == "method=ln+prefix\n"
    monkeypatch.setenv("COMP_LINE", "lnbench logger=csv+t")
    assert cli("-sc", "query=bash").stdout == "logger=csv+tensorboard\n"


def test_a_run_gets_the_checked_configuration(app: App, tmp_path: Path) -> None:
    assert app("method=prefix+ln", "seed=3") == (0, "")
    assert [(config.method_name, config.seed) for config in app.ran] == [("ln+prefix", 3)]
    assert not list(tmp_path.iterdir()), "only the run itself may leave files"


def test_a_sweep_goes_on_after_a_failure(app: App, tmp_path: Path) -> None:
    app.outcome = {"bitfit": ConfigError("not for this model"), "ln+prefix": ZeroDivisionError("oops")}
    code, stderr = app("-m", "method=bitfit,prefix+ln,ln", "seed=1,2")
    assert code == REFUSED, "the exit code of the first failure"
    assert [config.method_name for config in app.ran] == ["bitfit", "bitfit", "ln+prefix", "ln+prefix", "ln", "ln"]
    assert "not for this model\n" in stderr
    assert "ZeroDivisionError: oops" in stderr
    assert "Failed: method=prefix+ln seed=2\n" in stderr
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")] == ["runs", "runs/multirun.yaml"]


def test_an_experiment_can_be_a_sweep(app: App) -> None:
    assert app("experiment=mini_ablation_terms", "trainer.max_steps=5") == (0, "")
    assert len({str(config.identity()) for config in app.ran}) == 27
    assert {(config.method_name, config.trainer.max_steps) for config in app.ran} == {("ln", 5)}


def test_a_sweep_with_a_typo_does_not_start(app: App) -> None:
    code, stderr = app("-m", "method=ln,bitfit+prefx")
    assert (code, app.ran) == (REFUSED, [])
    assert stderr.startswith("method = 'prefx': does not exist; did you mean 'prefix'? available: ")


METHODS = "adalora, adapter, beft, bitfit, "
MEANT = [
    ("task=csv task.path=data/year=2019.csv", "task.path = 'data/year=2019.csv': cannot be read (No such file"),
    ("task=csv 'task.path=data (1).csv'", "task.path = 'data (1).csv': cannot be read (No such file"),
    ("task=csv task.path=#1;x&é!.csv", "task.path = '#1;x&é!.csv': cannot be read (No such file"),
    ('task=csv "task.path=it\'s.csv"', 'task.path = "it\'s.csv": cannot be read (No such file'),
    ("task=csv task.path=~/x.csv", "task.path = '/home/someone/x.csv': cannot be read (No such file"),
    ("task=csv task.path='\"~/x.csv\"'", "task.path = '/home/someone/x.csv': cannot be read (No such file"),
]
"""Arguments with one meaning, of files that are not there."""
MISTYPED = [
    ("task.path=[a", "task.path=[a: cannot be understood (", "as a text: 'task.path=\"[a\"'"),
    ("task.path='glob(x'", "task.path=glob(x: cannot be understood (", "as a text: 'task.path=\"glob(x\"'"),
    ('task.path="\'a b"', "task.path='a b: cannot be understood (", "as a text: 'task.path=a b'"),
    ("task.path='{a:文}'", "task.path={a:文}: cannot be understood (", "as a text: 'task.path=\"{a:文}\"'"),
    ("task.path=x[1,2].csv", "task.path=x[1,2].csv: cannot be understood (", "as a text: 'task.path=\"x[1,2].csv\"'"),
    ("seed=1,2", "seed=1,2: has several values, and this is no sweep; for one run with each of them add -m", ""),
    ("method=ln,lora", "method=ln,lora: has several values", "for one run with all of them: method=ln+lora"),
    (
        "task.text=a,b",
        "task.text=a,b: has several values",
        "a list: 'task.text=[a,b]'; for a text: 'task.text=\"a,b\"'",
    ),
    ("task.text=ä,b", 'task.text="ä",b: has several values', ""),
    ("-m seed=1, 2", "seed=1,: a value is missing before or after a comma", "without spaces"),
    ("-m seed=[1,2]", "seed = [1, 2]: must be a whole number; for a run with each of them: -m seed=1,2", ""),
    ("-m method=glob(lorra*)", f"method=glob(lorra*): 'lorra*' matches nothing; there is: {METHODS}", ""),
    (
        "-m method=glob(ln+*)",
        "method=glob(ln+*): 'ln+*' matches nothing: globs find single parts, not sums",
        "method=ln+prefix",
    ),
    ("-m method=glob([ln,xx*])", f"method=glob([ln,xx*]): 'xx*' matches nothing; there is: {METHODS}", ""),
    ("-m method=glob(l*,exclude=xx)", f"method=glob(l*,exclude=xx): 'xx' matches nothing; there is: {METHODS}", ""),
    ("-m method=glob(l*,exclude=l*)", "method=glob(l*,exclude=l*): matches nothing, as all that it finds is exc", ""),
    (
        "-m nothing=glob(*)",
        "nothing=glob(*): glob finds choices of a group, and nothing is no group; type nothing=V",
        "",
    ),
    ("-m trainer.lr=glob(1*)", "trainer.lr=glob(1*): glob finds choices of a group, and trainer.lr is no group", ""),
    ("-m method=[glob(l*)]", "method=[glob(l*)]: a function must stand alone", "type method=glob(PATTERN)"),
    ("method=[glob(l*)]", "method=[glob(l*)]: a function must stand alone", "type method=glob(PATTERN)"),
    ("-m task.labels=[a,glob(b)]", "task.labels=[a,glob(b)]: a function must stand alone", ""),
    ("-m method=ln,glob(b*)", "method=ln,glob(b*): a function must stand alone", "glob([PATTERN,PATTERN]) for several"),
    ("-m 'method=choice(ln,glob(b*))'", "method=choice(ln,glob(b*)): glob(...) cannot stand in another function", ""),
    (
        "-m seed=5,range(3)",
        "seed=5,range(3): a function must stand alone",
        "type seed=range(START,STOP), or the values: VALUE",
    ),
    ("-m seed=[1,range(3)]", "seed=[1,range(3)]: a function must stand alone", ""),
    ("-m seed=interval(0,1)", "interval(START,STOP): names no values, and the sweeper needs some", "KEY=VALUE,VALUE"),
    *(
        (word, f"{word}: has several values, and this is no sweep; for one run with each of them add -m\n", "")
        for word in ("seed=range(0,3)", "method=glob(l*)", "seed=choice(1,2)", "trainer.lr=shuffle(1,2)")
    ),
    ("method@foo=ln", "method@foo=ln: @ is not possible here, because a run has each group once; type method=ln", ""),
    ("-m method@foo=ln,lora", "method@foo=ln,lora: @ is not possible here", "type method=ln,lora"),
    ("task@a:b=mrpc", "task@a:b=mrpc: @ is not possible here", "type task=mrpc"),
    *(
        (words, "runs_dir: ${HOME} stands for a setting 'HOME', and there is none", "variable type '${oc.env:HOME}'")
        for words in ("'runs_dir=${HOME}/x'", "-m 'runs_dir=${HOME}/x' seed=1,2")
    ),
    ("'model.source=${oc.env:NOBODY}'", "model.source: the environment variable 'NOBODY' is not set\n", ""),
    ("'task=${HOME}'", "task=${HOME}: task takes the name of one of: boolq, ", ""),
    ("-m seed=range(3,3)", "seed=range(3,3): is a sweep over no value", ""),
    ("-m seed=choice()", "seed=choice(): cannot be understood (", "empty choice is not legal"),
    ("~trainer.lr", "~trainer.lr: removes a value, and there is none", "trainer.lr=VALUE"),
    ("~task", "~task: every run needs a task; for another one type task=NAME: boolq, ", ""),
    ("~task=mrpc", "~task: every run needs a task; for another one type task=NAME: boolq, ", ""),
    ("~seed", "~seed: every run needs a seed; for another one type seed=VALUE\n", ""),
    ("~search=lr", "~search=lr: takes a choice away that was not made", "search=NAME: lr, lr_coarse, none"),
    ("~trainer.max_epochs=7", "~trainer.max_epochs=7: its value is 1; type ~trainer.max_epochs to take it away", ""),
    ("method=ln prefix", "prefix: is no override; did you mean method=prefix?", "method=ln+prefix"),
    ("method = ln", f"method: has no value; type method=NAME, without spaces; names: {METHODS}", ""),
    ("method= ln", "ln: is no override; did you mean method=ln?", ""),
    ("=3", "=3: names no setting; type KEY=VALUE", ""),
    ("'task name=x'", "task name=x: 'task name' is no name of a setting; did you mean 'task'?", ""),
    ("trainer..lr=3", "trainer..lr=3: 'trainer..lr' is no name of a setting", ""),
    ("help", "help: is no override; did you mean --help?", ""),
    ("data.csv", "data.csv: is no override; type KEY=VALUE", ""),
    ("method=LN", "method = 'LN': does not exist; did you mean 'ln'?", ""),
    ("method=", "method = '': does not exist; available: ", ""),
    ("trainer=mini/", "trainer = 'mini/': does not exist; did you mean 'mini'?", ""),
    ("task=glue/mrpc", "task = 'glue/mrpc': does not exist; did you mean 'mrpc'?", ""),
    ("+method=lora", "+method=lora: is method=lora meant, or a sum such as method=ln+lora?", ""),
    ("--seed=3", "--seed=3: there is no such option", "typed without dashes: seed=3"),
    ("--multirum", "--multirum: there is no such option; did you mean '--multirun'?", ""),
    ("--cfg", "--cfg: has no value: job, hydra, all", ""),
    ("-m seed=0,1 --cfg job", "-m, --cfg and --info: type only one of them; ", "shows the runs of a sweep"),
    ("-c jobs", "-c: 'jobs' is not one of job, hydra, all", ""),
    ("--info=defalts", "--info=defalts: 'defalts' is not one of all, config, defaults", ""),
    ("--config-dir nowhere", "Additional config directory '", "nowhere' not found"),
    ("--config-name nope", "--config-name nope: there is no such file", ""),
    ("batch_size=8", "batch_size: unknown key; did you mean trainer.batch_size=8? known keys: ", ""),
    ("lr=0.1", "lr: unknown key; did you mean trainer.lr=0.1 or search=lr? known keys: ", ""),
    ("pooling=mean", "pooling: unknown key; did you mean model.pooling=mean? known keys: ", ""),
    ("max_length=20", "max_length: unknown key; did you mean task.max_length=20? known keys: ", ""),
    ("+max_length=20", "max_length: unknown key; did you mean task.max_length=20? known keys: ", ""),
    ("++lr=0.1", "lr: unknown key; did you mean trainer.lr=0.1 or search=lr? known keys: ", ""),
    ("-m max_length=20,30", "max_length: unknown key; did you mean task.max_length=20? known keys: ", ""),
    ("path=x.csv", "path: unknown key; did you mean task.path=x.csv or retention.path=x.csv? known keys: ", ""),
    ("'text=a b'", "text: unknown key; did you mean 'task.text=a b'? known keys: ", ""),
    ("splits.test_fraction=.2", "splits: unknown key; did you mean task.splits.test_fraction=.2? known keys: ", ""),
    ("task.test_fraction=.2", "task.test_fraction: unknown key; did you mean task.splits.test_fraction=.2? ", ""),
    ("method=lora rank=8", "rank: unknown key; did you mean method.lora.rank=8? known keys: ", ""),
    ("values=[1,2]", "values: unknown key; did you mean 'search.values=[1,2]'? known keys: ", ""),
    ("wandb=true", "wandb: unknown key; did you mean logger.wandb=true or logger=wandb? known keys: ", ""),
    ("prefix.length=5", "prefix: unknown key; did you mean method.prefix.length=5 or method=prefix? known keys: ", ""),
    ("method=lora,rank=8", "method=lora,rank=8: is rank=8 another setting?", "separated by spaces"),
    (
        "model=bert-base-uncased",
        "model = 'bert-base-uncased': does not exist; did you mean 'bert_base_un",
        "model.source=",
    ),
    ("task=my.csv", "task = 'my.csv': does not exist; did you mean 'csv'?", "task=csv task.path=FILE"),
    ("search.values=[1,2]", "search.values: search has no settings here; choose with search=NAME: lr, ", ""),
    ("logger.wandb.project=x", "logger.wandb: is not chosen; add it with logger=wandb", ""),
    ("logger=mlflow logger.wandb.project=x", "logger.wandb: is not chosen; add it with logger=mlflow+wandb", ""),
    ("logger=csv+csv", "logger = 'csv+csv': the parts are", "may not be repeated"),
    ("logger=csv,wandb", "logger=csv,wandb: has several values", "for one run with all of them: logger=csv+wandb"),
    ("method.lora.rank=8", "method.lora: is not chosen; add it with method=ln+lora+mha_adapter+prefix", ""),
    ("trainer.lr.x=3", "trainer.lr.x: trainer.lr has no settings here", ""),
    ("task=dialogsum task.max_length=64", "task.max_length: unknown key; did you mean 'max_", "max_source_length"),
    ("model.name=null", "model.name = null: must be a text; type model.name=TEXT", ""),
    (
        "trainer.batch_size=null",
        "trainer.batch_size = null: must be a whole number; type trainer.batch_size=NUMBER",
        "",
    ),
    ("task.labels=null", "task.labels = null: must be a list; type task.labels=[VALUE,VALUE]", ""),
    ("task=csv", "task.path: must be given; type task.path=FILE", ""),
    ("task=csv task.path=null", "task: needs the path of a file, or a name and a source; type task.path=FILE", ""),
    (
        "task=sst2 task.test_path=x.csv",
        "task: test_path = 'x.csv' is a split of a file of your own; type task.path=FILE too",
        "",
    ),
    ("task.source=null", "task: needs the path of a file, or a name and a source", ""),
    ("task.labels=[true,false]", "task.labels.0 = True: must be a text; in quotes it is one", ""),
    ("task.labels=a", "task.labels = 'a': must be a list; a list is typed in brackets", ""),
    ("test=yes", "test = 'yes': must be true or false", ""),
    ("runs_dir=", "runs_dir = '': must name a file or a folder", ""),
    ("trainer.lr=1e-3x", "trainer.lr = '1e-3x': must be a number", ""),
    ("trainer.devices=x", "trainer.devices = 'x': must be a whole number or 'all'", ""),
    ("method=lora method.lora.alpha=inf", "method.lora.alpha = inf: must be a finite number", ""),
    (
        "trainer.max_steps=99999999999999999999",
        "trainer.max_steps = 99999999999999999999: must be of at most 64 bits",
        "",
    ),
    ("task=csv task.path=x\udcff.csv", r"task.path = 'x\udcff.csv': must be text whose bytes are UTF-8", ""),
    ("runs_dir=\udcff", r"runs_dir = '\udcff': must be text whose bytes are UTF-8", ""),
    ("trainer.warmup=nan", "trainer.warmup = nan: must be a finite number", ""),
    ("search=lr search.values=[1,-inf]", "search.values.1 = -inf: must be a finite number", ""),
]
"""Arguments, how the answer begins, and what else it says."""


@pytest.mark.parametrize(("arguments", "message"), MEANT)
def test_an_argument_with_one_meaning_needs_no_quotes(
    app: App, monkeypatch: pytest.MonkeyPatch, arguments: str, message: str
) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    code, stderr = app(*shlex.split(arguments))
    assert (code, app.ran) == (REFUSED, [])
    assert stderr.startswith(message)


@pytest.mark.parametrize(("arguments", "start", "more"), MISTYPED)
def test_a_mistyped_argument_is_named_in_plain_words(app: App, arguments: str, start: str, more: str) -> None:
    code, stderr = app(*shlex.split(arguments))
    assert (code, app.ran) == (REFUSED, [])
    assert stderr.startswith(start)
    assert more in stderr
    assert "Traceback" not in stderr
    assert "hydra.cc" not in stderr


def test_what_is_shown_as_it_must_be_typed_is_accepted(app: App) -> None:
    for text in ("[a", "glob(x", "a,b", "{a:文}", 'x"y', "x\\", "it's", "a${b}", "a${b"):
        assert app("task=mrpc", *shlex.split(as_typed("task.text", text))) == (0, "")
        assert getattr(app.ran[-1].task, "text", None) == text


@pytest.mark.parametrize(
    ("arguments", "setting", "values"),
    [
        ("task=mrpc task.text=文本", "task.text", ["文本"]),
        ("task=mrpc task.labels=[是,不是]", "task.labels", [["是", "不是"]]),
        ("task=mrpc task.labels=[1,99999999999999999999]", "task.labels", [["1", "99999999999999999999"]]),
        ("task=mrpc task.labels=[1,-2]", "task.labels", [["1", "-2"]]),
        ("task=mrpc task.skip=[-1]", "task.skip", [("-1",)]),
        ("task=mrpc task.text=7 task.pair=8", "task.text", ["7"]),
        ("task=mrpc -m task.text=a=1,文", "task.text", ["a=1", "文"]),
        ("model.name=a -m seed=1,2", "seed", [1, 2]),
        ("seed=3 --multirun --multirun", "seed", [3]),
        ("-m 'method=glob(l*)'", "method_name", ["ln", "lora", "lora_all", "lora_xs", "loreft"]),
        ("'method=ln + prefix'", "method_name", ["ln+prefix"]),
        ("+seed=3", "seed", [3]),
        ("+experiment=smoke", "trainer.max_steps", [10]),
        ("~trainer.max_steps", "trainer.max_steps", [None]),
        ("model.source=~/m", "model.source", ["/home/someone/m"]),
        ("runs_dir=~/r data_root=~/d", "runs_dir", [Path("/home/someone/r")]),
    ],
)
def test_an_argument_with_one_meaning_is_accepted(
    app: App, monkeypatch: pytest.MonkeyPatch, arguments: str, setting: str, values: list[object]
) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    assert app(*shlex.split(arguments)) == (0, "")
    assert [attrgetter(setting)(config) for config in app.ran] == values


def test_a_sweep_in_the_home_folder_leaves_all_there(app: App, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert app("-m", "method=ln,lora", "runs_dir=~/runs") == (0, "")
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.yaml")] == ["home/runs/multirun.yaml"]


def test_a_sweep_in_a_folder_that_cannot_be_made_is_told(app: App, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, stderr = app("-m", "seed=1,2", f"runs_dir={tmp_path}/file/runs")
    assert (code, app.ran) == (REFUSED, [])
    assert stderr.startswith(f"{tmp_path}/file/runs: Not a directory; where runs are written is chosen by runs_dir=")


def test_help_and_version_are_shown_whatever_else_is_typed(cli: Python) -> None:
    assert cli("--help", "method").stdout == cli("-h").stdout
    assert cli("--version").stdout == f"lnbench {lnbench.__version__}\n"


def test_unusable_data_is_told_without_a_traceback(app: App) -> None:
    app.outcome = {"ln": DataError("tweets: no such column")}
    assert app("method=ln")[0] == REFUSED
    assert app("method=ln")[1].startswith("tweets: no such column\n")


def test_a_failed_run_shows_its_traceback(app: App) -> None:
    app.outcome = {"ln": ZeroDivisionError("oops")}
    code, stderr = app("method=ln")
    assert code == FAILED
    assert stderr.count("Traceback") == 1
    assert stderr.endswith("ZeroDivisionError: oops\n")


def test_an_interrupt_ends_a_sweep(app: App) -> None:
    app.outcome = {"bitfit": RunInterrupted()}
    assert app("-m", "method=bitfit,ln") == (INTERRUPTED, "")
    assert len(app.ran) == 1


@pytest.mark.parametrize(
    ("terminal", "no_color", "red"), [(True, None, True), (True, "1", False), (False, None, False)]
)
def test_red_is_for_terminals(
    app: App, monkeypatch: pytest.MonkeyPatch, terminal: bool, no_color: str | None, red: bool
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    monkeypatch.delenv("NO_COLOR", raising=False)
    if no_color:
        monkeypatch.setenv("NO_COLOR", no_color)
    code, stderr = app("method=typo")
    assert code == REFUSED
    assert stderr.startswith("\x1b[31m") is red


def test_the_package_imports_nothing(python: Python) -> None:
    script = "import sys, lnbench; print(lnbench.__version__, {'hydra', 'pydantic'} & set(sys.modules))"
    assert python("-c", script).stdout == f"{lnbench.__version__} set()\n"


def test_load_is_that_of_tuned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lnbench.exchange.tuned", SimpleNamespace(load="loader"))
    loader: object = lnbench.load
    assert loader == "loader"
    with pytest.raises(AttributeError, match="module 'lnbench' has no attribute 'lode'"):
        _ = lnbench.lode
