"""An exported adapter gives the logits of the run through HF peft and transformers' own classes."""

import re
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
)

from lnbench.core.schema import ConfigError
from lnbench.exchange.heads import HEAD_FILE, SENTENCE_FORMS
from lnbench.exchange.merge import save_merged
from lnbench.exchange.peft_format import export_peft
from lnbench.exchange.tuned import Tuned
from tests.exchange.conftest import Build
from tests.tiny import CONFIGS, DECODERS, FIRST_ARCHITECTURES, HIDDEN, batch

pytestmark = [
    pytest.mark.filterwarnings("ignore:Unsupported layer type:UserWarning"),
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
]

WITH_A_LINEAR_HEAD = {"camembert", "mpnet", "xlm_roberta_xl"} | set(FIRST_ARCHITECTURES)
ENCODERS = sorted(WITH_A_LINEAR_HEAD - set(DECODERS))
METHODS = ["ln", "lora", "ia3"]
DOCUMENT = (Path(__file__).parents[2] / "docs" / "exchange.md").read_text()
INSIDE, BESIDE = re.findall(r"^```python\n(.*?)^```$", DOCUMENT, re.DOTALL | re.MULTILINE)


def through_peft(loader: Any, tuned: Tuned, folder: Path, classes: int) -> Any:
    base = loader.from_pretrained(tuned.config.model.source, num_labels=classes)
    model = PeftModel.from_pretrained(base, str(folder)).eval()
    return model


def run_documented(code: str, **values: str) -> dict[str, Any]:
    """Runs lines of the documents with other words in place of those in capitals; returns the names that they set."""
    names: dict[str, Any] = {}
    for word, value in values.items():
        code = code.replace(word, value)
    exec(code, names)
    return names


def check(found: Tensor, tuned: Tuned, inputs: dict[str, Tensor]) -> None:
    """At the real tokens, and compared with what differs between rows."""
    expected = tuned.model(**inputs)
    real = inputs["attention_mask"].bool() if expected.ndim == 3 else slice(None)
    torch.testing.assert_close(found[real], expected[real], rtol=0, atol=1e-5)
    assert expected[real].std(dim=0).min() > 1e-4


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("architecture", ENCODERS)
def test_a_classifier_of_texts(build: Build, architecture: str, method: str, tmp_path: Path) -> None:
    form = SENTENCE_FORMS[CONFIGS[architecture].model_type]
    tuned = build(architecture, f"method={method}", f"model.pooling={form.pooling}")
    export_peft(tuned, tmp_path)
    theirs = through_peft(AutoModelForSequenceClassification, tuned, tmp_path, 2)
    check(theirs(**batch()).logits, tuned, batch())


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("architecture", [name for name in FIRST_ARCHITECTURES if not name.startswith("opt")])
def test_a_tagger(build: Build, architecture: str, method: str, tmp_path: Path) -> None:
    tuned = build(architecture, f"method={method}", "task=wnut17", "model.pooling=first")
    export_peft(tuned, tmp_path)
    theirs = through_peft(AutoModelForTokenClassification, tuned, tmp_path, 13)
    check(theirs(**batch()).logits, tuned, batch())


@pytest.mark.parametrize("architecture", FIRST_ARCHITECTURES)
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
        (
            "bert",
            ["model.pooling=mean"],
            "BertForSequenceClassification reads model.pooling=pooler, and this head mean",
        ),
        ("bert", ["model.pooling=first"], "reads model.pooling=pooler, and this head first"),
        ("roberta", ["model.pooling=mean"], "RobertaForSequenceClassification reads model.pooling=pooler"),
        ("distilbert", ["model.pooling=mean"], "DistilBertForSequenceClassification reads model.pooling=first"),
        ("gpt2", ["model.pooling=last"], "the head of GPT2ForSequenceClassification has no bias"),
        ("llama", ["model.pooling=last"], "the head of LlamaForSequenceClassification has no bias"),
        ("modernbert", ["model.pooling=mean"], "the head of ModernBertForSequenceClassification is more than a linear"),
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


@pytest.mark.parametrize(
    ("architecture", "settings"),
    [
        ("bert", ["model.pooling=mean"]),
        ("bert", ["model.pooling=pooler"]),
        ("roberta", ["model.pooling=first"]),
        ("distilbert", ["model.pooling=mean"]),
        ("gpt2", ["model.pooling=last"]),
        ("llama", ["model.pooling=last"]),
        ("opt", ["model.pooling=last", "task=wnut17"]),
    ],
)
def test_the_documented_lines_use_a_head_beside_its_adapter(
    build: Build, architecture: str, settings: list[str], tmp_path: Path
) -> None:
    tuned = build(architecture, "method=ln", *settings)
    export_peft(tuned, tmp_path, "beside")
    names = run_documented(BESIDE, MODEL=tuned.config.model.source, ADAPTER=str(tmp_path))
    check(names["logits"], tuned, dict(names["batch"]))


def test_the_documented_lines_use_a_merged_model(build: Build, tmp_path: Path) -> None:
    tuned = build("bert", "method=lora", "model.pooling=mean")
    save_merged(tuned, tmp_path)
    loads = 'model = PeftModel.from_pretrained(AutoModel.from_pretrained("MODEL", dtype="float32"), "ADAPTER").eval()'
    merged = BESIDE.replace(loads, 'model = AutoModel.from_pretrained("PLAIN").eval()')
    assert merged != BESIDE
    names = run_documented(merged, MODEL=tuned.config.model.source, ADAPTER=str(tmp_path), PLAIN=str(tmp_path))
    check(names["logits"], tuned, dict(names["batch"]))


def test_the_documented_lines_use_a_head_in_its_adapter(build: Build, tmp_path: Path) -> None:
    tuned = build("distilbert", "method=ln", "task=wnut17", "model.pooling=first")
    export_peft(tuned, tmp_path)
    names = run_documented(INSIDE, MODEL=tuned.config.model.source, ADAPTER=str(tmp_path), NUMBER="13")
    check(names["model"](**batch()).logits, tuned, batch())
