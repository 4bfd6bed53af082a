"""Saves adapters with AdapterHub's `adapters`, and what the adapted models answer. It needs nothing of lnbench.

The folder beside this file was made so, in the folder of the repository and an environment of its own:

    pip install adapters==1.3.0 torch==2.13.0 && python -m tests.exchange.adapterhub_adapters.make 1.3.0
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import adapters
import torch
from adapters import (
    AdapterConfig,
    BertAdapterModel,
    CompacterConfig,
    CompacterPlusPlusConfig,
    ConfigUnion,
    DoRAConfig,
    DoubleSeqBnConfig,
    IA3Config,
    LoRAConfig,
    LoReftConfig,
    NoReftConfig,
    ParBnConfig,
    PrefixTuningConfig,
    PromptTuningConfig,
    SeqBnConfig,
    SeqBnInvConfig,
    VeraConfig,
)
from safetensors.torch import save_file
from torch import nn

from tests.exchange.made_models import IDS, LABELS, base, waves

HERE = Path(__file__).parent
NAME = "tuned"
FOUR: dict[str, Any] = {"reduction_factor": 4}
PREFIX: dict[str, Any] = {"prefix_length": 3}
MANY: dict[str, Any] = {"r": 2, "alpha": 6, "intermediate_lora": True, "output_lora": True}

CASES: dict[str, tuple[str, Callable[[], AdapterConfig]]] = {
    "seq_bn": ("bert", lambda: SeqBnConfig(**FOUR)),
    "seq_bn_unequal": ("bert", lambda: SeqBnConfig(reduction_factor={"0": 2, "default": 4})),
    "seq_bn_one_layer": ("bert", lambda: SeqBnConfig(leave_out=[0], scaling="learned", **FOUR)),
    "seq_bn_roberta": ("roberta", lambda: SeqBnConfig(**FOUR)),
    "seq_bn_distilbert": ("distilbert", lambda: SeqBnConfig(**FOUR)),
    "seq_bn_gpt2": ("gpt2", lambda: SeqBnConfig(**FOUR)),
    "seq_bn_llama": ("llama", lambda: SeqBnConfig(**FOUR)),
    "seq_bn_after_ffn": ("bert", lambda: SeqBnConfig(original_ln_before=False, **FOUR)),
    "double_seq_bn": ("bert", lambda: DoubleSeqBnConfig(**FOUR)),
    "double_seq_bn_distilbert": ("distilbert", lambda: DoubleSeqBnConfig(**FOUR)),
    "double_seq_bn_gpt2": ("gpt2", lambda: DoubleSeqBnConfig(scaling=0.5, **FOUR)),
    "double_seq_bn_llama": ("llama", lambda: DoubleSeqBnConfig(**FOUR)),
    "mha_adapter": ("bert", lambda: DoubleSeqBnConfig(output_adapter=False, non_linearity="gelu", **FOUR)),
    "par_bn": ("bert", lambda: ParBnConfig(**FOUR)),
    "par_bn_both": ("bert", lambda: ParBnConfig(mh_adapter=True, scaling="channel", **FOUR)),
    "par_bn_gpt2": ("gpt2", lambda: ParBnConfig(**FOUR)),
    "compacter": ("bert", lambda: CompacterConfig(phm_dim=2, **FOUR)),
    "compacter_llama": ("llama", lambda: CompacterConfig(phm_dim=2, **FOUR)),
    "lora": ("bert", lambda: LoRAConfig(**MANY)),
    "lora_gpt2": ("gpt2", lambda: LoRAConfig(**MANY)),
    "lora_llama": ("llama", lambda: LoRAConfig(**MANY)),
    "dora": ("llama", lambda: DoRAConfig(r=2, alpha=2)),
    "ia3": ("bert", IA3Config),
    "ia3_gpt2": ("gpt2", IA3Config),
    "ia3_llama": ("llama", IA3Config),
    "prefix": ("bert", lambda: PrefixTuningConfig(bottleneck_size=5, **PREFIX)),
    "prefix_gpt2": ("gpt2", lambda: PrefixTuningConfig(flat=True, **PREFIX)),
    "prefix_llama": ("llama", lambda: PrefixTuningConfig(flat=True, leave_out=[1], **PREFIX)),
    "mam": ("bert", lambda: ConfigUnion(ParBnConfig(**FOUR), PrefixTuningConfig(bottleneck_size=5, **PREFIX))),
    "loreft": ("bert", lambda: LoReftConfig(r=2)),
    "loreft_last": ("bert", lambda: LoReftConfig(r=2, layers=[1], prefix_positions=0, suffix_positions=2)),
    "loreft_tied": ("bert", lambda: LoReftConfig(r=2, prefix_positions=2, suffix_positions=2, tied_weights=True)),
    "tagging_head": ("bert", lambda: LoRAConfig(r=2)),
    "compacter_pp": ("bert", lambda: CompacterPlusPlusConfig(phm_dim=2, **FOUR)),
    "loreft_untied": ("bert", lambda: LoReftConfig(r=2, prefix_positions=2, suffix_positions=2)),
    "loreft_decayed": ("bert", lambda: LoReftConfig(r=2)),
    "dora_bias": ("bert", lambda: DoRAConfig(r=2, alpha=2)),
    "dora_scaled": ("llama", lambda: DoRAConfig(r=2, alpha=6)),
    "noreft": ("bert", lambda: NoReftConfig(r=2)),
    "prompt": ("bert", lambda: PromptTuningConfig(prompt_length=3)),
    "seq_bn_inv": ("bert", lambda: SeqBnInvConfig(**FOUR)),
    "gated": ("bert", lambda: LoRAConfig(r=2, use_gating=True)),
    "vera": ("bert", lambda: VeraConfig(r=2)),
}
"""By name, the pretrained model and the adapter."""


def shake(model: nn.Module, decayed: bool) -> None:
    """Moves all trainable parameters of the adapter and the head.

    Args:
        model: the model.
        decayed: whether the parameters of orthogonal matrices shrink, as by weight decay, which loses rows of them.
    """
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            inserted = f".{NAME}." in name
            if parameter.requires_grad and (inserted or name.startswith("classifier")):
                moved = waves(name, parameter)
                if name.endswith("weight.original"):
                    moved = -0.1 * parameter if decayed else moved.triu(1)
                parameter.add_(moved)


def adapted(kind: str, config: AdapterConfig, own_head: bool, decayed: bool) -> Any:
    """A model with an adapter of values that are not trained but not the initial ones either."""
    torch.manual_seed(0)
    model = base(kind, BertAdapterModel if own_head else None)
    adapters.init(model)
    if own_head:
        model.add_tagging_head(NAME, num_labels=LABELS)
    model.add_adapter(NAME, config=config)
    model.train_adapter(NAME)
    shake(model, decayed)
    return model.eval()


def save(model: Any, folder: Path) -> None:
    """Saves adapter and head as safetensors. For prefixes `adapters` can only write pickles."""
    model.save_adapter(str(folder), NAME)
    for pickle, weights in (
        ("pytorch_adapter.bin", "adapter.safetensors"),
        ("pytorch_model_head.bin", "model_head.safetensors"),
    ):
        tensors = torch.load(folder / pickle, weights_only=True)
        save_file({name: tensor.clone() for name, tensor in tensors.items()}, folder / weights)
        (folder / pickle).unlink()


def main() -> None:
    """Writes one folder for each case, and the logits of all."""
    folder = HERE / sys.argv[1]
    folder.mkdir(exist_ok=True)
    logits, ids = {}, torch.tensor(IDS)
    for name, (kind, configure) in CASES.items():
        model = adapted(kind, configure(), name == "tagging_head", name.endswith("decayed"))
        save(model, folder / name)
        with torch.no_grad():
            logits[name] = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits.contiguous()
    save_file(logits, folder / "logits.safetensors")


if __name__ == "__main__":
    main()
