"""An adapter that HF peft has saved becomes a tuned model with the same logits."""

import itertools
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import (
    BeftConfig,
    IA3Config,
    LNTuningConfig,
    LoraConfig,
    OFTConfig,
    PeftConfig,
    VeraConfig,
    get_peft_model,
)
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
)

import lnbench
from lnbench.core.schema import ConfigError
from lnbench.exchange.heads import HEAD_FILE
from lnbench.exchange.peft_format import CONFIG, WEIGHTS, export_peft
from lnbench.exchange.peft_import import import_peft
from lnbench.import_peft import main
from lnbench.records.files import ADAPTER
from lnbench.records.files import CONFIG as RUN_CONFIG
from tests import runs
from tests.exchange.conftest import Build
from tests.tiny import batch, shake, tiny, tiny_generator

pytestmark = [
    pytest.mark.filterwarnings("ignore:Unsupported layer type:UserWarning"),
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
]

Folders = Callable[[str], Path]
NORMS = {
    "bert": ["embeddings.LayerNorm", "layer.1.output.LayerNorm"],
    "deberta_v2_conv": ["LayerNorm"],
    "distilbert": ["output_layer_norm"],
    "gpt2": ["ln_2", "ln_f"],
    "llama": ["input_layernorm", "model.norm"],
    "phi": ["input_layernorm", "k_layernorm"],
    "phi3": ["post_attention_layernorm"],
    "qwen3": ["k_norm"],
}
LINEAR = {
    "bert": ["query", "value", "output.dense"],
    "distilbert": ["q_lin", "lin2"],
    "gpt2": ["c_attn", "c_proj"],
    "llama": ["q_proj", "gate_proj"],
    "phi": ["v_proj", "dense", "fc1"],
    "phi3": ["qkv_proj", "gate_up_proj"],
    "qwen3": ["o_proj", "down_proj"],
}
RESCALED = {
    "bert": (["key", "value", "layer.0.output.dense"], ["layer.0.output.dense"]),
    "distilbert": (["k_lin", "v_lin", "lin2"], ["lin2"]),
    "llama": (["k_proj", "v_proj", "down_proj"], ["down_proj"]),
}

VALUES = {"bert": ["value"], "distilbert": ["v_lin"], "llama": ["v_proj"]}


def ln(architecture: str, **common: Any) -> PeftConfig:
    return LNTuningConfig(target_modules=NORMS[architecture], **common)


def lora(architecture: str, **common: Any) -> PeftConfig:
    settings: dict[str, Any] = {"r": 4, "lora_alpha": 10, "target_modules": LINEAR[architecture]}
    return LoraConfig(**settings | {"fan_in_fan_out": architecture == "gpt2"} | common)


def unequal_lora(architecture: str, **common: Any) -> PeftConfig:
    first, *_ = LINEAR[architecture]
    patterns = {"rank_pattern": {first: 2}, "alpha_pattern": {rf".*\.1\..*{first}": 7}}
    return lora(architecture, use_rslora=True, **patterns, **common)


def dora(architecture: str, **common: Any) -> PeftConfig:
    return lora(architecture, use_dora=True, **common)


def ia3(architecture: str, **common: Any) -> PeftConfig:
    targets, inner = RESCALED[architecture]
    return IA3Config(target_modules=targets, feedforward_modules=inner, **common)


def beft(architecture: str, **common: Any) -> PeftConfig:
    return BeftConfig(target_modules=VALUES[architecture], **common)


def oft(architecture: str, **common: Any) -> PeftConfig:
    settings = {"oft_block_size": 8, "use_cayley_neumann": False}
    return OFTConfig(target_modules=LINEAR[architecture], **settings | common)


def vera(architecture: str, **common: Any) -> PeftConfig:
    return VeraConfig(r=6, projection_prng_key=3, target_modules=LINEAR[architecture], **common)


def theirs(loader: Any, source: Path, config: PeftConfig, folder: Path, **options: Any) -> Any:
    """A model of peft with an adapter of random values, which is saved."""
    config.base_model_name_or_path = str(source)
    model = get_peft_model(loader.from_pretrained(source, **options), config)
    shake(model, scale=0.3)
    model.save_pretrained(str(folder))
    return model.eval()


@pytest.mark.filterwarnings("ignore:Detected that the base layer has no bias term:UserWarning")
@pytest.mark.parametrize(
    ("architecture", "kind"),
    [
        *itertools.product(sorted(LINEAR), [ln, lora, unequal_lora, dora]),
        ("deberta_v2_conv", ln),
        *itertools.product(sorted(RESCALED), [ia3]),
        *itertools.product(sorted(VALUES), [beft]),
        *itertools.product(["bert", "qwen3"], [oft, vera]),
        ("llama", oft),
        ("phi3", oft),
    ],
)
def test_a_tagger_of_peft(folders: Folders, architecture: str, kind: Callable[..., PeftConfig], tmp_path: Path) -> None:
    adapter, source = tmp_path / "adapter", folders(architecture)
    model = theirs(
        AutoModelForTokenClassification, source, kind(architecture, task_type="TOKEN_CLS"), adapter, num_labels=13
    )
    import_peft(adapter, tmp_path / "run", [f"model.source={source}", "task=wnut17", "model.pooling=first"])
    ours = lnbench.load(tmp_path / "run").model.double()
    real = batch()["attention_mask"].bool()
    torch.testing.assert_close(ours(**batch())[real], model.double()(**batch()).logits[real], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
def test_a_generator_of_peft(architecture: str, tmp_path: Path) -> None:
    adapter, source = tmp_path / "adapter", runs.save_model(architecture, tmp_path / "model")
    tiny_generator(architecture).save_pretrained(source)
    model = theirs(AutoModelForCausalLM, source, lora(architecture, task_type="CAUSAL_LM"), adapter)
    import_peft(
        adapter, tmp_path / "run", [f"model.source={source}", "task=e2e_nlg", "model.pooling=last", *runs.SHORT_TEXTS]
    )
    ours = lnbench.load(tmp_path / "run")
    real = batch()["attention_mask"].bool()
    torch.testing.assert_close(
        ours.model.backbone(**batch()).logits[real], model(**batch()).logits[real], rtol=0, atol=1e-5
    )


def test_a_classifier_of_peft(folders: Folders, tmp_path: Path) -> None:
    adapter, source = tmp_path / "adapter", folders("bert")
    model = theirs(AutoModelForSequenceClassification, source, lora("bert", task_type="SEQ_CLS"), adapter)
    import_peft(adapter, tmp_path / "run", [f"model.source={source}", "task=sst2", "model.pooling=pooler"])
    ours = lnbench.load(tmp_path / "run")
    torch.testing.assert_close(ours.model(**batch()), model(**batch()).logits, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("architecture", "config", "changes", "reason"),
    [
        (
            "bert",
            vera,
            {"projection_prng_key": 4},
            "its vera_A is not the one that is drawn from projection_prng_key = 4",
        ),
        ("llama", vera, {}, "it leaves out linear maps of the feed-forward network"),
        ("phi3", vera, {}, r"it has one b for a whole layer of several maps \(layers\.0\.self_attn\.qkv_proj"),
        ("bert", oft, {"use_cayley_neumann": True}, "use_cayley_neumann = True: has no counterpart"),
        ("bert", oft, {"coft": True}, "coft = True: has no counterpart"),
    ],
)
def test_a_rotation_or_projection_of_another_kind_is_refused(
    folders: Folders, architecture: str, config: Any, changes: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    adapter, source = tmp_path / "adapter", folders(architecture)
    common = {"task_type": "TOKEN_CLS"}
    theirs(AutoModelForTokenClassification, source, config(architecture, **common), adapter, num_labels=13)
    about = json.loads((adapter / CONFIG).read_text())
    (adapter / CONFIG).write_text(json.dumps(about | changes))
    with pytest.raises(ConfigError, match=reason):
        import_peft(adapter, tmp_path / "run", tagger(source))


@pytest.mark.parametrize("method", ["oft", "vera"])
@pytest.mark.parametrize("architecture", ["bert", "llama"])
def test_rotations_and_projections_come_back(build: Build, architecture: str, method: str, tmp_path: Path) -> None:
    settings = [f"method.{method}.targets=[q,o,ffn]", f"method.{method}.layers='1,3'", "model.pooling=mean"]
    tuned = build(architecture, f"method={method}", *settings)
    export_peft(tuned, tmp_path / "adapter", "beside")
    source = f"model.source={tuned.config.model.source}"
    import_peft(tmp_path / "adapter", tmp_path / "run", [source, "task=sst2", "model.pooling=mean"])
    back = lnbench.load(tmp_path / "run")
    assert back.config.method == tuned.config.method
    assert torch.equal(back.model(**batch()), tuned.model(**batch()))


@pytest.mark.parametrize("method", ["ln", "lora", "ia3"])
@pytest.mark.parametrize(
    ("architecture", "pooling", "place"),
    [
        ("bert", "pooler", "inside"),
        ("bert", "mean", "beside"),
        ("roberta", "pooler", "inside"),
        ("distilbert", "first", "inside"),
        ("electra", "first", "inside"),
        ("gpt2", "last", "beside"),
        ("llama", "last", "beside"),
    ],
)
def test_what_was_exported_comes_back(
    build: Build, architecture: str, pooling: str, place: Any, method: str, tmp_path: Path
) -> None:
    tuned = build(architecture, f"method={method}", f"model.pooling={pooling}")
    export_peft(tuned, tmp_path / "adapter", place)
    source = f"model.source={tuned.config.model.source}"
    import_peft(tmp_path / "adapter", tmp_path / "run", [source, "task=sst2", f"model.pooling={pooling}"])
    back = lnbench.load(tmp_path / "run")
    torch.testing.assert_close(back.model(**batch()), tuned.model(**batch()), rtol=0, atol=1e-5)
    assert back.config.method_name == method


@pytest.mark.parametrize("bias", ["query", "value"])
@pytest.mark.parametrize("architecture", ["bert", "llama", "phi3"])
def test_exported_biases_come_back(build: Build, architecture: str, bias: str, tmp_path: Path) -> None:
    tuned = build(architecture, "method=beft", f"method.beft.bias={bias}", "model.pooling=last")
    export_peft(tuned, tmp_path / "adapter", "beside")
    source = f"model.source={tuned.config.model.source}"
    import_peft(tmp_path / "adapter", tmp_path / "run", [source, "task=sst2", "model.pooling=last"])
    back = lnbench.load(tmp_path / "run")
    torch.testing.assert_close(back.model(**batch()), tuned.model(**batch()), rtol=0, atol=1e-5)
    assert back.config.to_dict()["method"]["beft"]["bias"] == bias


def test_biases_of_several_maps_are_refused(folders: Folders, tmp_path: Path) -> None:
    source, config = folders("bert"), BeftConfig(target_modules=["query", "value"], task_type="TOKEN_CLS")
    theirs(AutoModelForTokenClassification, source, config, tmp_path / "adapter", num_labels=13)
    with pytest.raises(ConfigError, match="the adapter has biases of query, value; beft has those of one map"):
        import_peft(tmp_path / "adapter", tmp_path / "run", [f"model.source={source}", "task=wnut17"])


@pytest.mark.parametrize("architecture", ["bert", "gpt2", "llama"])
def test_what_is_made_of_lora_comes_back_as_lora(build: Build, architecture: str, tmp_path: Path) -> None:
    settings = ["method.lora_all.dora=true", "method.lora_all.pissa=true", "method.lora_all.rank=4"]
    tuned = build(architecture, "method=lora_all", "model.pooling=mean", *settings)
    export_peft(tuned, tmp_path / "adapter", "beside")
    source = f"model.source={tuned.config.model.source}"
    import_peft(tmp_path / "adapter", tmp_path / "run", [source, "task=sst2", "model.pooling=mean"])
    back = lnbench.load(tmp_path / "run")
    torch.testing.assert_close(back.model(**batch()), tuned.model(**batch()), rtol=0, atol=1e-5)
    assert back.config.method_name == "lora"


@pytest.fixture
def adapter(folders: Folders, tmp_path: Path) -> Path:
    """Folder of a tagger's adapter for the tiny BERT."""
    config = lora("bert", task_type="TOKEN_CLS")
    theirs(AutoModelForTokenClassification, folders("bert"), config, tmp_path / "adapter", num_labels=13)
    return tmp_path / "adapter"


def tagger(source: Path) -> list[str]:
    return [f"model.source={source}", "task=wnut17", "model.pooling=first"]


def test_the_command_leads_to_predictions(
    folders: Folders,
    adapter: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / "run"
    monkeypatch.setattr(sys, "argv", ["import_peft", str(adapter), str(folder), *tagger(folders("bert"))])
    main()
    assert capsys.readouterr().out == f"lora for wnut17, written to {folder}\n"
    assert {file.name for file in folder.iterdir()} == {RUN_CONFIG, ADAPTER}
    (answer,) = lnbench.load(folder).predict(["a good film"])
    assert len(answer["tags"]) == 3


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"peft_type": "ADALORA"}, "peft_type = 'ADALORA'; known: BEFT, IA3, LN_TUNING, LORA, OFT, VERA"),
        ({"use_bdlora": True}, "use_bdlora = True: has no counterpart in lnbench"),
        ({"init_lora_weights": "pissa"}, "init_lora_weights = 'pissa': has no counterpart"),
        ({"bias": "all", "lora_bias": True}, "bias = 'all', lora_bias = True: has no counterpart"),
        ({"new_in_peft": {"a": 1}}, r"new_in_peft = \{'a': 1\}: has no counterpart"),
        ({"base_model_name_or_path": "other/bert"}, "is for 'other/bert', and the model is .*--any-base"),
        ({"revision": "1234abc"}, "at revision '1234abc', and the model is"),
    ],
)
def test_an_adapter_that_says_something_else_is_refused(
    folders: Folders, adapter: Path, tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    about = json.loads((adapter / CONFIG).read_text())
    (adapter / CONFIG).write_text(json.dumps(about | changes))
    with pytest.raises(ConfigError, match=reason):
        import_peft(adapter, tmp_path / "run", tagger(folders("bert")))
    assert not (tmp_path / "run").exists()


def test_a_copy_of_the_model_is_known_by_its_content(build: Build, tmp_path: Path) -> None:
    tuned = build("bert", "method=ln", "model.pooling=mean")
    export_peft(tuned, tmp_path / "adapter", "beside")
    copy = shutil.copytree(tuned.config.model.source, tmp_path / "copy")
    import_peft(tmp_path / "adapter", tmp_path / "run", [f"model.source={copy}", "task=sst2"])
    torch.testing.assert_close(lnbench.load(tmp_path / "run").model(**batch()), tuned.model(**batch()))
    tiny("bert", seed=1).save_pretrained(copy)
    about = json.loads((tmp_path / "adapter" / CONFIG).read_text())
    (tmp_path / "adapter" / CONFIG).write_text(json.dumps(about | {"base_model_name_or_path": str(copy)}))
    with pytest.raises(ConfigError, match=r"which holds other files now, .*--any-base"):
        import_peft(tmp_path / "adapter", tmp_path / "other", [f"model.source={copy}", "task=sst2"])


def test_a_gguf_file_is_not_named_by_its_folder(folders: Folders, adapter: Path, tmp_path: Path) -> None:
    overrides = [*tagger(folders("bert")), "++model.gguf_file=one.gguf"]
    with pytest.raises(ConfigError, match="of which a GGUF file is one of several"):
        import_peft(adapter, tmp_path / "run", overrides)


def test_another_name_of_the_model_is_taken_when_told_so(folders: Folders, adapter: Path, tmp_path: Path) -> None:
    about = json.loads((adapter / CONFIG).read_text())
    (adapter / CONFIG).write_text(json.dumps(about | {"base_model_name_or_path": "other/bert"}))
    import_peft(adapter, tmp_path / "run", tagger(folders("bert")), any_base=True)
    assert (tmp_path / "run" / ADAPTER).is_file()


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        (["task=wnut17", "task.labels=[O,B-a]"], "a head of 13 classes, and the task has 2"),
        (["task=sst2", "model.pooling=mean"], "BertForSequenceClassification reads model.pooling=pooler"),
        (["method=ln"], "method=ln: the method comes from the adapter"),
    ],
)
def test_an_adapter_for_another_task_is_refused(
    folders: Folders, adapter: Path, tmp_path: Path, overrides: list[str], reason: str
) -> None:
    with pytest.raises(ConfigError, match=reason):
        import_peft(adapter, tmp_path / "run", [f"model.source={folders('bert')}", *overrides])
    assert not (tmp_path / "run").exists()


def test_an_adapter_for_another_model_is_refused(folders: Folders, adapter: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"does not fit minilm and wnut17: the model has no layer bert.encoder"):
        import_peft(adapter, tmp_path / "run", tagger(folders("gpt2")), any_base=True)


def test_an_adapter_without_a_head_cannot_answer(folders: Folders, tmp_path: Path, build: Build) -> None:
    export_peft(build("bert", "method=ln"), tmp_path / "adapter", "beside")
    (tmp_path / "adapter" / HEAD_FILE).unlink()
    with pytest.raises(ConfigError, match=f"it has no task head, neither inside nor in {HEAD_FILE}"):
        import_peft(tmp_path / "adapter", tmp_path / "run", [f"model.source={folders('bert')}", "task=sst2"])


def test_a_head_for_other_vectors_is_refused(folders: Folders, tmp_path: Path, build: Build) -> None:
    export_peft(build("bert", "method=ln", "model.pooling=first"), tmp_path / "adapter", "beside")
    with pytest.raises(ConfigError, match="is for pooling first, and the task's head for mean"):
        import_peft(tmp_path / "adapter", tmp_path / "run", [f"model.source={folders('bert')}", "task=sst2"])


def test_a_head_with_a_layer_of_its_own_is_refused(folders: Folders, tmp_path: Path) -> None:
    config = LNTuningConfig(target_modules=["LayerNorm"], task_type="SEQ_CLS")
    theirs(AutoModelForSequenceClassification, folders("roberta"), config, tmp_path / "adapter")
    overrides = [f"model.source={folders('roberta')}", "task=sst2", "model.pooling=pooler"]
    with pytest.raises(ConfigError, match=r"more than a linear layer: classifier.dense.weight.* was trained"):
        import_peft(tmp_path / "adapter", tmp_path / "run", overrides)


def test_factors_of_queries_that_share_a_layer_are_refused(folders: Folders, tmp_path: Path) -> None:
    config = IA3Config(target_modules=["c_attn"], feedforward_modules=[], task_type="TOKEN_CLS", fan_in_fan_out=True)
    theirs(AutoModelForTokenClassification, folders("gpt2"), config, tmp_path / "adapter", num_labels=13)
    with pytest.raises(ConfigError, match=r"changes what no method of its kind changes here: h\.0\.attn\.c_attn"):
        import_peft(tmp_path / "adapter", tmp_path / "run", tagger(folders("gpt2")))


def test_a_layer_that_no_method_changes_is_named(folders: Folders, tmp_path: Path) -> None:
    config = lora("bert", target_modules=["query", "word_embeddings"], task_type="TOKEN_CLS")
    theirs(AutoModelForTokenClassification, folders("bert"), config, tmp_path / "adapter", num_labels=13)
    with pytest.raises(ConfigError, match=r"word_embeddings"):
        import_peft(tmp_path / "adapter", tmp_path / "run", tagger(folders("bert")))


def test_a_folder_with_a_run_is_left_alone(folders: Folders, adapter: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / RUN_CONFIG).write_text("mine")
    with pytest.raises(ConfigError, match="has a run already"):
        import_peft(adapter, tmp_path / "run", tagger(folders("bert")))
    assert (tmp_path / "run" / RUN_CONFIG).read_text() == "mine"


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS])
def test_a_damaged_adapter_is_a_message(
    folders: Folders, adapter: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (adapter / name).write_bytes(b"{")
    monkeypatch.setattr(sys, "argv", ["import_peft", str(adapter), str(tmp_path / "run"), *tagger(folders("bert"))])
    with pytest.raises(SystemExit, match="is no adapter of peft that can be read"):
        main()
