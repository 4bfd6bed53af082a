"""Tiny models with random weights, and methods with their shipped settings."""

import copy
import functools
import io
import pickle
from collections.abc import Callable, Iterable
from typing import Any

import torch
from omegaconf import OmegaConf
from torch import Tensor, nn
from transformers import (
    AlbertConfig,
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    BertConfig,
    DebertaConfig,
    DebertaV2Config,
    DistilBertConfig,
    ElectraConfig,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    OPTConfig,
    PreTrainedConfig,
    PreTrainedModel,
    RobertaConfig,
)

from lnbench.backbone.attention import adapt_attention
from lnbench.backbone.backbone import views
from lnbench.backbone.dropout import make_dropout_cheap
from lnbench.backbone.tuned_model import TunedModel
from lnbench.core.config_folders import config_dir
from lnbench.core.registry import KIND
from lnbench.methods.base import METHODS, SEPARATOR, Method
from lnbench.methods.parts.attach import attach

HIDDEN, EMBEDDING, LAYERS, HEADS, FFN, VOCABULARY, POSITIONS = 32, 16, 3, 4, 64, 100, 64

COMMON: dict[str, Any] = {"vocab_size": VOCABULARY, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
SIZES: dict[str, Any] = {
    **COMMON,
    "hidden_size": HIDDEN,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "intermediate_size": FFN,
    "max_position_embeddings": POSITIONS,
}
OPT_SIZES: dict[str, Any] = {**SIZES, "ffn_dim": FFN, "dropout": 0.0}
DEBERTA_SIZES: dict[str, Any] = {
    **SIZES,
    "relative_attention": True,
    "pos_att_type": ["c2p", "p2c"],
    "position_biased_input": False,
}
DEBERTA_V3: dict[str, Any] = {"share_att_key": True, "position_buckets": 8, "norm_rel_ebd": "layer_norm"}
CONFIGS: dict[str, PreTrainedConfig] = {
    "albert": AlbertConfig(**SIZES, embedding_size=EMBEDDING),
    "bert": BertConfig(**SIZES),
    "deberta": DebertaConfig(**DEBERTA_SIZES),
    "deberta_v2": DebertaV2Config(**DEBERTA_SIZES, **DEBERTA_V3),
    "distilbert": DistilBertConfig(
        **COMMON, dim=HIDDEN, n_layers=LAYERS, n_heads=HEADS, hidden_dim=FFN, max_position_embeddings=POSITIONS
    ),
    "electra": ElectraConfig(**SIZES, embedding_size=EMBEDDING),
    "gpt2": GPT2Config(**COMMON, n_embd=HIDDEN, n_layer=LAYERS, n_head=HEADS, n_inner=FFN, n_positions=POSITIONS),
    "gpt_neox": GPTNeoXConfig(**SIZES),
    "llama": LlamaConfig(**SIZES, num_key_value_heads=2),
    "opt": OPTConfig(**OPT_SIZES, word_embed_proj_dim=HIDDEN),
    "opt_350m": OPTConfig(**OPT_SIZES, word_embed_proj_dim=EMBEDDING, do_layer_norm_before=False),
    "roberta": RobertaConfig(**{**SIZES, "max_position_embeddings": POSITIONS + 2}),
}
FIRST_ARCHITECTURES = sorted(CONFIGS)
"""Those on which every pair of methods is tested; on the later ones, every kind of method and two sums."""
GROUPED: dict[str, Any] = {**SIZES, "num_key_value_heads": 2}
WIDE_HEADS: dict[str, Any] = {**GROUPED, "head_dim": 12}
SLIDING: dict[str, Any] = {"sliding_window": 4, "layer_types": ["sliding_attention", "full_attention"] * 2}
SLIDING["layer_types"] = SLIDING["layer_types"][:LAYERS]
SOFT_CAPS: dict[str, Any] = {"attn_logit_softcapping": 2.0, "final_logit_softcapping": 3.0, "query_pre_attn_scalar": 9}
WITH_POSITIONS: dict[str, Any] = {**SIZES, "max_position_embeddings": POSITIONS + 2}
NEO: dict[str, Any] = {**SIZES, "attention_types": [[["global", "local", "global"], 1]], "window_size": 3}
GPTJ: dict[str, Any] = {**COMMON, "n_embd": HIDDEN, "n_layer": LAYERS, "n_head": HEADS, "n_positions": POSITIONS}
FALCON: dict[str, Any] = {**SIZES, "ffn_hidden_size": FFN, "alibi": False}
MODERN: dict[str, Any] = {"local_attention": 6, "cls_token_id": 1, "sep_token_id": 2}
LATER: dict[str, tuple[str, dict[str, Any]]] = {
    "apertus": ("apertus", {**GROUPED, "rope_parameters": {"rope_type": "default", "rope_theta": 10_000.0}}),
    "arcee": ("arcee", GROUPED),
    "bloom": ("bloom", {**COMMON, "hidden_size": HIDDEN, "n_layer": LAYERS, "n_head": HEADS}),
    "camembert": ("camembert", WITH_POSITIONS),
    "cohere": ("cohere", {**GROUPED, "use_qk_norm": True}),
    "cohere2": ("cohere2", {**GROUPED, **SLIDING, "head_dim": HIDDEN // HEADS}),
    "ernie4_5": ("ernie4_5", GROUPED),
    "eurobert": ("eurobert", {**GROUPED, "mask_token_id": 3}),
    "exaone4": ("exaone4", {**GROUPED, **SLIDING}),
    "falcon": ("falcon", {**FALCON, "multi_query": True, "bias": True}),
    "falcon_new": ("falcon", {**FALCON, "new_decoder_architecture": True, "num_kv_heads": 2}),
    "falcon_rw": ("falcon", {**FALCON, "parallel_attn": False, "multi_query": False, "alibi": True, "bias": True}),
    "gemma": ("gemma", {**GROUPED, "head_dim": HIDDEN // HEADS}),
    "gemma2": ("gemma2", {**WIDE_HEADS, **SLIDING, **SOFT_CAPS}),
    "gemma3": ("gemma3_text", {**WIDE_HEADS, **SLIDING, "query_pre_attn_scalar": 9}),
    "glm": ("glm", {**GROUPED, "head_dim": HIDDEN // HEADS}),
    "glm4": ("glm4", {**GROUPED, "head_dim": HIDDEN // HEADS}),
    "gpt_neo": ("gpt_neo", {**NEO, "num_layers": LAYERS, "num_heads": HEADS}),
    "gptj": ("gptj", {**GPTJ, "n_inner": FFN, "rotary_dim": 4}),
    "granite": ("granite", {**GROUPED, "embedding_multiplier": 3.0, "residual_multiplier": 0.5}),
    "helium": ("helium", {**GROUPED, "head_dim": HIDDEN // HEADS}),
    "hunyuan_v1_dense": ("hunyuan_v1_dense", WIDE_HEADS),
    "ministral": ("ministral", {**WIDE_HEADS, **SLIDING}),
    "mistral": ("mistral", {**GROUPED, "sliding_window": 4}),
    "modernbert": ("modernbert", {**SIZES, **MODERN, "layer_types": SLIDING["layer_types"]}),
    "mpnet": ("mpnet", WITH_POSITIONS),
    "nomic_bert": ("nomic_bert", SIZES),
    "olmo": ("olmo", GROUPED),
    "olmo2": ("olmo2", GROUPED),
    "olmo3": ("olmo3", {**GROUPED, **SLIDING}),
    "phi": ("phi", {**GROUPED, "qk_layernorm": True}),
    "phi3": ("phi3", GROUPED),
    "qwen2": ("qwen2", GROUPED),
    "qwen3": ("qwen3", WIDE_HEADS),
    "seed_oss": ("seed_oss", {**GROUPED, "residual_dropout": 0.0, "attention_dropout": 0.0}),
    "smollm3": ("smollm3", {**GROUPED, "no_rope_layers": [1, 1, 0]}),
    "stablelm": ("stablelm", {**GROUPED, "qk_layernorm": True, "use_qkv_bias": True}),
    "stablelm_parallel": ("stablelm", {**GROUPED, "use_parallel_residual": True}),
    "starcoder2": ("starcoder2", GROUPED),
    "xlm_roberta_xl": ("xlm-roberta-xl", WITH_POSITIONS),
}
"""`model_type` and settings by name."""
CONFIGS |= {name: AutoConfig.for_model(kind, **settings) for name, (kind, settings) in LATER.items()}
EVERY_ARCHITECTURE = sorted(CONFIGS)
"""All with one list of blocks."""
SWITCHES: dict[str, tuple[str, dict[str, Any]]] = {
    "bloom_post": ("bloom", {"apply_residual_connection_post_layernorm": True}),
    "deberta_absolute": ("deberta", {"position_biased_input": True}),
    "deberta_v2_absolute": ("deberta_v2", {"position_biased_input": True}),
    "deberta_v2_conv": ("deberta_v2", {"conv_kernel_size": 3}),
    "opt_without_final_norm": ("opt", {"_remove_final_layer_norm": True}),
}
"""By name, one of the above and the settings with which it differs. These are tested where the settings matter."""
for name, (architecture, settings) in SWITCHES.items():
    CONFIGS[name] = copy.deepcopy(CONFIGS[architecture])
    CONFIGS[name].update(settings)
ENCODER_LAYERS, DECODER_LAYERS = 2, 3
T5: dict[str, Any] = {**COMMON, "d_model": HIDDEN, "d_ff": FFN, "d_kv": 6, "num_heads": HEADS}
T5 |= {"num_layers": ENCODER_LAYERS, "num_decoder_layers": DECODER_LAYERS}
T5 |= {"relative_attention_num_buckets": 8, "decoder_start_token_id": 0}
BART: dict[str, Any] = {**COMMON, "d_model": HIDDEN, "max_position_embeddings": POSITIONS, "decoder_start_token_id": 2}
BART |= {"encoder_layers": ENCODER_LAYERS, "encoder_attention_heads": HEADS, "encoder_ffn_dim": FFN, "dropout": 0.0}
BART |= {"decoder_layers": DECODER_LAYERS, "decoder_attention_heads": HEADS // 2, "decoder_ffn_dim": FFN // 2}
TWO_SIDED: dict[str, tuple[str, dict[str, Any]]] = {
    "bart": ("bart", BART),
    "flan_t5": ("t5", {**T5, "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}),
    "mt5": ("mt5", T5),
    "mt5_gated": ("mt5", {**T5, "feed_forward_proj": "gated-gelu"}),
    "pegasus": ("pegasus", BART),
    "t5": ("t5", T5),
}
CONFIGS |= {name: AutoConfig.for_model(kind, **settings) for name, (kind, settings) in TWO_SIDED.items()}
ARCHITECTURES = ["bert", "gpt2"]
"""One of each kind: an encoder and a decoder."""
ENCODERS_OF_LATER = {"camembert", "eurobert", "modernbert", "mpnet", "nomic_bert", "xlm_roberta_xl"}
DECODERS = ["gpt2", "gpt_neox", "llama", "opt", "opt_350m", *sorted(set(LATER) - ENCODERS_OF_LATER)]
LACKING: dict[str, set[str]] = {
    "olmo": {"bitfit", "ln", "fisher_ln"},
    **{name: {"prefix"} for name in ("bloom", "bloom_post", "deberta", "deberta_absolute", "gptj", "gpt_neo")},
    **{name: {"prefix"} for name in ("deberta_v2", "deberta_v2_absolute", "deberta_v2_conv")},
    **{name: {"prefix"} for name in ("falcon", "falcon_new", "falcon_rw")},
    **{name: {"bitfit"} for name in ("llama", "gemma", "gemma2", "gemma3", "granite", "mistral", "smollm3", "qwen3")},
    **{name: {"bitfit"} for name in ("cohere", "cohere2", "eurobert", "modernbert", "olmo2", "olmo3", "phi3")},
    **{name: {"bitfit"} for name in ("apertus", "arcee", "ernie4_5", "exaone4", "helium", "ministral")},
    "hunyuan_v1_dense": {"bitfit"},
    **{name: {"loreft", "unipelt"} for name in ("bart", "pegasus")},
    **{name: {"bitfit", "loreft", "unipelt"} for name in ("t5", "flan_t5", "mt5", "mt5_gated")},
}
"""Methods that an architecture has no place for, as shipped: attention that calls no function, no biases, norms without
values, texts that grow."""


def tiny(architecture: str, seed: int = 0) -> PreTrainedModel:
    """A headless model in evaluation mode, with the same weights for the same seed."""
    return _packed(AutoModel, architecture, seed).copy()


def shallow(architecture: str) -> PreTrainedModel:
    """The same with two layers, the first and the last."""
    return _packed(AutoModel, architecture, 0, num_hidden_layers=2).copy()


def tiny_generator(architecture: str = "gpt2", seed: int = 0) -> PreTrainedModel:
    """A tiny decoder, or encoder-decoder, that generates."""
    kind = AutoModelForSeq2SeqLM if architecture in TWO_SIDED else AutoModelForCausalLM
    return _packed(kind, architecture, seed).copy()


class Packer(pickle.Pickler):
    """Pickles a model apart from its tensors. From that, `Unpacker` makes a copy faster than `copy.deepcopy` does."""

    def __init__(self, model: PreTrainedModel) -> None:
        self.tensors: list[Tensor] = []
        file = io.BytesIO()
        super().__init__(file)
        self.dump(model)
        self.content = file.getvalue()

    def persistent_id(self, obj: Any) -> int | None:
        """The number of a tensor. A tensor that several modules share has one number."""
        if not isinstance(obj, Tensor):
            return None
        known = [number for number, tensor in enumerate(self.tensors) if tensor is obj]
        self.tensors += [] if known else [obj]
        return known[0] if known else len(self.tensors) - 1

    def copy(self) -> PreTrainedModel:
        """A new model with tensors of its own."""
        model: PreTrainedModel = Unpacker(self.content, self.tensors).load()
        return model


class Unpacker(pickle.Unpickler):
    """Unpickles a model with copies of its tensors."""

    def __init__(self, content: bytes, tensors: list[Tensor]) -> None:
        super().__init__(io.BytesIO(content))
        self.tensors = copy.deepcopy(tensors)

    def persistent_load(self, pid: Any) -> Tensor:
        """The tensor of a number."""
        tensor: Tensor = self.tensors[pid]
        return tensor


@functools.cache
def _packed(kind: Any, architecture: str, seed: int, **changes: Any) -> Packer:
    """A model whose gains are off 1 and biases off 0, where mistakes would not show."""
    torch.manual_seed(seed)
    config = copy.deepcopy(CONFIGS[architecture])
    config.update(changes)
    model: PreTrainedModel = kind.from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return Packer(model.eval())


@functools.cache
def shipped(name: str) -> dict[str, Any]:
    """What `conf/method/NAME.yaml` says."""
    settings = OmegaConf.to_container(OmegaConf.load(config_dir() / "method" / f"{name}.yaml"))
    assert isinstance(settings, dict)
    return {str(key): value for key, value in settings.items()}


NAMES = sorted(file.stem for file in (config_dir() / "method").glob("*.yaml"))
"""Every name of a method, and of a sum that has a name of its own (`mam`)."""
PARTS = [name for name in NAMES if KIND in shipped(name)]


def part(name: str, **settings: Any) -> Method:
    """A method with its shipped settings, and `settings` in place of some of them."""
    return METHODS.parse({**shipped(name), **settings}, f"method.{name}")


def parts(method: str) -> dict[str, Method]:
    """The parts of a sum such as `ln+prefix` or `ln+mam`."""
    return {name: part(name) for name in names_of(method)}


def names_of(method: str) -> list[str]:
    """The names of these parts."""
    return [part for name in method.split(SEPARATOR) for part in shipped(name).get("defaults", [name])]


def is_possible(architecture: str, method: str) -> bool:
    """Whether an architecture has what a sum needs: a place for a prefix, biases, norms with values."""
    return not LACKING.get(architecture, set()) & set(names_of(method))


def tune(model: PreTrainedModel, methods: str | dict[str, Method], seed: int = 0) -> dict[str, list[str]]:
    """Attaches methods to a model; returns the parameter names each part claims."""
    return attach(parts(methods) if isinstance(methods, str) else methods, views(model), seed)


def tuned(
    backbone: PreTrainedModel, methods: str | dict[str, Method], head: Callable[[int], nn.Module], seed: int = 0
) -> TunedModel:
    """A model as a run trains it, in training, with all the dropout that its architecture has.

    Args:
        backbone: is changed.
        methods: as for `tune`.
        head: from the size of the backbone's output to the task's head.
        seed: of what is new.
    """
    backbone.config.use_cache = False
    size, output_size = backbone.num_parameters(), views(backbone)[0].output_size
    adapt_attention(backbone)
    claims = tune(backbone, methods, seed)
    torch.manual_seed(seed)
    model = TunedModel(backbone, head(output_size), claims, size)
    make_dropout_cheap(model)
    return model.train()


def shake(model: nn.Module, scale: float = 0.1) -> None:
    """Moves all trainable parameters to random places, as training would."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(scale * torch.randn(parameter.shape, generator=generator))


def trained(model: nn.Module) -> dict[str, Tensor]:
    """The trainable parameters by name."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def batch(lengths: Iterable[int] = (7, 4), seed: int = 0) -> dict[str, Tensor]:
    """Random token ids padded on the right: input_ids and attention_mask, (B, L)."""
    lengths = list(lengths)
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(1, VOCABULARY, (len(lengths), max(lengths)), generator=generator)
    mask = (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()
    return {"input_ids": ids * mask, "attention_mask": mask}


def two_texts(lengths: Iterable[int] = (7, 4), written: int = 7) -> dict[str, Tensor]:
    """Sources as in `batch`, and targets of `written` tokens each: decoder_input_ids, (B, written)."""
    sources = batch(lengths)
    rows = len(sources["input_ids"])
    return {**sources, "decoder_input_ids": batch([written] * rows, seed=1)["input_ids"]}


def hidden(model: nn.Module, inputs: dict[str, Tensor]) -> Tensor:
    """The last hidden states at real tokens only, (tokens, hidden size)."""
    states: Tensor = model(**inputs).last_hidden_state
    return states[inputs["attention_mask"].bool()]
