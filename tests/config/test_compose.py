"""Sums in Hydra: `method=a+b`."""

from collections.abc import Iterator
from itertools import permutations
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra._internal.sources_registry import SourcesRegistry
from hydra.core.object_type import ObjectType
from hydra.core.singleton import Singleton
from hydra.errors import ConfigCompositionException
from hydra.plugins.config_source import ConfigSource
from hydra.test_utils.config_source_common_tests import ConfigSourceTestSuite
from omegaconf import DictConfig, OmegaConf

from lnbench.config import compose as subject
from lnbench.config.compose import FileConfigSource, compose_config, to_plain
from lnbench.config.defaults import FOUND_OUT, SCHEMAS
from lnbench.config.run import validate
from lnbench.core import config_folders
from lnbench.core.config_folders import config_dir
from lnbench.core.schema import ConfigError, Schema, schemas_in
from lnbench.methods.base import METHODS
from lnbench.tasks.base import TASKS

# The configurations that Hydra's test suite for sources expects: path -> text.
SUITE_TREE = {
    "primary_config": "",
    "primary_config_with_non_global_package": "# @package foo\n",
    "config_without_group": "group: false\n",
    "config_with_unicode": "group: 数据库\n",
    "config_with_defaults_list": "defaults: [{dataset: imagenet}]\nkey: value\n",
    "configs_with_defaults_list/global_package": "# @package _global_\ndefaults: [{foo: bar}]\nx: 10\n",
    "configs_with_defaults_list/group_package": "# @package _group_\ndefaults: [{foo: bar}]\nx: 10\n",
    "dataset": "dataset_yaml: true\n",
    "dataset/imagenet": "name: imagenet\npath: /datasets/imagenet\n",
    "dataset/cifar10": "name: cifar10\npath: /datasets/cifar10\n",
    "optimizer/adam": "type: adam\n",
    "optimizer/nesterov": "type: nesterov\n",
    "level1/level2/nested1": "l1_l2_n1: true\n",
    "level1/level2/nested2": "l1_l2_n2: true\n",
    "package_test/none": "foo: bar\n",
    "package_test/explicit": "# @package a.b\nfoo: bar\n",
    "package_test/global": "# @package _global_\nfoo: bar\n",
    "package_test/group": "# @package _group_\nfoo: bar\n",
    "package_test/group_name": "# @package foo._group_._name_\nfoo: bar\n",
    "package_test/name": "# @package _name_\nfoo: bar\n",
}


class TestHydrasSuite(ConfigSourceTestSuite):
    """Hydra's own tests of what a source of configurations must do."""

    @pytest.fixture
    def type_(self) -> type[ConfigSource]:
        return FileConfigSource

    @pytest.fixture
    def path(self, tmp_path: Path) -> str:
        for name, text in SUITE_TREE.items():
            file = tmp_path / f"{name}.yaml"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        return f"file://{tmp_path}"


@pytest.fixture
def source() -> FileConfigSource:
    return FileConfigSource("test", f"file://{config_dir()}")


def parts(*overrides: str) -> list[str]:
    return list(compose_config(*overrides).method)


@pytest.mark.parametrize("order", list(permutations(["ln", "prefix", "bitfit"])))
def test_a_sum_commutes(order: tuple[str, ...]) -> None:
    assert compose_config(f"method={'+'.join(order)}") == compose_config("method=bitfit+ln+prefix")


def test_a_sum_is_the_union_of_its_parts() -> None:
    both = compose_config("method=ln+prefix").method
    assert both == {**compose_config("method=ln").method, **compose_config("method=prefix").method}
    assert list(both) == ["ln", "prefix"]


def test_a_part_of_a_sum_can_be_changed() -> None:
    assert compose_config("method=prefix+ln", "method.prefix.length=7").method.prefix.length == 7


def test_hydra_keeps_the_name_of_the_sum() -> None:
    subject.register()
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        config = compose("config", overrides=["method=prefix+ln"], return_hydra_config=True)
    assert config.hydra.runtime.choices.method == "prefix+ln"


def test_a_sum_in_an_experiment(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "method").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text(
        "# @package _global_\ndefaults: [override /method: ln+mine]\nseed: 5\nmethod: {ln: {lr: 0.5}}\n"
    )
    (tmp_path / "method" / "mine.yaml").write_text("# @package method.mine\nlr: 0.25\n")
    config = compose_config("experiment=mine", f"hydra.searchpath=[{tmp_path}]")
    assert list(config.method) == ["ln", "mine"]
    assert (config.seed, config.method.ln.lr, config.method.mine.lr) == (5, 0.5, 0.25)


def test_defaults_of_a_sum(source: FileConfigSource) -> None:
    result = source.load_config("method/prefix+ln")
    assert result.config == {"defaults": ["ln", "prefix", "_self_"]}
    assert result.header == {"package": None}
    assert source.is_config("method/prefix+ln")
    assert not source.is_config("task/prefix+ln")
    assert not source.is_group("method/prefix+ln")


@pytest.mark.parametrize("name", ["ln+ln", "ln+prefix+ln", "ln+", "+ln", "ln++prefix", "+"])
def test_a_repeated_or_empty_part_is_refused(source: FileConfigSource, name: str) -> None:
    with pytest.raises(ConfigCompositionException, match="the parts are '") as caught:
        source.load_config(f"method/{name}")
    assert str(caught.value).startswith(f"method = {name!r}: the parts are {str(name.split('+'))[1:-1]}; ")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("method=prefx", "method = 'prefx': does not exist; did you mean 'prefix'? available: .*ln, .*prefix"),
        ("method=ln+prefx", "method = 'prefx': does not exist; did you mean 'prefix'? available: .*ln, .*prefix"),
        ("method=qqq+ln", "method = 'qqq': does not exist; available: .*ln, .*prefix"),
        ("model=bert_bse", "model = 'bert_bse': does not exist; did you mean 'bert_base'?"),
        ("method.ln.learning=1", "method.ln.learning: unknown key; known keys: .*lr"),
        ("method.prefx.lr=1", "method.prefx: unknown key; did you mean 'prefix'? known keys: ln, mha_adapter, prefix"),
        ("expermient=smoke", "expermient: unknown key; did you mean 'experiment'?"),
        ("method=ln,prefix", "method=ln,prefix: has several values, and this is no sweep"),
        ("method=null", "method=null: method takes the name of one of: adalora, adapter, "),
        ("task=2019", "task=2019: task takes the name of one of: boolq, "),
        ("method=[", "cannot be understood"),
    ],
)
def test_what_does_not_exist_is_named_with_what_does(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message.replace("?", r"\?")):
        compose_config(override)


def test_listing_offers_each_part_once(source: FileConfigSource, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COMP_LINE", raising=False)
    names = source.list("method", ObjectType.CONFIG)
    assert names == sorted(file.stem for file in (config_dir() / "method").glob("*.yaml"))
    assert "ln" in names


def test_completion_continues_a_sum(source: FileConfigSource, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMP_LINE", "lnbench seed=1 method=ln+bitfit+p")
    names = source.list("method", ObjectType.CONFIG)
    assert {"ln", "ln+bitfit+prefix"} < set(names)
    assert not {"ln+bitfit+ln", "ln+bitfit+bitfit"} & set(names)


def test_an_installed_package_brings_its_own_configurations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config_folders, "__file__", str(tmp_path / "lnbench" / "core" / "config_folders.py"))
    assert config_dir() == tmp_path / "conf"
    (tmp_path / "lnbench" / "conf").mkdir(parents=True)
    assert config_dir() == tmp_path / "lnbench" / "conf"


def test_to_plain_resolves_and_leaves_hydra_out() -> None:
    config = OmegaConf.create({"seed": 3, "again": "${seed}", "hydra": {"job": {}}})
    assert to_plain(config) == {"seed": 3, "again": 3}


@pytest.mark.parametrize("value", ["${nowhere}", "???"])
def test_to_plain_names_what_cannot_be_resolved(value: str) -> None:
    with pytest.raises(ConfigError, match=r"^model\.name: "):
        to_plain(OmegaConf.create({"model": {"name": value}}))


@pytest.mark.parametrize(
    ("name", "sum_"),
    [
        ("mam", "parallel_adapter+prefix"),
        ("ln+mam", "ln+parallel_adapter+prefix"),
        ("mam+ln", "ln+parallel_adapter+prefix"),
        ("mam+prefix", "parallel_adapter+prefix"),
    ],
)
def test_a_sum_with_a_name_of_its_own_is_the_sum(name: str, sum_: str) -> None:
    named, spelt = (to_plain(compose_config(f"method={method}", "method.prefix.length=7")) for method in (name, sum_))
    assert named == spelt
    assert validate(named).method_name == sum_
    assert validate(named).identity() == validate(spelt).identity()


def settings_of(schema: type[Schema], node: DictConfig, prefix: str) -> Iterator[str]:
    """Dotted names of all settings of a schema, and of those inside of it that are not null."""
    for name, field in schema.model_fields.items():
        inner = next(schemas_in(field.annotation), None)
        if inner and isinstance(node[name], DictConfig):
            yield from settings_of(inner, node[name], f"{prefix}.{name}")
        elif name not in FOUND_OUT:
            yield f"{prefix}.{name}"


TYPED = [("mrpc", "+"), ("mrpc", "++"), *((task, "") for task in ("mrpc", "csv", "stsb", "conll2003", "squad", "dart"))]


@pytest.mark.parametrize(("task", "plus"), TYPED)
def test_every_setting_of_every_schema_can_be_set(task: str, plus: str) -> None:
    methods = sorted(file.stem for file in (config_dir() / "method").glob("*.yaml") if file.stem != "mam")
    chosen = [f"task={task}", f"method={'+'.join(methods)}", "logger=mlflow+tensorboard+wandb", "search=lr"]
    config = compose_config(*chosen)
    parts = {f"method.{name}": METHODS.find(node.kind, "method") for name, node in config.method.items()}
    schemas = {**SCHEMAS, **parts, "task": TASKS.find(config.task.kind, "task")}
    settings = [
        setting
        for group, schema in schemas.items()
        for setting in settings_of(schema, OmegaConf.select(config, group), group)
    ]
    assert {"model.revision", "model.gguf_file", "task.splits.validation_limit", "method.ln.lr"} <= {*settings}
    changed = compose_config(*chosen, *(f"{plus}{name}=7" for name in settings))
    assert {name for name in settings if OmegaConf.select(changed, name) != 7} == set()


def test_settings_of_ones_own_files_can_be_set(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "mine.yaml").write_text("name: mine\nsource: folder\npooling: mean\n")
    (tmp_path / "trainer").mkdir()
    (tmp_path / "trainer" / "mine.yaml").write_text("defaults: [default, _self_]\nbatch_size: 5\n")
    mine = compose_config("model=mine", "trainer=mine", f"hydra.searchpath=[{tmp_path}]", "model.dropout=0.2")
    assert (mine.model.dropout, mine.model.revision) == (0.2, None)
    assert (mine.trainer.batch_size, mine.trainer.max_steps) == (5, 300)


def test_folders_are_still_read_so_after_hydra_registers_its_own_classes() -> None:
    subject.register()
    Singleton.set_state(Singleton.get_state())  # as in the process of a job
    assert SourcesRegistry.instance().resolve("file") is FileConfigSource


def test_a_foreign_file_is_left_as_it_is(tmp_path: Path) -> None:
    for group, text in (("model", "size: 5\n"), ("task", "kind: mine\n"), ("other", "a: 1\n")):
        (tmp_path / group).mkdir()
        (tmp_path / group / "it.yaml").write_text(text)
        assert FileConfigSource("test", f"file://{tmp_path}").load_config(f"{group}/it").config == OmegaConf.create(
            text
        )


def test_defaults_do_not_change_a_run() -> None:
    config = compose_config("model=gpt2", "task=sst2", "method=ln")
    bare = config.copy()
    for group, name in (("model", "gpt2"), ("task", "sst2")):
        bare[group] = OmegaConf.load(config_dir() / group / f"{name}.yaml")
    assert bare != config
    assert validate(to_plain(bare)).identity() == validate(to_plain(config)).identity()


METHOD_FILES = {
    "kind: ln\nlr: 0.1": r"does not say where its settings belong; its first line must be: # @package method\.mine$",
    "# @package method.other\nkind: ln": r"says method\.other; its first line must be: # @package method\.mine$",
    "": "has no settings; a method has at least a kind$",
    "# @package method.mine\nkind: ln\n lr: 1": r"is no YAML \(line 3: mapping values are not allowed here\)$",
}


@pytest.mark.parametrize("content", METHOD_FILES)
@pytest.mark.parametrize("method", ["mine", "ln+mine"])
def test_a_half_finished_file_of_a_method_is_named(tmp_path: Path, content: str, method: str) -> None:
    (tmp_path / "method").mkdir()
    file = tmp_path / "method" / "mine.yaml"
    file.write_text(content)
    with pytest.raises(ConfigError, match=f"^{file}: {METHOD_FILES[content]}"):
        compose_config(f"method={method}", f"hydra.searchpath=[{tmp_path}]")
