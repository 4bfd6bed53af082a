#!/usr/bin/env bash
# One would think: AdaptiveLayerLoss trains the embeddings that the model gives after its upper layers are cut off.
# What is so:      on BERT it does. ModernBERT, Qwen3 and Gemma 3 have a norm after the last layer. The loss sees the
#                  lower layers without it, the cut model applies it: its embeddings were in no loss.
# Versions:        sentence-transformers 6.2.0, transformers 5.23.0, torch 2.13.0.
# Source:          sentence_transformers/sentence_transformer/losses/adaptive_layer.py takes a layer's output from
#                  all_layer_embeddings, which are hidden_states of transformers: only the last of them has the norm.
# Why it matters:  the scores by number of layers are those of embeddings that nothing was trained for. On random models
#                  their cosine with the trained ones is 0.93, and down to 0.5 with one large activation in the
#                  residual stream, as trained models have, which the norm levels. Matryoshka2dLoss does the same.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile \
    torch==2.13.0 transformers==5.23.0 sentence-transformers==6.2.0 datasets==5.2.0
cd "$work"
HF_HUB_OFFLINE=1 HF_HOME="$work/home" "$work/venv/bin/python" -W ignore - <<'PY'
import copy
import random
import sys

import sentence_transformers
import torch
import transformers
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.losses import AdaptiveLayerLoss
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import nn

transformers.utils.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()
WORDS = ["[PAD]", "[UNK]", *(f"w{i}" for i in range(62))]
SIZES = {"vocab_size": 64, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 4, "pad_token_id": 0}
HEADS = {"num_attention_heads": 4, "num_key_value_heads": 4, "head_dim": 8}
ARCHITECTURES = {
    "bert": {"num_attention_heads": 4},
    "modernbert": {"num_attention_heads": 4, **dict.fromkeys(("cls_token_id", "sep_token_id"), 0)},
    "qwen3": HEADS,
    "gemma3_text": HEADS,
}
tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, "[UNK]"))
tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]")
random.seed(0)
texts = [" ".join(random.choices(WORDS[2:], k=random.randint(4, 12))) for _ in range(16)]


class Keep(nn.Module):
    """A loss that keeps the embeddings it is given: of the last layer first, then of the layers from the lowest."""

    def __init__(self, model):
        super().__init__()
        self.model, self.kept = model, []

    def forward(self, features, labels):
        self.kept += [self.model(part)["sentence_embedding"] for part in features]
        return self.kept[-1].sum()


@torch.no_grad()
def cosines(architecture, options, large):
    """Cosines of the embeddings in the loss with those of the model cut to 1, 2, 3 and 4 layers."""
    torch.manual_seed(0)
    model = transformers.AutoModel.from_config(transformers.AutoConfig.for_model(architecture, **SIZES, **options))
    for name, parameter in model.named_parameters():
        if parameter.ndim == 1 and "norm" in name.lower() and "bias" not in name:
            parameter.add_(0.5 * torch.randn_like(parameter))  # gains as of a trained model
    if large:
        model.get_input_embeddings().weight[:, 0] = 0.5  # the other activations are about 0.02
        for norm in (module for name, module in model.named_modules() if name in ("norm", "final_norm")):
            norm.weight[0] = -0.9 if architecture == "gemma3_text" else 0.1  # gemma's gain is 1 + weight
    model.save_pretrained(architecture)
    tokenizer.save_pretrained(architecture)
    model = SentenceTransformer(modules=[Transformer(architecture), Pooling(SIZES["hidden_size"])]).eval()
    keep = Keep(model)
    AdaptiveLayerLoss(model, keep, n_layers_per_step=-1, kl_temperature=0)([model.preprocess(texts)], None)
    last, _, *lower = keep.kept
    row = []
    for layers, trained in enumerate([*lower, last], start=1):
        cut = copy.deepcopy(model)
        inner = cut[0].auto_model
        if architecture == "bert":
            inner.encoder.layer = inner.encoder.layer[:layers]
        else:
            inner.layers = inner.layers[:layers]
        inner.config.num_hidden_layers = layers
        row.append(round(torch.cosine_similarity(cut.encode(texts, convert_to_tensor=True), trained).mean().item(), 2))
    return row


seen = {
    architecture + (", large activation" if large else ""): cosines(architecture, options, large)
    for large in (False, True)
    for architecture, options in ARCHITECTURES.items()
}
print(
    f"sentence-transformers {sentence_transformers.__version__}, transformers {transformers.__version__}: cosine of "
    f"the embeddings in the loss with those of the model cut to [1, 2, 3, 4] layers, expected 1.0, seen {seen}"
)
normed = [row for name, row in seen.items() if not name.startswith("bert")]
if seen["bert"] != [1.0] * 4 or any(row[3] != 1.0 or max(row[:3]) > 0.97 for row in normed):
    sys.exit("changed: the loss sees the embeddings of the cut model")
PY
