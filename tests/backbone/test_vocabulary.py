"""A tokenizer that knows more tokens than its model embeds."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModel, AutoModelForCausalLM, BertConfig, GPT2Config, GPTNeoXConfig, PreTrainedConfig

import lnbench
from lnbench.backbone.tuned_model import count_parameters
from lnbench.backbone.vocabulary import grow_embedding
from lnbench.config.run import RunConfig
from lnbench.core.errors import DataError
from lnbench.core.schema import ConfigError
from lnbench.exchange.merge import merge
from lnbench.exchange.peft_format import export_peft
from lnbench.records.identity import run_dir, run_id
from lnbench.run.lifecycle import run
from lnbench.training.assemble import build_model, build_skeleton
from tests import runs, tiny
from tests.tasks.builders import WORDS, new_tokenizer

NEW = ["covid19", "zoonosis"]
EMBEDDED = len(WORDS)
SIZES: dict[str, Any] = {"hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 32, "num_hidden_layers": 2}
BERT = BertConfig(vocab_size=EMBEDDED, max_position_embeddings=64, **SIZES)
GPT2 = GPT2Config(vocab_size=EMBEDDED, n_embd=32, n_head=2, n_layer=2, n_positions=64, bos_token_id=3, eos_token_id=3)
NEOX = GPTNeoXConfig(vocab_size=EMBEDDED, max_position_embeddings=64, tie_word_embeddings=False, **SIZES)
SHORT = ("trainer.max_epochs=1", "trainer.validate_every=null")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT that embeds as many tokens as the tokenizer knew before two were added."""
    folder = tmp_path_factory.mktemp("models") / "bert"
    torch.manual_seed(0)
    AutoModel.from_config(BERT).save_pretrained(folder)
    tokenizer = new_tokenizer()
    tokenizer.add_tokens(NEW)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Any:
    """Makes a data root of sentences of which those labelled 1 have a word."""

    def write(word: str) -> Path:
        rows = [{"sentence": f"a film {word if n % 2 else 'b'} c", "label": n % 2} for n in range(40)]
        rows = [{**row, "sentence": f"{row['sentence']} {'e' * (n + 1)}"} for n, row in enumerate(rows)]
        (tmp_path / word / "sst2").mkdir(parents=True)
        for split in ("train", "validation", "test"):
            (tmp_path / word / "sst2" / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        return tmp_path / word

    return write


def configure(model: Path, data: Path, runs_dir: Path, *more: str) -> RunConfig:
    return runs.configure(model, data, runs_dir, *SHORT, *more)


def test_a_token_without_a_row_is_refused_before_any_weights_are_loaded(
    model: Path, data: Any, runs_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lnbench.run.execute.build_model", lambda *_: pytest.fail("weights were loaded"))
    with pytest.raises(ConfigError) as caught:
        run(configure(model, data("covid19"), runs_dir))
    for part in ("'tiny'", "'covid19' (id 12)", "knows 14 tokens", "embeds 12", "model.grow_embedding=true"):
        assert part in str(caught.value)


def test_tokens_that_do_not_occur_need_no_row_and_are_refused_later(model: Path, data: Any, runs_dir: Path) -> None:
    config = configure(model, data("good"), runs_dir)
    assert run(config).metrics["test"]
    tuned = lnbench.load(run_dir(config))
    assert len(tuned.predict(["a good film"])) == 1
    with pytest.raises(DataError, match="model 'tiny' has no row in its embedding for the token 'zoonosis'"):
        tuned.predict(["a good film", "a zoonosis film"])


def test_a_padding_token_without_a_row_is_refused(model: Path, data: Any, runs_dir: Path, tmp_path: Path) -> None:
    tokenizer = new_tokenizer(pad=False)
    tokenizer.add_special_tokens({"pad_token": "<pad>"})
    AutoModel.from_config(BERT).save_pretrained(tmp_path / "unpadded")
    tokenizer.save_pretrained(tmp_path / "unpadded")
    with pytest.raises(ConfigError, match=r"for the token '<pad>' \(id 12\)"):
        run(configure(tmp_path / "unpadded", data("good"), runs_dir))


@pytest.mark.parametrize("method", ["ln", "full"])
def test_a_grown_embedding_is_trained_saved_and_made_again(model: Path, data: Any, runs_dir: Path, method: str) -> None:
    config = configure(
        model, data("covid19"), runs_dir, "++model.grow_embedding=true", f"method={method}", "trainer.max_epochs=4"
    )
    record = run(config)
    assert record.parameters.backbone == count_parameters(build_skeleton(config)).backbone
    tuned = lnbench.load(run_dir(config))
    weight = tuned.model.backbone.get_input_embeddings().get_parameter("weight")
    assert weight.shape == (14, 32)
    first = build_model(config).backbone.get_input_embeddings().get_parameter("weight")
    assert torch.equal(first[12:], first[:12].mean(dim=0).expand(2, -1))
    assert torch.equal(weight, first) is (method == "ln")
    assert torch.equal(weight[12], weight[13]) is (method == "ln"), "only the token that occurs is trained"
    answers = tuned.predict(["a covid19 film", "a b film"])
    texts = [json.loads(line) for line in (run_dir(config) / "predictions.jsonl").read_text().splitlines()]
    again = tuned.predict([text["input"]["sentence"] for text in texts])
    assert [row["label"] for row in again] == [row["label"] for row in texts]
    merged = merge(tuned).predict(["a covid19 film", "a b film"])
    for one, other in zip(answers, merged, strict=True):
        assert one["probabilities"] == pytest.approx(other["probabilities"], abs=1e-6)


def test_a_grown_embedding_is_another_run_and_no_peft_adapter(
    model: Path, data: Any, runs_dir: Path, tmp_path: Path
) -> None:
    root = data("good")
    plain, grown = (configure(model, root, runs_dir, *more) for more in ((), ("++model.grow_embedding=true",)))
    assert run_id(plain) != run_id(grown)
    run(grown)
    with pytest.raises(ConfigError, match=r"model\.grow_embedding = true: peft's format has no place"):
        export_peft(lnbench.load(run_dir(grown)), tmp_path / "peft")


@pytest.mark.parametrize("config", [GPT2, NEOX], ids=["tied", "untied"])
def test_the_output_layer_grows_with_the_embedding(config: PreTrainedConfig) -> None:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(copy.deepcopy(config)).eval()
    inputs = tiny.batch()
    inputs["input_ids"] %= EMBEDDED
    with torch.no_grad():
        before = model(**inputs).logits
        state = torch.get_rng_state()
        grow_embedding(model, EMBEDDED + 2)
        assert torch.equal(torch.get_rng_state(), state)
        after = model(**inputs).logits
    torch.testing.assert_close(after[..., :EMBEDDED], before)
    torch.testing.assert_close(after[..., EMBEDDED:], before.mean(dim=-1, keepdim=True).expand(-1, -1, 2))
    grow_embedding(model, EMBEDDED)
    assert model.config.vocab_size == EMBEDDED + 2
