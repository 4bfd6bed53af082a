"""HF peft reads what is exported, and its files can be imported, with identical hidden states."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import IA3Config, LNTuningConfig, LoraConfig, PeftConfig, PeftModel, TaskType, get_peft_model
from torch import nn

from lnbench.exchange.peft_format import CONFIG, export_peft, import_peft
from lnbench.methods.linear_change import fold_changes
from lnbench.schema import ConfigError
from tests.exchange.conftest import Tune
from tests.tiny import batch, hidden, shake, tiny

pytestmark = [
    pytest.mark.filterwarnings("ignore:Unsupported layer type:UserWarning"),
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
]

ARCHITECTURES = ("bert", "gpt2")
EXPORTED = [
    ("ln", []),
    ("ln", ["method.ln.terms=[bias]", "method.ln.norms=[ffn]", "method.ln.layers=2-3"]),
    ("lora", []),
    ("lora", ["method.lora.targets=[q,k,v,o,ffn]", "method.lora.rslora=true"]),
    ("lora", ["method.lora.targets=[k,o]", "method.lora.rank=3", "method.lora.alpha=5"]),
    ("ia3", []),
]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize(("method", "settings"), EXPORTED)
def test_peft_reads_an_export(tune: Tune, architecture: str, method: str, settings: list[str], tmp_path: Path) -> None:
    tuned = tune(architecture, method, *settings)
    export_peft(tuned, tmp_path)
    theirs = PeftModel.from_pretrained(tiny(architecture), str(tmp_path)).eval()
    inputs = batch()
    torch.testing.assert_close(hidden(theirs, inputs), hidden(tuned.model.backbone, inputs), rtol=0, atol=1e-5)
    assert (hidden(theirs, inputs) - hidden(tiny(architecture), inputs)).abs().max() > 1e-2


NORMS = {"bert": ["output.LayerNorm"], "gpt2": ["ln_2", "ln_f"]}
ATTENTION = {"bert": ["query", "value", "output.dense"], "gpt2": ["c_attn", "c_proj"]}


def peft_configs(architecture: str) -> list[PeftConfig]:
    common: dict[str, Any] = {"task_type": TaskType.FEATURE_EXTRACTION}
    lora = common | {"target_modules": ATTENTION[architecture], "fan_in_fan_out": architecture == "gpt2"}
    return [
        LNTuningConfig(target_modules=NORMS[architecture], **common),
        LoraConfig(r=4, lora_alpha=10, **lora),
        LoraConfig(r=4, lora_alpha=10, use_rslora=True, **lora),
    ]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("number", range(3), ids=["ln", "lora", "rslora"])
def test_an_import_is_what_peft_saved(architecture: str, number: int, tmp_path: Path) -> None:
    theirs = get_peft_model(tiny(architecture), peft_configs(architecture)[number])
    shake(theirs, scale=0.3)
    theirs.save_pretrained(str(tmp_path))
    ours = tiny(architecture)
    names = import_peft(tmp_path, ours)
    inputs = batch()
    torch.testing.assert_close(hidden(ours, inputs), hidden(theirs.eval(), inputs), rtol=0, atol=1e-5)
    assert _trainable(ours) == _trainable(theirs)
    assert sorted(names) == sorted(name for name, p in ours.named_parameters() if p.requires_grad)


def test_a_method_without_a_counterpart_is_refused_by_name(tune: Tune, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"ln\+prefix: has no peft format; ia3, ln, lora have one"):
        export_peft(tune("bert", "ln+prefix"), tmp_path)


@pytest.mark.parametrize("method", ["lora", "ia3"])
def test_what_is_merged_is_refused(tune: Tune, method: str, tmp_path: Path) -> None:
    tuned = tune("bert", method)
    fold_changes(tuned.model.backbone)
    with pytest.raises(
        ConfigError, match=f"method = {method}: is merged into the weights; load it without merged=True"
    ):
        export_peft(tuned, tmp_path)


def test_an_adapter_of_another_kind_is_refused_by_name(tmp_path: Path) -> None:
    settings = IA3Config(target_modules=["key"], feedforward_modules=[], task_type=TaskType.FEATURE_EXTRACTION)
    get_peft_model(tiny("bert"), settings).save_pretrained(str(tmp_path))
    with pytest.raises(ConfigError, match="peft_type = 'IA3'; known: LN_TUNING, LORA"):
        import_peft(tmp_path, tiny("bert"))


def test_an_adapter_of_another_model_is_refused(tmp_path: Path) -> None:
    get_peft_model(tiny("bert"), peft_configs("bert")[1]).save_pretrained(str(tmp_path))
    with pytest.raises(ConfigError, match="does not fit GPT2Model"):
        import_peft(tmp_path, tiny("gpt2"))


def test_an_export_names_its_pretrained_model(tune: Tune, tmp_path: Path) -> None:
    tuned = tune("bert", "ln")
    export_peft(tuned, tmp_path)
    assert json.loads((tmp_path / CONFIG).read_text())["base_model_name_or_path"] == tuned.config.model.source


def _trainable(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
