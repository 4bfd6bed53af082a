"""Names in configurations: what they find, and what no file can make happen."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from lnbench.config.run import validate, validate_saved
from lnbench.core import registry
from lnbench.core.config_folders import config_dir
from lnbench.core.registry import allow_modules, kind_of
from lnbench.core.schema import ConfigError
from lnbench.methods.base import METHODS
from lnbench.methods.ln import LayerNormTuning
from lnbench.tasks.base import TASKS
from tests.conftest import Configure
from tests.tiny import PARTS, shipped

SPY = "import pathlib\npathlib.Path(__file__).with_name('ran').touch()\n"
MINE = 'from lnbench.methods.base import Method\n\n\nclass Mine(Method):\n    """Does nothing."""\n'
ADDRESSES = {
    "ln": "lnbench.methods.ln.LayerNormTuning",
    "mha_adapter": "lnbench.methods.mha_adapter.MhaAdapter",
    "lora": "lnbench.methods.lora.Lora",
}
"""How version 0.1.0 named methods."""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module outside lnbench with a method, which leaves a file `ran` when it is imported."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(registry, "_allowed", {})
    file = tmp_path / f"methods_of_{tmp_path.name}.py"
    file.write_text(SPY + MINE)
    return file


@pytest.mark.parametrize("name", PARTS)
def test_every_shipped_method_is_known_by_its_name(name: str) -> None:
    assert kind_of(type(METHODS.parse(shipped(name), "method"))) == name


def test_every_shipped_task_names_a_known_family() -> None:
    files = sorted((config_dir() / "task").glob("*.yaml"))
    kinds = {str(OmegaConf.select(OmegaConf.load(file), "kind")) for file in files}
    assert {kind_of(TASKS.find(kind, "task")) for kind in kinds} == kinds


@pytest.mark.parametrize(
    "raw", [3, {}, {"kind": None}, {"kind": "lnn"}, {"kind": "base"}, {"kind": "bottleneck"}, {"kind": "os.path"}]
)
def test_what_is_no_method_is_refused_with_what_is(raw: Any) -> None:
    with pytest.raises(ConfigError, match=r"^method\.x(\.kind)? = "):
        METHODS.parse(raw, "method.x")


def test_a_mistyped_kind_names_the_nearest() -> None:
    with pytest.raises(
        ConfigError, match=r"method\.x\.kind = 'lor': is unknown; did you mean 'lora'\? known: adalora, adapter, "
    ):
        METHODS.parse({"kind": "lor"}, "method.x")


def test_a_module_is_imported_only_when_it_is_allowed(module: Path) -> None:
    kind, ran = f"{module.stem}.Mine", module.with_name("ran")
    with pytest.raises(ConfigError, match=r"A class of your own is known once its module is allowed"):
        METHODS.parse({"kind": kind}, "method.mine")
    assert not ran.exists()
    allow_modules([module.stem])
    assert ran.exists()
    assert kind_of(type(METHODS.parse({"kind": kind}, "method.mine"))) == kind


def test_a_class_of_ones_own_may_have_a_short_name(module: Path) -> None:
    module.write_text(MINE.replace("(Method):\n", "(Method):\n    kind = 'short'\n"))
    allow_modules([module.stem])
    assert METHODS.find("short", "method.mine").__name__ == "Mine"


@pytest.mark.parametrize("group", ["method", "task"])
@pytest.mark.parametrize("key", ["kind", "_target_"])
def test_reading_a_configuration_runs_no_code_that_it_names(
    configure: Configure, module: Path, group: str, key: str
) -> None:
    raw = configure().to_dict()
    node = raw["task"] if group == "task" else raw["method"]["ln"]
    del node["kind"]
    node[key] = f"{module.stem}.Mine"
    with pytest.raises(ConfigError, match="is unknown"):
        validate_saved({**raw, "plugins": [module.stem]})
    assert not module.with_name("ran").exists()


def test_a_model_in_a_package_is_found_without_importing_the_package(configure: Configure, module: Path) -> None:
    package = module.with_name(f"package_of_{module.stem}")
    (package / "sub" / "model").mkdir(parents=True)
    for folder in (package, package / "sub"):
        (folder / "__init__.py").write_text(SPY)
    from lnbench.backbone.source import resolve_source

    assert resolve_source(f"package:{package.name}/sub/model") == str(package / "sub" / "model")
    with pytest.raises(ConfigError, match=r"'.*\.sub' is not the name of a Python package"):
        resolve_source(f"package:{package.name}.sub/model")
    assert not list(package.rglob("ran"))


def test_modules_of_ones_own_come_from_the_command_line(configure: Configure, module: Path) -> None:
    raw = configure().to_dict()
    raw["method"] = {"mine": {"kind": f"{module.stem}.Mine", "lr": 0.1}}
    config = validate({**raw, "plugins": [module.stem]})
    assert config.identity()["method"]["mine"]["kind"] == f"{module.stem}.Mine"
    with pytest.raises(ConfigError, match=r"^plugins = 'no_such_module': cannot be imported"):
        validate({**raw, "plugins": ["no_such_module"]})
    with pytest.raises(ConfigError, match=r"^plugins = 'mine': must be a list of modules"):
        validate({**raw, "plugins": "mine"})


def test_configurations_of_version_0_1_0_are_read(configure: Configure) -> None:
    config = configure("method=ln+mha_adapter+lora")
    raw = config.to_dict()
    for name, node in raw["method"].items():
        del node["kind"]
        node["_target_"] = ADDRESSES[name]
    del raw["task"]["kind"], raw["plugins"]
    raw["task"]["_target_"] = "lnbench.tasks.classification.SequenceClassification"
    assert validate_saved(json.loads(json.dumps(raw))) == config


def test_an_identity_names_no_module(configure: Configure) -> None:
    assert "lnbench" not in json.dumps(configure("method=ln+prefix+mha_adapter").identity())


def test_finding_a_method_does_without_torch() -> None:
    code = (
        "import sys; from lnbench.methods.base import METHODS; METHODS.find('ln', 'method.ln'); "
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_class_of_an_installed_package_is_known_by_its_entry_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    about = tmp_path / "somebodys_methods-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: somebodys-methods\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[lnbench.methods]\ntheirs = somebodys_methods:Theirs\nwrong = os:sep\n")
    (tmp_path / "somebodys_methods.py").write_text(
        MINE.replace("class Mine(Method):\n", "class Theirs(Method):\n    kind = 'theirs'\n")
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert METHODS.find("theirs", "method.x").__name__ == "Theirs"
    with pytest.raises(ConfigError, match=r"entry point 'os:sep' of lnbench\.methods: is not a Method"):
        METHODS.find("wrong", "method.x")
    assert METHODS.find("ln", "method.x") is LayerNormTuning


BROKEN = {
    "class Mine(": r"its code cannot be run \(SyntaxError: .*line 1\)\)$",
    "import os\nvalue = 1 / 0": r"its code cannot be run \(ZeroDivisionError: division by zero, at .*\.py:2\)$",
    "import no_such_module": r"cannot be imported \(No module named 'no_such_module'\)",
}


@pytest.mark.parametrize("code", BROKEN)
def test_a_module_with_a_mistake_is_refused_with_its_place(module: Path, code: str) -> None:
    module.write_text(code)
    with pytest.raises(ConfigError, match=f"^plugins = '{module.stem}': {BROKEN[code]}"):
        allow_modules([module.stem])


def test_a_kind_that_several_classes_have_is_refused(module: Path) -> None:
    module.write_text(MINE + '    kind = "ln"\n')
    allow_modules([module.stem])
    told = f"^kind = 'ln': several classes have this name, {ADDRESSES['ln']} and {module.stem}.Mine; give your own"
    with pytest.raises(ConfigError, match=told):
        METHODS.find("ln", "method.ln")
    assert METHODS.find("bitfit", "method.bitfit")


def test_two_modules_with_one_kind_are_told_apart(module: Path) -> None:
    other = module.with_name(f"more_{module.name}")
    for file in (module, other):
        file.write_text(MINE + '    kind = "mine"\n')
    allow_modules([module.stem])
    assert METHODS.find("mine", "method.mine").__module__ == module.stem
    allow_modules([other.stem])
    with pytest.raises(ConfigError, match=f"several classes have this name, {module.stem}.Mine and {other.stem}.Mine"):
        METHODS.find("mine", "method.mine")
