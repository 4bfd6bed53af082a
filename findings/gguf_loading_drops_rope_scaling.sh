#!/usr/bin/env bash
# One would think: from_pretrained(gguf_file=...) gives the model that was written: names, permuted heads and the
#                  config are taken care of, so the rotary embedding's scaling is too.
# What is so:      the scaling is dropped in silence, both forms of it: the metadata rope.scaling.* (linear
#                  here) and the tensor rope_freqs of Llama 3.1 and later. Each weight is equal, the config says
#                  rope_type "default", and the logits are those of another model.
# Versions:        transformers 5.23.0, gguf 0.19.0, torch 2.13.0.
# Source:          the tables in transformers/integrations/ggml.py list no scaling key; load_gguf_checkpoint in
#                  transformers/modeling_gguf_pytorch_utils.py rebuilds it for gpt-oss alone and skips unknown
#                  tensors.
# Why it matters:  adapters trained on a model loaded this way fit another base than the safetensors one; scores of a
#                  quantised base are worse for a reason that is not quantisation. Compare config.rope_parameters.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile torch==2.13.0 transformers==5.23.0 accelerate==1.15.0 gguf==0.19.0
cd "$work"
HF_HUB_OFFLINE=1 "$work/venv/bin/python" -W ignore - <<'PY'
import sys

import gguf
import numpy as np
import torch
import transformers
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

transformers.utils.logging.disable_progress_bar()
plain = {"rope_type": "default", "rope_theta": 10000.0}
ropes = {
    "none": plain,
    "linear": plain | {"rope_type": "linear", "factor": 8.0},
    "llama3": plain
    | {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
    | {"original_max_position_embeddings": 64},
}


def write(path, model):
    """Write a Llama as llama.cpp's converter does: permuted query and key heads, scaling as metadata or as a tensor."""
    config, writer = model.config, gguf.GGUFWriter(path, "llama")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_vocab_size(config.vocab_size)
    if config.rope_parameters["rope_type"] == "linear":
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(config.rope_parameters["factor"])
    elif config.rope_parameters["rope_type"] == "llama3":
        unscaled = 10000.0 ** -(torch.arange(0, config.head_dim, 2) / config.head_dim)
        writer.add_tensor("rope_freqs.weight", (unscaled / model.model.rotary_emb.inv_freq).numpy())
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    for name, weight in model.state_dict().items():
        array = weight.numpy()
        if "q_proj" in name or "k_proj" in name:
            heads = config.num_attention_heads
            array = array.reshape(heads, 2, -1, array.shape[1]).swapaxes(1, 2).reshape(array.shape)
        writer.add_tensor(names.get_name(name, try_suffixes=(".weight",)), np.ascontiguousarray(array))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


text = torch.arange(48)[None]
seen = {}
for name, rope in ropes.items():
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=64,
        hidden_size=64,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=512,
        rope_parameters=rope,
        initializer_range=0.1,
    )
    model = LlamaForCausalLM(config).eval()
    write(f"{name}.gguf", model)
    loaded = AutoModelForCausalLM.from_pretrained(".", gguf_file=f"{name}.gguf").eval()
    weights = all(
        torch.equal(a, b) for a, b in zip(model.state_dict().values(), loaded.state_dict().values(), strict=True)
    )
    with torch.no_grad():
        change = (loaded(text).logits - model(text).logits).norm() / model(text).logits.norm()
    seen[name] = (weights, round(change.item(), 3), loaded.config.rope_parameters["rope_type"])
print(
    f"transformers {transformers.__version__}, gguf 0.19.0: (weights equal, change of the logits, rope_type), "
    f"expected no change, seen {seen}"
)
if not (
    all(weights for weights, _, _ in seen.values())
    and seen["none"][1] < 0.001
    and all(seen[name][1] > 0.05 and seen[name][2] == "default" for name in ("linear", "llama3"))
):
    sys.exit("changed: the scaling is read now, or a model without it no longer comes back whole")
PY
