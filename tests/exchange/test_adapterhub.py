"""Adapters that AdapterHub's `adapters` has saved. `adapterhub_adapters/make.py` made them."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import lnbench
from lnbench.core.schema import ConfigError
from lnbench.exchange.heads import plain_linear
from lnbench.exchange.peft_import import import_peft
from tests import runs
from tests.exchange.made_models import IDS, base
from tests.tiny import tiny_generator

FOLDER = Path(__file__).parent / "adapterhub_adapters" / "1.3.0"
ADAPTERS = sorted(folder.name for folder in FOLDER.iterdir() if folder.is_dir())
METHODS = {
    "compacter": "compacter",
    "dora": "lora",
    "double_seq_bn": "houlsby",
    "ia3": "ssf",
    "loreft": "loreft",
    "lora": "lora",
    "mam": "parallel_adapter+prefix",
    "mha_adapter": "mha_adapter",
    "par_bn": "parallel_adapter",
    "par_bn_both": "mha_parallel_adapter+parallel_adapter",
    "prefix": "prefix",
    "seq_bn": "adapter",
    "tagging_head": "lora",
}
"""Methods of lnbench by the beginning of an adapter's name."""
REFUSED = {
    "compacter_pp": "original_ln_before = True: has no counterpart",
    "gated": "use_gating = True: has no counterpart",
    "dora_bias": "use_dora = True: adapters scales the bias of encoder.layer.0.attention.self.query too",
    "dora_scaled": "use_dora = True with alpha = 6 and r = 2",
    "loreft_decayed": "a projection has lost rows",
    "loreft_untied": "tied_weights = False with prefix_positions and suffix_positions",
    "noreft": "orthogonality = False: has no counterpart",
    "par_bn_gpt2": "is_parallel = True: its adapters read the residual stream before the norm",
    "prompt": "architecture = 'prompt_tuning': its vectors come after the position embeddings",
    "seq_bn_inv": "inv_adapter = 'nice'",
    "vera": "vera_b = 0.0, vera_d = 0.1: has no counterpart",
}
DECODERS = ("gpt2", "llama")


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The folders of the pretrained models."""
    root = tmp_path_factory.mktemp("models")
    kinds = {json.loads((FOLDER / name / "adapter_config.json").read_text())["model_type"] for name in ADAPTERS}
    return {kind: runs.save_model(kind, root / kind, base(kind)) for kind in kinds}


def overrides(sources: dict[str, Path], adapter: Path) -> list[str]:
    kind = json.loads((adapter / "adapter_config.json").read_text())["model_type"]
    task = ["task=samsum"] if kind in DECODERS else ["task=wnut17", "model.pooling=first"]
    return [f"model.source={sources[kind]}", *task]


def logits(folder: Path) -> torch.Tensor:
    ids = torch.tensor(IDS)
    with torch.no_grad():
        found: torch.Tensor = lnbench.load(folder).model(input_ids=ids, attention_mask=torch.ones_like(ids))
    return found


@pytest.mark.parametrize("name", ADAPTERS)
def test_an_adapter_is_imported_or_refused(name: str, sources: dict[str, Path], tmp_path: Path) -> None:
    arguments = FOLDER / name, tmp_path / "run", overrides(sources, FOLDER / name), True
    if name in REFUSED:
        with pytest.raises(ConfigError, match=re.escape(REFUSED[name])):
            import_peft(*arguments)
        return
    config = import_peft(*arguments)
    assert config.method_name == next(
        METHODS[start] for start in sorted(METHODS, reverse=True) if name.startswith(start)
    )
    expected = load_file(FOLDER / "logits.safetensors")[name]
    torch.testing.assert_close(logits(tmp_path / "run"), expected, rtol=1e-4, atol=1e-4)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of an adapter with a head, to change."""
    return shutil.copytree(FOLDER / "lora", tmp_path / "lora")


def change(file: Path, **more: object) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | more))


def test_a_pickle_is_refused_with_a_command_that_converts_it(
    copy: Path, sources: dict[str, Path], tmp_path: Path
) -> None:
    arguments = copy, tmp_path / "run", overrides(sources, copy), True
    torch.save(load_file(copy / "adapter.safetensors"), copy / "pytorch_adapter.bin")
    (copy / "adapter.safetensors").unlink()
    with pytest.raises(ConfigError, match=r"pytorch_adapter\.bin: is a pickle, .* type python -c ") as caught:
        import_peft(*arguments)
    command = shlex.split(str(caught.value).partition("; type ")[2])
    subprocess.run([sys.executable, *command[1:]], check=True)
    import_peft(*arguments)
    torch.testing.assert_close(logits(tmp_path / "run"), load_file(FOLDER / "logits.safetensors")["lora"])


def test_lora_of_versions_that_ignored_alpha_is_read_as_they_computed_it(
    copy: Path, sources: dict[str, Path], tmp_path: Path
) -> None:
    change(copy / "adapter_config.json", version="adapters.1.0.1")
    config = import_peft(copy, tmp_path / "run", overrides(sources, copy), True)
    assert config.to_dict()["method"]["lora"]["alpha"] == 2


def test_the_head_is_brought_to_the_order_of_the_tasks_labels(
    copy: Path, sources: dict[str, Path], tmp_path: Path
) -> None:
    arguments = overrides(sources, copy)
    labels = import_peft(copy, tmp_path / "plain", arguments, True).to_dict()["task"]["labels"]
    change(copy / "head_config.json", label2id={label: row for row, label in enumerate(reversed(labels))})
    import_peft(copy, tmp_path / "reversed", arguments, True)
    torch.testing.assert_close(logits(tmp_path / "reversed"), logits(tmp_path / "plain").flip(-1))


def test_a_trained_head_of_a_language_model_is_refused(sources: dict[str, Path], tmp_path: Path) -> None:
    adapter = shutil.copytree(FOLDER / "lora_llama", tmp_path / "lora_llama")
    head = load_file(adapter / "model_head.safetensors")
    save_file({name: tensor + 0.1 for name, tensor in head.items()}, adapter / "model_head.safetensors")
    with pytest.raises(ConfigError, match=r"lm_head\.weight of its head is not that of the pretrained model"):
        import_peft(adapter, tmp_path / "run", overrides(sources, adapter), True)


@pytest.mark.parametrize(
    ("file", "changes", "told"),
    [
        ("adapter_config.json", {"config": "pfeiffer"}, "config = 'pfeiffer': must be settings"),
        ("adapter_config.json", {"config": {"architecture": "mtl_lora"}}, "architecture = 'mtl_lora': has no counter"),
        ("adapter_config.json", {"config": {"architecture": "lora"}}, "has no 'composition_mode' in its config"),
        ("adapter_config.json", {"model_type": "gpt2"}, "is for the architecture 'gpt2', and the model is 'bert'"),
        ("adapter_config.json", {"name": "other"}, "lnbench has no bert.encoder.layer.0"),
        ("head_config.json", {"config": {"head_type": "tagging", "layers": 2}}, "layers = 2; the task needs 'tagging'"),
    ],
)
def test_what_does_not_fit_is_named(
    copy: Path, sources: dict[str, Path], tmp_path: Path, file: str, changes: dict[str, object], told: str
) -> None:
    change(copy / file, **changes)
    with pytest.raises(ConfigError, match=re.escape(told)):
        import_peft(copy, tmp_path / "run", overrides(sources, FOLDER / "lora"), True)


def test_no_adapter_is_taken_for_an_encoder_decoder(tmp_path: Path) -> None:
    source = runs.save_model("t5", tmp_path / "model", tiny_generator("t5"))
    choices = ["model=t5_small", f"model.source={source}", "task=e2e_nlg", *runs.SHORT_TEXTS]
    with pytest.raises(ConfigError, match="AdapterHub's adapters are not taken for encoder-decoders"):
        import_peft(FOLDER / "lora", tmp_path / "run", choices, True)


def test_an_adapter_of_another_model_is_refused(copy: Path, sources: dict[str, Path], tmp_path: Path) -> None:
    change(copy / "adapter_config.json", model_name="other/bert")
    with pytest.raises(ConfigError, match=r"the adapter is for 'other/bert', and the model is"):
        import_peft(copy, tmp_path / "run", overrides(sources, copy))


@pytest.mark.parametrize("use_pooler", [False, True])
def test_a_head_of_one_layer_for_sentences(
    copy: Path, sources: dict[str, Path], tmp_path: Path, use_pooler: bool
) -> None:
    head = {"heads.tuned.1.weight": torch.randn(2, 16), "heads.tuned.1.bias": torch.randn(2)}
    save_file(head, copy / "model_head.safetensors")
    change(copy / "head_config.json", config={"head_type": "classification", "layers": 1, "use_pooler": use_pooler})
    arguments = copy, tmp_path / "run", [f"model.source={sources['bert']}", "task=sst2", "model.pooling=first"], True
    if use_pooler:
        with pytest.raises(ConfigError, match=r"its head reads model\.pooling=pooler, and the task's first"):
            import_peft(*arguments)
        return
    import_peft(*arguments)
    weight, bias = plain_linear(lnbench.load(tmp_path / "run").model.head)
    torch.testing.assert_close([weight, bias], list(head.values()))
