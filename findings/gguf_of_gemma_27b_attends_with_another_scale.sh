#!/usr/bin/env bash
# One would think: transformers lists gemma2 and gemma3 among the architectures that it reads from GGUF files, so a file
#                  of any size of Gemma gives the model that was converted.
# What is so:      the 27B models divide scores by another number than the root of 256: Gemma 2 by that of 144, Gemma 3 by
#                  that of 168 (`query_pre_attn_scalar`). No field of GGUF holds it; llama.cpp knows it by the number of
#                  blocks. transformers takes its default, 256, for all sizes. Every weight is equal, and the logits are
#                  those of another model. The smaller models have 256 and are right.
# Versions:        transformers 5.23.0, gguf 0.19.0, torch 2.13.0.
# Source:          the tables "gemma2" and "gemma3" in transformers/integrations/ggml.py; Gemma2Config and
#                  Gemma3TextConfig, whose defaults are 256.
# Why it matters:  an adapter tuned on the 27B model from a GGUF file fits a model that nobody serves, and its scores are
#                  lower for a reason that is not quantisation. Set config.query_pre_attn_scalar by hand.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile torch==2.13.0 transformers==5.23.0 accelerate==1.15.0 gguf==0.19.0
cd "$work"
HF_HUB_OFFLINE=1 "$work/venv/bin/python" -W ignore - <<'PY'
import sys

import gguf
import torch
import transformers
from transformers import AutoConfig, AutoModelForCausalLM

transformers.utils.logging.disable_progress_bar()
SHAPE = dict(vocab_size=64, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=2)
MORE = dict(num_key_value_heads=1, max_position_embeddings=128, sliding_window=64, initializer_range=0.2)
SIZES = {  # head_dim and query_pre_attn_scalar of a small and of the largest model
    "gemma2": {"9b": (256, 256), "27b": (128, 144)},
    "gemma3": {"12b": (256, 256), "27b": (128, 168)},
}


def write(path, model, architecture):
    """Writes the file as llama.cpp's converter does: gains with the one added, and the fields that it has for them."""
    config, writer = model.config, gguf.GGUFWriter(path, architecture)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_sliding_window(config.sliding_window)
    writer.add_vocab_size(config.vocab_size)
    if architecture == "gemma3":
        writer.add_rope_freq_base(1_000_000.0)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH[architecture.upper()], config.num_hidden_layers)
    for name, weight in model.state_dict().items():
        if name != "lm_head.weight":  # tied
            value = weight + 1 if name.endswith("norm.weight") else weight
            writer.add_tensor(names.get_name(name, try_suffixes=(".weight",)), value.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


ids = torch.arange(40)[None]
seen = {}
for architecture, sizes in SIZES.items():
    kind = {"gemma2": "gemma2", "gemma3": "gemma3_text"}[architecture]
    for size, (head, scalar) in sizes.items():
        torch.manual_seed(0)
        config = AutoConfig.for_model(kind, **SHAPE, **MORE, head_dim=head, query_pre_attn_scalar=scalar)
        model = AutoModelForCausalLM.from_config(config).eval()
        file = f"{architecture}-{size}.gguf"
        write(file, model, architecture)
        loaded = AutoModelForCausalLM.from_pretrained(".", gguf_file=file).eval()
        with torch.no_grad():
            wanted = model(ids).logits
            change = ((loaded(ids).logits - wanted).norm() / wanted.norm()).item()
            for layer in loaded.model.layers:
                layer.self_attn.scaling = scalar**-0.5
            left = ((loaded(ids).logits - wanted).norm() / wanted.norm()).item()
        seen[file] = (loaded.config.query_pre_attn_scalar, round(change, 3), round(left, 3))
print(
    f"transformers {transformers.__version__}, gguf 0.19.0: (query_pre_attn_scalar, change of the logits, change with "
    f"the scale set by hand), expected no change, seen {seen}"
)
if not all(
    scalar == 256 and left == 0.0 and (change > 0.01) == file.endswith("27b.gguf")
    for file, (scalar, change, left) in seen.items()
):
    sys.exit("changed: the scale is read now, or the files no longer come back whole")
PY
