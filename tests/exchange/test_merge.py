"""A merged model is a plain transformers model with the same function."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from transformers import AutoModel, AutoTokenizer

from lnbench.core.schema import ConfigError
from lnbench.exchange.heads import HEAD_FILE
from lnbench.exchange.merge import merge, save_merged
from tests.exchange.conftest import Build, Tune
from tests.tiny import batch

ARCHITECTURES = ("bert", "gpt2")
EVERY_TARGET = "method.lora.targets=[q,k,v,o,ffn]"


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize(
    "method",
    [
        "full",
        "head",
        "ln",
        "bitfit",
        "lora",
        "ia3",
        "ia3+lora",
        "lora+ln",
        "bitfit+ln+lora",
        "fisher_ln",
        "hadamard",
        "red",
        "ssf",
        "beft",
        "beft+hadamard+ia3+lora+red+ssf",
        "lora_all+lora",
    ],
)
def test_logits_are_the_same_and_nothing_is_left_inside(tune: Tune, architecture: str, method: str) -> None:
    tuned = tune(architecture, method, *([EVERY_TARGET] if "lora" in method else []))
    merged = merge(tuned)
    inputs = batch()
    torch.testing.assert_close(merged.model(**inputs), tuned.model(**inputs), rtol=0, atol=1e-5)
    assert merged.model.backbone.num_parameters() == tuned.model.pretrained_size
    assert not any(module._forward_hooks for module in merged.model.backbone.modules())


@pytest.mark.parametrize(
    ("method", "inserting"),
    [("prefix", "prefix"), ("ln+mha_adapter", "mha_adapter"), ("lora+unipelt", "lora, unipelt"), ("loreft", "loreft")],
)
def test_a_network_of_its_own_cannot_be_folded(tune: Tune, method: str, inserting: str) -> None:
    with pytest.raises(
        ConfigError,
        match=rf"method: {inserting} cannot be folded.*full, head, ln, fisher_ln, bitfit, lora, lora_all, lora_xs",
    ):
        merge(tune("bert", method))


@pytest.mark.parametrize("method", ["hadamard", "red", "ssf", "beft"])
def test_a_bias_of_a_layer_that_has_none_is_refused_and_its_company_is_not_blamed(build: Build, method: str) -> None:
    with pytest.raises(ConfigError, match=f"method: {method} cannot be folded .* where the layers that they change"):
        merge(build("llama", f"method={method}+lora+ln", EVERY_TARGET, "model.pooling=last"))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_transformers_alone_reads_what_is_saved(tune: Tune, architecture: str, tmp_path: Path) -> None:
    tuned = tune(architecture, "ln+lora")
    save_merged(tuned, tmp_path)
    inputs = tuned.tokenizer("a good film", return_tensors="pt", return_token_type_ids=False)
    plain = AutoModel.from_pretrained(tmp_path).eval()
    output = plain(**inputs)
    torch.testing.assert_close(
        output.last_hidden_state, tuned.model.backbone(**inputs).last_hidden_state, rtol=0, atol=1e-5
    )
    head = load_file(tmp_path / HEAD_FILE)
    assert head.keys() == {"classifier.weight", "classifier.bias"}
    logits = output.last_hidden_state[:, -1] @ head["classifier.weight"].T + head["classifier.bias"]
    torch.testing.assert_close(logits, tuned.model(**inputs), rtol=0, atol=1e-5)
    assert AutoTokenizer.from_pretrained(tmp_path)("a good film")["input_ids"] == inputs["input_ids"][0].tolist()


def test_the_saved_tokenizer_cuts_no_text_after_others_were_cut(tune: Tune, tmp_path: Path) -> None:
    """transformers 5.23.0 saves the truncation of a tokenizer's last call, which tokenizers then applies."""
    tuned = tune("bert", "ln")
    tuned.tokenizer("a good film", truncation=True, max_length=3)
    save_merged(tuned, tmp_path)
    saved = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert saved.encode("a good film").ids == AutoTokenizer.from_pretrained(tmp_path)("a good film")["input_ids"]
