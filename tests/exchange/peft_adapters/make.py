"""Saves adapters with the version of HF peft at hand, and what the adapted models answer. It needs nothing of lnbench.

The folders beside this file were made so, in the folder of the repository, each in an environment of its own:

    pip install peft==0.10.0 transformers==4.40.2 && python -m tests.exchange.peft_adapters.make 0.10.0
    pip install peft==0.12.0 transformers==4.44.2 && python -m tests.exchange.peft_adapters.make 0.12.0
    pip install peft==0.14.0 transformers==4.47.1 && python -m tests.exchange.peft_adapters.make 0.14.0
    pip install peft==0.16.0 transformers==4.53.3 && python -m tests.exchange.peft_adapters.make 0.16.0
    pip install peft==0.18.0 transformers==4.57.6 && python -m tests.exchange.peft_adapters.make 0.18.0
    pip install peft==0.21.2 transformers==5.23.0 && python -m tests.exchange.peft_adapters.make 0.21.2
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import peft
import torch
from peft import IA3Config, LoraConfig, PeftConfig, get_peft_model
from safetensors.torch import save_file
from torch import nn

from tests.exchange.made_models import IDS, base, waves

HERE = Path(__file__).parent
BERT_NORMS = ["attention.output.LayerNorm", "output.LayerNorm"]


def ln(**settings: Any) -> PeftConfig:
    """LN tuning, which peft has since 0.11."""
    return peft.LNTuningConfig(**settings)


def lora(**settings: Any) -> PeftConfig:
    """LoRA of rank 2."""
    return LoraConfig(r=2, lora_alpha=6, **settings)


CASES: dict[str, tuple[str, Callable[[], PeftConfig]]] = {
    "ln": ("bert", lambda: ln(target_modules=BERT_NORMS, task_type="TOKEN_CLS")),
    "lora": ("bert", lambda: lora(target_modules=["query", "value"], task_type="TOKEN_CLS")),
    "dora": ("bert", lambda: lora(target_modules=["query", "value"], task_type="TOKEN_CLS", use_dora=True)),
    "ia3": (
        "bert",
        lambda: IA3Config(
            target_modules=["key", "value", r"layer.0.output.dense"],
            feedforward_modules=["layer.0.output.dense"],
            task_type="TOKEN_CLS",
        ),
    ),
    "ln_llama": ("llama", lambda: ln(task_type="CAUSAL_LM")),
    "lora_llama": ("llama", lambda: lora(target_modules=["q_proj", "up_proj"], task_type="CAUSAL_LM")),
    "ln_bf16": ("llama_bf16", lambda: ln(task_type="CAUSAL_LM")),
    "lora_bf16": ("llama_bf16", lambda: lora(target_modules=["q_proj", "up_proj"], task_type="CAUSAL_LM")),
    "lora_and_embedding": (
        "llama",
        lambda: lora(target_modules=["q_proj"], modules_to_save=["embed_tokens"], task_type="CAUSAL_LM"),
    ),
}
"""By name, the pretrained model and the adapter."""


def shake(model: nn.Module) -> None:
    """Moves all trainable parameters."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                plain = name.replace("modules_to_save.default.", "").replace(".default", "").replace(".weight", "")
                parameter.add_(waves(plain, parameter).to(parameter.dtype))


def main() -> None:
    """Writes one folder for each case, and the logits of all, computed in fp32."""
    folder = HERE / sys.argv[1]
    logits = {}
    for name, (kind, configure) in CASES.items():
        if name.startswith("ln") and not hasattr(peft, "LNTuningConfig"):
            continue
        config = configure()
        model = get_peft_model(base(kind), config)
        config.base_model_name_or_path = kind
        shake(model)
        model.save_pretrained(str(folder / name), save_embedding_layers=False)
        (folder / name / "README.md").unlink(missing_ok=True)
        with torch.no_grad():
            logits[name] = model.eval().float()(input_ids=torch.tensor(IDS)).logits.contiguous()
    save_file(logits, folder / "logits.safetensors")


if __name__ == "__main__":
    main()
