"""An exported adapter gives the logits of the run through HF peft and transformers' own classes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from torch import Tensor
from transformers import (
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    PreTrainedModel,
)

from lnbench.backbone.loading import load_tokenizer
from lnbench.exchange.heads import HEAD_FILE, SENTENCE_FORMS
from lnbench.exchange.peft_format import export_peft
from lnbench.model import build_model
from lnbench.schema import ConfigError
from lnbench.tuned import Tuned
from tests import runs
from tests.tiny import DECODERS, EVERY_ARCHITECTURE, HIDDEN, batch, shake

pytestmark = [
    pytest.mark.filterwarnings("ignore:Unsupported layer type:UserWarning"),
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
]

Build = Callable[..., Tuned]
ENCODERS = sorted(set(EVERY_ARCHITECTURE) - set(DECODERS))
METHODS = ["ln", "lora", "ia3"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a tiny pretrained model."""
    root = tmp_path_factory.mktemp("models")
    return lambda name: root / name if (root / name).is_dir() else runs.save_model(name, root / name)


@pytest.fixture
def build(folders: Callable[[str], Path], data_root: Path, tmp_path: Path) -> Build:
    """Makes what `load` gives of a run, with random values in place of trained ones."""

    def built(architecture: str, *more: str) -> Tuned:
        config = runs.configure(folders(architecture), data_root, tmp_path / "runs", *more)
        model = build_model(config).eval()
        shake(model)
        return Tuned(model, load_tokenizer(config.model), config.task, config, "fp32")

    return built


def through_peft(loader: Any, tuned: Tuned, folder: Path, classes: int) -> PreTrainedModel:
    base = loader.from_pretrained(tuned.config.model.source, num_labels=classes)
    model: PreTrainedModel = PeftModel.from_pretrained(base, str(folder)).eval()
    return model


def check(found: Tensor, tuned: Tuned, inputs: dict[str, Tensor]) -> None:
    """At the real tokens, and compared with what differs between rows."""
    expected = tuned.model(**inputs)
    real = inputs["attention_mask"].bool() if expected.ndim == 3 else slice(None)
    torch.testing.assert_close(found[real], expected[real], rtol=0, atol=1e-5)
    assert expected[real].std(dim=0).min() > 1e-3


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("architecture", ENCODERS)
def test_a_classifier_of_texts(build: Build, architecture: str, method: str, tmp_path: Path) -> None:
    form = SENTENCE_FORMS[architecture.replace("_v2", "-v2")]
    tuned = build(architecture, f"method={method}", f"model.pooling={form.pooling}")
    export_peft(tuned, tmp_path)
    theirs = through_peft(AutoModelForSequenceClassification, tuned, tmp_path, 2)
    check(theirs(**batch()).logits, tuned, batch())


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("architecture", [name for name in EVERY_ARCHITECTURE if not name.startswith("opt")])
def test_a_tagger(build: Build, architecture: str, method: str, tmp_path: Path) -> None:
    tuned = build(architecture, f"method={method}", "task=wnut17", "model.pooling=first")
    export_peft(tuned, tmp_path)
    theirs = through_peft(AutoModelForTokenClassification, tuned, tmp_path, 13)
    check(theirs(**batch()).logits, tuned, batch())


@pytest.mark.parametrize("architecture", EVERY_ARCHITECTURE)
def test_a_reader(build: Build, architecture: str, tmp_path: Path) -> None:
    tuned = build(architecture, "method=ln", "task=squad", "task.max_length=32", "task.stride=8", "model.pooling=first")
    export_peft(tuned, tmp_path)
    output = through_peft(AutoModelForQuestionAnswering, tuned, tmp_path, 2)(**batch())
    check(torch.stack([output.start_logits, output.end_logits], dim=-1), tuned, batch())


def test_a_regression(build: Build, tmp_path: Path) -> None:
    tuned = build("distilbert", "method=ln", "task=stsb", "model.pooling=first")
    export_peft(tuned, tmp_path)
    theirs = through_peft(AutoModelForSequenceClassification, tuned, tmp_path, 1)
    check(theirs(**batch()).logits, tuned, batch())


@pytest.mark.parametrize(
    ("architecture", "settings", "reason"),
    [
        ("bert", ["model.pooling=mean"], "BertForSequenceClassification reads model.pooling=pooler, and this head mean"),
        ("bert", ["model.pooling=first"], "reads model.pooling=pooler, and this head first"),
        ("roberta", ["model.pooling=mean"], "RobertaForSequenceClassification reads model.pooling=pooler"),
        ("distilbert", ["model.pooling=mean"], "DistilBertForSequenceClassification reads model.pooling=first"),
        ("gpt2", ["model.pooling=last"], "the head of GPT2ForSequenceClassification has no bias"),
        ("llama", ["model.pooling=last"], "the head of LlamaForSequenceClassification has no bias"),
        ("opt", ["task=wnut17", "model.pooling=last"], "no AutoModelForTokenClassification for the architecture 'opt'"),
        (
            "electra",
            ["model.pooling=first", f"task.labels=[{','.join(f'l{number}' for number in range(HIDDEN // 2 + 1))}]"],
            f"a layer of {HIDDEN} units, too small for {HIDDEN // 2 + 1} classes",
        ),
    ],
)
def test_a_head_that_transformers_does_not_have_is_refused_with_the_reason(
    build: Build, architecture: str, settings: list[str], reason: str, tmp_path: Path
) -> None:
    tuned = build(architecture, "method=ln", *settings)
    with pytest.raises(ConfigError, match=rf"{reason}.*--head beside writes .*{HEAD_FILE}; --merged"):
        export_peft(tuned, tmp_path / "adapter")
    assert not (tmp_path / "adapter").exists()
