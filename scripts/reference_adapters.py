"""Writes the results of AdapterHub's `adapters` for tiny models, with which lnbench is compared.

`adapters` 1.3 needs an older transformers than lnbench, so this runs by hand in an environment of its own:

    python3.11 -m venv adapters-venv
    adapters-venv/bin/pip install adapters==1.3.0 torch==2.13.0
    adapters-venv/bin/python -m scripts.reference_adapters

Each file holds a backbone and a batch. For every method, it holds weights, outputs and gradients, under their names in
`adapters`.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import adapters
import torch
from adapters import (
    AdapterConfig,
    CompacterConfig,
    ConfigUnion,
    DoubleSeqBnConfig,
    LoRAConfig,
    ParBnConfig,
    PrefixTuningConfig,
    SeqBnConfig,
)
from safetensors.torch import save
from torch import Tensor, nn
from transformers import BertConfig, BertModel, GPT2Config, GPT2Model, PreTrainedModel

from lnbench.core.atomic_files import write_atomically
from tests.parity.compare import observe, roughen

HIDDEN, LENGTH = 16, 3
SIZES: dict[str, dict[str, Any]] = {
    "bert": {
        "vocab_size": 40,
        "hidden_size": HIDDEN,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "max_position_embeddings": 12,
    },
    "gpt2": {
        "vocab_size": 40,
        "n_embd": HIDDEN,
        "n_layer": 2,
        "n_head": 2,
        "n_inner": 32,
        "n_positions": 12,
        "bos_token_id": 0,
        "eos_token_id": 0,
    },
}
MODELS = {"bert": (BertModel, BertConfig), "gpt2": (GPT2Model, GPT2Config)}
FOUR = {"reduction_factor": HIDDEN / 4}
"""A reduction factor that gives a bottleneck of 4."""


def methods(architecture: str) -> dict[str, AdapterConfig]:
    """The configurations to compare, by the method's name in lnbench; `seq_bn` has its name in `adapters`."""
    parallel = FOUR | {"ln_before": architecture == "gpt2"}
    prefix = PrefixTuningConfig(flat=True, prefix_length=LENGTH, dropout=0.0)
    return {
        "adapter": DoubleSeqBnConfig(mh_adapter=False, non_linearity="relu", **FOUR),
        "seq_bn": SeqBnConfig(**FOUR),
        "mha_adapter": DoubleSeqBnConfig(output_adapter=False, non_linearity="relu", **FOUR),
        "houlsby": DoubleSeqBnConfig(non_linearity="gelu", **FOUR),
        "parallel_adapter": ParBnConfig(**parallel),
        "mha_parallel_adapter": ParBnConfig(mh_adapter=True, output_adapter=False, **parallel),
        "mam": ConfigUnion(ParBnConfig(**parallel), prefix),
        "prefix": prefix,
        "compacter": CompacterConfig(phm_dim=2, **FOUR),
        "lora": LoRAConfig(r=2, alpha=6, attn_matrices=["q", "v"]),
    }


def main() -> None:
    """Writes one file for each architecture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("tests/parity/data"))
    folder = parser.parse_args().folder
    for architecture, sizes in SIZES.items():
        about = {"about": json.dumps({"adapters": adapters.__version__, "config": sizes})}
        write_atomically(folder / f"adapters_{architecture}.safetensors", save(reference(architecture), about))


def reference(architecture: str) -> dict[str, Tensor]:
    """The tensors `inputs.*`, `backbone.*`, `METHOD.outputs`, `METHOD.weights.*` and `METHOD.gradients.*`."""
    backbone = new_backbone(architecture)
    inputs = new_inputs()
    tensors = {f"inputs.{name}": tensor for name, tensor in inputs.items()}
    tensors |= {f"backbone.{name}": tensor for name, tensor in backbone.state_dict().items()}
    for method, config in methods(architecture).items():
        observed = observe(tuned(new_backbone(architecture), config), inputs)
        tensors[f"{method}.outputs"] = observed.outputs
        tensors |= {f"{method}.weights.{name}": weight for name, weight in observed.weights.items()}
        tensors |= {f"{method}.gradients.{name}": gradient for name, gradient in observed.gradients.items()}
    return {name: tensor.contiguous() for name, tensor in tensors.items()}


def new_backbone(architecture: str) -> PreTrainedModel:
    """A tiny model in float64 and evaluation mode, with the same random weights every time.

    It uses eager attention. Under SDPA, GPT-2 gets a boolean mask, in which `adapters` hides the prefix.
    """
    model_class, config_class = MODELS[architecture]
    torch.manual_seed(0)
    model: PreTrainedModel = model_class(config_class(**SIZES[architecture], attn_implementation="eager"))
    model.double().eval()
    roughen(dict(model.named_parameters()))
    return model


def new_inputs() -> dict[str, Tensor]:
    """Two texts of 6 and 4 tokens, padded on the right."""
    mask = torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0]])
    ids = torch.randint(1, 40, mask.shape, generator=torch.Generator().manual_seed(0))
    return {"input_ids": ids * mask, "attention_mask": mask}


def tuned(model: Any, config: AdapterConfig) -> Any:
    """Adds an adapter with random weights, and makes it the only trainable part."""
    adapters.init(model)
    model.add_adapter("tuning", config=config)
    model.train_adapter("tuning")
    model.double().eval()
    share_norms(model)
    roughen({name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad})
    return model


def share_norms(model: nn.Module) -> None:
    """Makes parallel adapters read the input of their sublayer, which is normed in a pre-LN model.

    In a pre-LN model, `adapters` lets them read the residual stream before the norm. Here they get a norm of their
    own, a frozen copy of the sublayer's, and therefore read the same states as the sublayer.
    """
    norms = {"attention_adapters": "ln_1", "output_adapters": "ln_2"}
    for name, module in model.named_modules():
        if name.endswith(".adapter_norm_before"):
            block, _, place = name.partition("_adapters.")[0].rpartition(".")
            module.load_state_dict(model.get_submodule(f"{block}.{norms[place + '_adapters']}").state_dict())
            module.requires_grad_(False)


if __name__ == "__main__":
    main()
