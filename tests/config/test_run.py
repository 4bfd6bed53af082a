"""Schemas, and the checked configuration of a run."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from lnbench.config.compose import compose_config, to_plain
from lnbench.config.run import validate
from lnbench.core.schema import ConfigError, Free, Schema, did_you_mean, parse


class Inner(Schema):
    size: int = 1
    colour: Free[str] = "red"


class Outer(Schema):
    inner: Inner = Inner()
    maybe: Inner | None = None
    ratio: float | None = None
    path: Free[str] = "here"


@pytest.fixture(scope="module")
def default() -> dict[str, Any]:
    return to_plain(compose_config())


def changed(raw: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    """A copy of `raw` with the value at the dotted `key` set or added."""
    config = OmegaConf.create(raw)
    OmegaConf.update(config, key, value, force_add=True, merge=False)
    return to_plain(config)


def test_a_whole_number_is_a_text_where_one_is_wanted() -> None:
    raw = {"inner": {"colour": 7}, "path": -1}
    assert parse(Outer, raw) == Outer(inner=Inner(colour="7"), path="-1")
    assert raw == {"inner": {"colour": 7}, "path": -1}, "what was given stays as it was"


def test_a_value_that_may_be_of_several_kinds_is_refused_in_one_line(default: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        validate(changed(changed(default, "trainer.devices", "x"), "seed", "y"))
    assert str(caught.value).splitlines() == [
        "seed = 'y': must be a whole number",
        "trainer.devices = 'x': must be a whole number or 'all'",
    ]


def test_parse_builds_nested_schemas() -> None:
    assert parse(Outer, {"inner": {"size": 3}, "ratio": 1}) == Outer(inner=Inner(size=3), ratio=1.0)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"inner": {"size": "3"}}, "at.inner.size = '3': must be a whole number"),
        ({"inner": {"size": 3.5}}, "at.inner.size = 3.5: must be a whole number"),
        ({"inner": {"siz": 3}}, "at.inner.siz: unknown key; did you mean 'size'? known keys: colour, size"),
        ({"maybe": {"siz": 3}}, "at.maybe.siz: unknown key; did you mean 'size'? known keys: colour, size"),
        ({"outer": 1}, "at.outer: unknown key; known keys: inner, maybe, path, ratio"),
        (
            {"path": None, "ratio": True},
            "at.ratio = True: must be a number\nat.path = null: must be a text; type at.path=TEXT",
        ),
    ],
)
def test_parse_names_field_value_and_what_is_allowed(raw: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(Outer, raw, "at")
    assert str(caught.value).startswith(message)


def test_identity_leaves_out_what_cannot_change_the_numbers() -> None:
    assert Outer(path="a", inner=Inner(colour="blue")).identity() == Outer().identity()
    assert Outer(inner=Inner(size=2)).identity() == {"inner": {"size": 2}, "maybe": None, "ratio": None}


def test_schemas_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Outer().ratio = 2.0  # type: ignore[misc]


def test_did_you_mean() -> None:
    assert did_you_mean("lenght", ["length", "layers"]) == "did you mean 'length'? "
    assert did_you_mean("zzz", ["length", "layers"]) == ""


def test_the_default_configuration(default: dict[str, Any]) -> None:
    config = validate(default)
    assert config.method_name == "ln+mha_adapter+prefix"
    assert list(config.method) == ["ln", "mha_adapter", "prefix"]
    assert (config.seed, config.model.name, config.task.name) == (0, "minilm", "tweets")


def test_a_saved_configuration_is_read_back(default: dict[str, Any]) -> None:
    config = validate(default)
    again = validate(json.loads(json.dumps(config.to_dict())))
    assert again == config
    assert again.identity() == config.identity()


def test_the_order_of_a_sum_does_not_change_the_identity(default: dict[str, Any]) -> None:
    turned = {**default, "method": dict(reversed(default["method"].items()))}
    assert json.dumps(validate(turned).identity()) == json.dumps(validate(default).identity())


@pytest.mark.parametrize(
    ("key", "value"),
    [("runs_dir", "/x"), ("rerun", True), ("trainer.device", "cpu"), ("logger.wandb", {"project": "p"})],
)
def test_free_settings_do_not_change_the_identity(default: dict[str, Any], key: str, value: Any) -> None:
    assert validate(changed(default, key, value)).identity() == validate(default).identity()


@pytest.mark.parametrize(
    ("key", "value"),
    [("seed", 1), ("trainer.lr", 0.1), ("method.ln.lr", 0.1), ("model.source", "x"), ("task.splits.seed", 7)],
)
def test_other_settings_change_the_identity(default: dict[str, Any], key: str, value: Any) -> None:
    assert validate(changed(default, key, value)).identity() != validate(default).identity()


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("trainer.batch_size", "abc", "trainer.batch_size = 'abc': must be a whole number"),
        ("trainer.batch_size", 0, "trainer.batch_size = 0: must be greater than or equal to 1"),
        ("trainer.max_steps", 0, "trainer.max_steps = 0: must be greater than or equal to 1"),
        ("trainer.lr", math.nan, "trainer.lr = nan: must be a finite number"),
        ("trainer.warmup", [math.inf], "trainer.warmup.0 = inf: must be a finite number"),
        ("trainer.precision", "fp16", "trainer.precision = 'fp16': must be 'auto', 'fp32' or 'bf16'"),
        ("trainer.batchsize", 8, "trainer.batchsize: unknown key; did you mean 'batch_size'? known keys: "),
        ("model.pooling", None, "model.pooling = null: must be 'mean', 'first', 'last' or 'pooler'"),
        ("seed", -1, "seed = -1: must be greater than or equal to 0"),
        ("seed", True, "seed = True: must be a whole number"),
        (
            "logger.wandb",
            {"projct": "p"},
            "logger.wandb.project: is missing\nlogger.wandb.projct: unknown key; did you",
        ),
        ("method.prefix.length", 0, "method.prefix.length = 0: must be greater than or equal to 1"),
        *(
            (f"method.{name}", 100_000_000, f"method.{name} = 100000000: must be less than or equal to 10000")
            for name in ("prefix.length", "prefix.mlp_size", "mha_adapter.bottleneck")
        ),
        ("method.prefix.lenght", 3, "method.prefix.lenght: unknown key; did you mean 'length'? known keys: "),
        ("method.ln.terms", ["gian"], "method.ln.terms.0 = 'gian': must be 'gain' or 'bias'"),
        ("method.ln", 3, "method.ln = 3: must be a group of settings"),
        ("method", None, "method = None: must be a group of settings; choose one with method=NAME"),
        ("method", {}, "method = {}: must be a group of settings; choose one with method=NAME"),
        ("task", 5, "task = 5: must be a group of settings; choose one with task=NAME"),
        ("nothing", 5, "nothing: unknown key; known keys: "),
    ],
)
def test_a_mistake_is_named(default: dict[str, Any], key: str, value: Any, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        validate(changed(default, key, value))
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("setting", ["prompt.length", "lora.rank", "compacter.terms", "compacter.bottleneck"])
def test_a_size_that_no_memory_holds_is_refused_before_a_model_loads(setting: str) -> None:
    with pytest.raises(ConfigError, match=rf"^method\.{setting} = 100000000: must be less than or equal to \d+$"):
        validate(to_plain(compose_config(f"method={setting.partition('.')[0]}", f"method.{setting}=100000000")))


def test_a_search_of_more_beams_than_memory_holds_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^task\.search\.num_beams = 1000000: must be less than or equal to 1000$"):
        validate(to_plain(compose_config("task=dart", "model=gpt2", "task.search.num_beams=1000000")))


def test_a_revision_of_what_is_not_on_the_hub_is_refused_by_name(tmp_path: Path) -> None:
    for source, place in (
        (str(tmp_path), "a folder of this machine"),
        ("package:carrier/model", "in a Python package"),
    ):
        with pytest.raises(
            ConfigError, match=rf"^model\.revision = 'main': .* model\.source = '{source}' is {place}; "
        ):
            validate(to_plain(compose_config("model=gpt2", f"model.source={source}", "model.revision=main")))
    on_the_hub = validate(to_plain(compose_config("model=gpt2", "model.revision=main")))
    assert on_the_hub.model.revision == "main"


def test_a_missing_setting_is_named(default: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"^trainer\.batch_size: is missing$"):
        validate(
            {**default, "trainer": {key: value for key, value in default["trainer"].items() if key != "batch_size"}}
        )


@pytest.mark.parametrize("name", ["full", "head"])
def test_an_impossible_sum_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"'{name}' leaves nothing to add.* summed with ln.* -m method={name},ln$"):
        validate(to_plain(compose_config(f"method=ln+{name}")))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(), values, max_size=3),
)


@settings(max_examples=50)
@given(
    path=st.sampled_from(["seed", "model", "trainer", "method", "task", "logger", "runs_dir", "new"]), value=json_values
)
def test_any_value_anywhere_is_accepted_or_refused_by_name(default: dict[str, Any], path: str, value: Any) -> None:
    message = path
    try:
        validate({**default, path: value})
    except ConfigError as error:
        message = str(error)
    assert message.startswith(path)
