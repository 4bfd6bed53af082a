"""HF peft reads what is exported, with identical hidden states."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from peft import PeftModel

from lnbench.core.schema import ConfigError
from lnbench.exchange.peft_format import CONFIG, export_peft
from lnbench.methods.parts.linear_change import fold_changes
from tests.exchange.conftest import Build, Tune
from tests.tiny import batch, hidden, tiny

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
    ("lora", ["method.lora.dora=true", "method.lora.lr_ratio=16"]),
    ("lora", ["method.lora.pissa=true", "method.lora.targets=[k,o]"]),
    ("lora_all", ["method.lora_all.dora=true", "method.lora_all.pissa=true"]),
    ("adalora", []),
    ("ia3", []),
]
BEFT = [[], ["method.beft.bias=query", "method.beft.layers=2-3"]]


ONE_A_LAYER = [
    ("oft", ["method.oft.targets=[q,v,ffn]", "method.oft.block_size=8"]),
    ("vera", ["method.vera.targets=[k,o,ffn]", "method.vera.rank=5", "method.vera.projection_seed=7"]),
]


@pytest.mark.parametrize(
    ("architecture", "method", "settings"),
    [
        *((architecture, *exported) for architecture in ARCHITECTURES for exported in EXPORTED),
        *(("bert", *exported) for exported in ONE_A_LAYER),
        ("gpt2", "vera", ["method.vera.targets=[o,ffn]", "method.vera.rank=5"]),
    ],
)
def test_peft_reads_an_export(tune: Tune, architecture: str, method: str, settings: list[str], tmp_path: Path) -> None:
    tuned = tune(architecture, method, *settings)
    export_peft(tuned, tmp_path, head="beside")
    theirs = PeftModel.from_pretrained(tiny(architecture), str(tmp_path)).eval()
    inputs = batch()
    torch.testing.assert_close(hidden(theirs, inputs), hidden(tuned.model.backbone, inputs), rtol=0, atol=1e-5)
    assert (hidden(theirs, inputs) - hidden(tiny(architecture), inputs)).abs().max() > 1e-2


@pytest.mark.parametrize("architecture", ["bert", "llama", "phi3"])
@pytest.mark.parametrize("settings", BEFT)
@pytest.mark.filterwarnings("ignore:Detected that the base layer has no bias term:UserWarning")
def test_peft_reads_biases(build: Build, architecture: str, settings: list[str], tmp_path: Path) -> None:
    tuned = build(architecture, "method=beft", "model.pooling=last", *settings)
    export_peft(tuned, tmp_path, head="beside")
    theirs = PeftModel.from_pretrained(tiny(architecture), str(tmp_path)).eval()
    inputs = batch()
    torch.testing.assert_close(hidden(theirs, inputs), hidden(tuned.model.backbone, inputs), rtol=0, atol=1e-5)
    assert (hidden(theirs, inputs) - hidden(tiny(architecture), inputs)).abs().max() > 1e-4


def test_biases_of_a_layer_that_peft_does_not_take_are_refused(build: Build, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"method = beft: peft's BEFT takes no Conv1D, which .* has; --merged"):
        export_peft(build("gpt2", "method=beft", "model.pooling=last"), tmp_path)


def test_a_method_without_a_counterpart_is_refused_by_name(tune: Tune, tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"ln\+prefix: has no peft format; adalora, beft, ia3, ln, lora, lora_all, oft, vera have one"
    ):
        export_peft(tune("bert", "ln+prefix"), tmp_path)


@pytest.mark.parametrize(
    ("method", "settings", "message"),
    [
        ("vera", [], r"method = vera: peft has one update for a whole layer, and h\.0\.attn\.c_attn holds several"),
        ("oft", [], r"method = oft: peft has one update for a whole layer"),
        ("oft", ["method.oft.targets=[ffn]"], r"method = oft: peft's OFT takes no transposed layer \(Conv1D\)"),
        (
            "oft",
            ["method.oft.targets=[o]", "method.oft.block_size=4", "method.oft.butterfly=2"],
            r"method\.oft\.butterfly = 2: peft's OFT has one factor",
        ),
        ("svft", [], r"method = svft: has no peft format"),
    ],
)
def test_what_peft_cannot_say_is_refused(
    tune: Tune, method: str, settings: list[str], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        export_peft(tune("gpt2", method, *settings), tmp_path)


@pytest.mark.parametrize("method", ["lora", "ia3", "beft"])
def test_what_is_merged_is_refused(tune: Tune, method: str, tmp_path: Path) -> None:
    tuned = tune("bert", method)
    fold_changes(tuned.model.backbone)
    with pytest.raises(
        ConfigError, match=f"method = {method}: is merged into the weights; load it without merged=True"
    ):
        export_peft(tuned, tmp_path)


def test_an_export_names_its_pretrained_model(tune: Tune, tmp_path: Path) -> None:
    tuned = tune("bert", "ln")
    model = tuned.config.model.model_copy(update={"revision": "main"})
    tuned = replace(tuned, config=tuned.config.model_copy(update={"model": model}))
    export_peft(tuned, tmp_path, head="beside")
    about = json.loads((tmp_path / CONFIG).read_text())
    assert (about["base_model_name_or_path"], about["revision"]) == (tuned.config.model.source, "main")
