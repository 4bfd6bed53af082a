"""The generation task on encoder-decoders: the encoder reads the source, the decoder writes the target."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from peft import (
    BeftConfig,
    IA3Config,
    LNTuningConfig,
    LoraConfig,
    OFTConfig,
    PeftModelForSeq2SeqLM,
    VeraConfig,
    get_peft_model,
)
from tokenizers import processors
from torch import Tensor
from transformers import AutoModelForSeq2SeqLM, GenerationConfig, PreTrainedTokenizerFast

import lnbench
from lnbench.backbone.backbone import views
from lnbench.backbone.loading import load_backbone, load_tokenizer
from lnbench.backbone.tuned_model import TunedModel, count_parameters, inputs_of
from lnbench.backbone.vocabulary import START
from lnbench.config.compose import compose_config, to_plain
from lnbench.config.run import RunConfig, validate
from lnbench.core.schema import ConfigError
from lnbench.deciding.runs import depth_of
from lnbench.exchange.merge import save_merged
from lnbench.exchange.peft_format import export_peft
from lnbench.exchange.peft_import import import_peft
from lnbench.exchange.tuned import Tuned
from lnbench.inspect import inspect
from lnbench.records.files import PREDICTIONS
from lnbench.records.identity import run_dir
from lnbench.run.lifecycle import run
from lnbench.tasks.data.load import load_data
from lnbench.tasks.parts.beam_search import BeamSearch
from lnbench.tasks.parts.decoding import NextTokenLogits, generate, row_losses
from lnbench.tasks.tokens.encode import tokenizer_identity
from lnbench.tasks.tokens.examples import IGNORED, Examples
from lnbench.training.assemble import build_model, build_skeleton, check_length
from tests import runs
from tests.tasks.builders import WORDS, new_generation, new_tokenizer
from tests.tiny import ENCODER_LAYERS, TWO_SIDED, VOCABULARY, shake, tiny_generator, tune

PAD, CLS, SEP = (WORDS.index(token) for token in ("[PAD]", "[CLS]", "[SEP]"))
STARTS = {"t5": PAD, "bart": SEP}
ARCHITECTURES = sorted(STARTS)
SUM = "ln+mha_adapter+prefix"
on_both = pytest.mark.parametrize("architecture", ARCHITECTURES)


def tokenizer_for(architecture: str) -> PreTrainedTokenizerFast:
    """A word tokenizer that puts tokens around a text as T5's does, or as BART's."""
    tokenizer = new_tokenizer(segments=False)
    tokenizer.eos_token = "[SEP]"
    if architecture == "t5":
        tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
            single="$A [SEP]", special_tokens=[("[SEP]", SEP)]
        )
    setattr(tokenizer, START, STARTS[architecture])
    return tokenizer


def examples_of(architecture: str, *pairs: tuple[str, str], **settings: Any) -> Examples:
    frame = pd.DataFrame({"source": [one for one, _ in pairs], "target": [other for _, other in pairs]})
    return new_generation(template="{source}", **settings).encode(frame, tokenizer_for(architecture))


def words(ids: Tensor) -> list[str]:
    return [" ".join("-" if one == IGNORED else WORDS[one] for one in row) for row in ids.tolist()]


@pytest.mark.parametrize(
    ("architecture", "sources", "targets"),
    [
        ("t5", ["a b [SEP]", "c [SEP] [PAD]"], ["[PAD] good film [SEP]", "[PAD] bad [SEP] [PAD]"]),
        (
            "bart",
            ["[CLS] a b [SEP]", "[CLS] c [SEP] [PAD]"],
            ["[SEP] [CLS] good film [SEP]", "[SEP] [CLS] bad [SEP] [PAD]"],
        ),
    ],
)
def test_source_and_target_are_texts_of_their_own(architecture: str, sources: list[str], targets: list[str]) -> None:
    batch = examples_of(architecture, ("a b", "good film"), ("c", "bad")).batch(np.array([0, 1]))
    assert words(batch["input_ids"]) == sources
    assert batch["attention_mask"].sum(1).tolist() == [len(one.replace("[PAD]", "").split()) for one in sources]
    assert words(batch["decoder_input_ids"]) == targets
    learned = [one.partition(" ")[2] for one in targets]
    first, second = words(batch["labels"])
    assert first == f"- {learned[0]}"
    assert second == f"- {learned[1].removesuffix(' [PAD]')} -"


def test_what_is_too_long_loses_its_end_and_keeps_the_tokens_around_it() -> None:
    batch = examples_of("bart", ("a b c d", "good film"), max_source_length=4, max_target_length=2).batch(np.array([0]))
    assert words(batch["input_ids"]) == ["[CLS] a b [SEP]"]
    assert words(batch["labels"]) == ["- [CLS] good"]


def test_a_source_alone_is_read() -> None:
    frame = pd.DataFrame({"source": ["a", "b c"]})
    batch = new_generation(template="{source}").encode(frame, tokenizer_for("t5")).batch(np.array([0, 1]))
    assert words(batch["input_ids"]) == ["a [SEP] [PAD]", "b c [SEP]"]
    assert words(batch["decoder_input_ids"]) == ["[PAD]", "[PAD]"]
    assert words(batch["labels"]) == ["-", "-"]


def test_tokens_for_one_text_are_not_taken_from_the_cache_for_two() -> None:
    two, one = tokenizer_for("t5"), tokenizer_for("t5")
    delattr(one, START)
    assert tokenizer_identity(two) != tokenizer_identity(one)


def family(architecture: str) -> str:
    return "bart" if architecture in ("bart", "pegasus") else "t5"


def model_of(architecture: str, method: str | None = None) -> Any:
    model = tiny_generator(architecture)
    if method:
        tune(model, method)
        shake(model, scale=0.3)
    model.config.pad_token_id, model.config.decoder_start_token_id = PAD, STARTS[family(architecture)]
    model.generation_config = GenerationConfig(
        pad_token_id=PAD, eos_token_id=SEP, decoder_start_token_id=STARTS[family(architecture)]
    )
    return model


PAIRS = (("a b c d e", "good film"), ("c", "bad"), ("d e", "a b c good"))


@on_both
def test_the_loss_is_that_of_transformers(architecture: str) -> None:
    """Which shifts the labels itself."""
    model, batch = model_of(architecture), examples_of(architecture, *PAIRS).batch(np.arange(3))
    tuned = TunedModel(model, NextTokenLogits(), {}, 0)
    loss = new_generation().loss(tuned(**inputs_of(batch)), batch)
    theirs = model(
        batch["input_ids"], attention_mask=batch["attention_mask"], labels=batch["labels"][:, 1:].contiguous()
    )
    torch.testing.assert_close(loss, theirs.loss)
    by_row = row_losses(tuned(**inputs_of(batch)), batch["labels"])
    alone = [examples_of(architecture, pair).batch(np.arange(1)) for pair in PAIRS]
    rows = [row_losses(tuned(**inputs_of(one)), one["labels"]) for one in alone]
    for name in ("nll", "tokens"):
        torch.testing.assert_close(by_row[name], torch.cat([row[name] for row in rows]))


@pytest.mark.parametrize(
    ("architecture", "method", "beams"),
    [
        *((name, SUM, 3) for name in TWO_SIDED),
        *((name, method, beams) for name in ARCHITECTURES for method in ("prefix", "prompt") for beams in (1, 3)),
        *((name, None, 3) for name in ARCHITECTURES),
    ],
)
def test_texts_do_not_depend_on_cache_or_padding(architecture: str, method: str | None, beams: int) -> None:
    kind = family(architecture)
    model, batch = model_of(architecture, method), examples_of(kind, *PAIRS).batch(np.arange(3))
    search = BeamSearch(num_beams=beams, max_new_tokens=6, batch_size=2)
    found = generate(model, batch, search)
    alone = [generate(model, examples_of(kind, pair).batch(np.arange(1)), search) for pair in PAIRS]
    assert torch.equal(found, torch.cat(alone))
    for row, pair in zip(found, PAIRS, strict=True):
        one = examples_of(kind, pair).batch(np.arange(1))
        uncached = model.generate(
            one["input_ids"], attention_mask=one["attention_mask"], use_cache=False, **search.options()
        )[0, 1:]
        assert torch.equal(row[: len(uncached)], uncached)


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with a data set `e2e_nlg`."""
    root = tmp_path_factory.mktemp("facts")
    runs.save_facts(root)
    return root


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of tiny pretrained models."""
    root = tmp_path_factory.mktemp("models")
    for name in ARCHITECTURES:
        model = tiny_generator(name)
        model.config.decoder_start_token_id = STARTS[name]
        runs.save_model(name, root / name, model)
        tokenizer_for(name).save_pretrained(root / name)
    return {name: root / name for name in ARCHITECTURES}


@pytest.fixture
def configure(folders: dict[str, Path], facts: Path, tmp_path: Path) -> Any:
    """Makes configurations of short runs."""

    def configure(architecture: str, *more: str, task: str = "e2e_nlg") -> RunConfig:
        places = [f"model.source={folders[architecture]}", f"data_root={facts}", f"cache_dir={tmp_path / 'cache'}"]
        own = [f"task={task}", "model=t5_small", "model.name=tiny", f"runs_dir={tmp_path / 'runs'}", *runs.SHORT]
        if task == "e2e_nlg":
            own += ["task.max_source_length=16", "task.max_target_length=8", "task.template='{source}'"]
            own += ["task.search.max_new_tokens=8", "task.search.num_beams=2"]
        return validate(to_plain(compose_config(*own, *places, *more)))

    return configure


@pytest.mark.parametrize(("architecture", "method"), [("t5", "full"), ("bart", SUM)])
def test_a_run_learns_to_write_and_is_loaded_again(configure: Any, architecture: str, method: str) -> None:
    config = configure(architecture, f"method={method}", "trainer.max_epochs=30", "trainer.lr=0.02")
    record = run(config)
    assert record.metrics["test"]["rougeL"] > 0.7
    lines = [json.loads(line) for line in (run_dir(config) / PREDICTIONS).read_text().splitlines()]
    tuned = lnbench.load(run_dir(config))
    again = tuned.predict([line["input"]["source"] for line in lines])
    assert [row["generated"] for row in again] == [line["generated"] for line in lines]
    if method == SUM:
        found = {(shift.side, shift.norm) for shift in record.shift}
        assert found == {("encoder", "mha"), ("encoder", "ffn"), *(("decoder", one) for one in ("mha", "cross", "ffn"))}
        assert {shift.layer for shift in record.shift if shift.side == "decoder"} == {1, 2, 3}


@pytest.mark.parametrize("layers", ["all", "decoder"])
def test_an_interrupted_run_goes_on_as_if_nothing_had_happened(configure: Any, tmp_path: Path, layers: str) -> None:
    from tests.training.interruption import interrupt

    settings = (f"method={SUM}", *(f"method.{part}.layers={layers}" for part in SUM.split("+")))
    whole = configure("t5", *settings, "trainer.frozen_dropout=false")
    parts = configure("t5", *settings, "trainer.frozen_dropout=false", f"runs_dir={tmp_path / 'others'}")
    interrupt(parts, "on_train_batch_end", 3)
    assert runs.results(parts)["adapter"] == runs.results(whole)["adapter"]


def test_the_layers_of_a_claim_are_counted_in_the_encoder(configure: Any) -> None:
    assert depth_of(configure("bart")) == ENCODER_LAYERS


def test_no_cache_is_kept_in_training(configure: Any) -> None:
    for architecture in ARCHITECTURES:
        model = build_model(configure(architecture, "method=ln")).train()
        batch = examples_of(architecture, *PAIRS).batch(np.arange(3))
        assert model.backbone(**inputs_of(batch)).past_key_values is None


@pytest.mark.parametrize("task", ["tweets", "conll2004", "squad", "stsb"])
def test_tasks_that_do_not_generate_are_refused_before_anything_is_read(
    configure: Any, tmp_path: Path, task: str
) -> None:
    config = configure("t5", "method=ln", task=task)
    message = r"'t5' is an encoder-decoder, .* choose a task that does, such as task=e2e_nlg"
    with pytest.raises(ConfigError, match=message):
        run(config)
    assert not (tmp_path / "cache").exists()
    with pytest.raises(ConfigError, match=message):
        build_skeleton(config)
    with pytest.raises(ConfigError, match=message):
        inspect(config)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["task.max_source_length=65"], r"task.max_source_length = 65.*rows of up to 65 tokens: tiny has 64 positions"),
        (["task.max_target_length=64"], "rows of up to 65 tokens"),
        (["task.search.max_new_tokens=64"], "rows of up to 65 tokens"),
    ],
)
def test_source_and_target_need_positions_of_their_own(configure: Any, settings: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        run(configure("bart", "method=ln", *settings))


def test_a_side_of_another_model_is_refused_before_it_is_loaded(configure: Any, sources: dict[str, Path]) -> None:
    config = configure("t5", "method=ln", "method.ln.layers=decoder", f"model.source={sources['gpt2']}")
    with pytest.raises(ConfigError, match=r"method.ln.layers = 'decoder': the architecture 'gpt2' is no encoder-deco"):
        run(config)


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
@on_both
def test_others_load_what_is_exported(configure: Any, architecture: str, tmp_path: Path) -> None:
    config = configure(architecture, "method=lora")
    model = build_model(config).eval()
    shake(model)
    tuned = Tuned(model, load_tokenizer(config.model), config.task, config, "fp32")
    inputs = inputs_of(examples_of(architecture, *PAIRS).batch(np.arange(3)))
    save_merged(tuned, tmp_path / "merged")
    merged = AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "merged")
    torch.testing.assert_close(merged(**inputs).logits, model(**inputs), rtol=0, atol=1e-4)
    export_peft(tuned, tmp_path / "peft")
    plain = AutoModelForSeq2SeqLM.from_pretrained(config.model.source)
    adapted = PeftModelForSeq2SeqLM.from_pretrained(plain, tmp_path / "peft")
    torch.testing.assert_close(adapted(**inputs).logits, model(**inputs), rtol=0, atol=1e-4)
    override = f"model.source={config.model.source}"
    import_peft(
        tmp_path / "peft", tmp_path / "back", [override, "model=t5_small", "task=e2e_nlg", *runs.SHORT_TEXTS], True
    )
    back = lnbench.load(tmp_path / "back").model
    torch.testing.assert_close(back(**inputs), model(**inputs), rtol=0, atol=1e-5)


ADAPTERS = {
    "norms": (LNTuningConfig, {}, {"t5": ["layer_norm"], "bart": ["self_attn_layer_norm", "encoder_attn_layer_norm"]}),
    "outer norms": (LNTuningConfig, {}, {"t5": ["decoder.final_layer_norm"], "bart": ["decoder.layernorm_embedding"]}),
    "lora": (LoraConfig, {"r": 3}, {"t5": ["q", "v", "wo"], "bart": ["q_proj", "v_proj", "fc2"]}),
    "lora across": (LoraConfig, {"r": 3}, {"t5": ["EncDecAttention.k"], "bart": ["encoder_attn.k_proj"]}),
    "dora": (LoraConfig, {"r": 3, "use_dora": True}, {"t5": ["o", "wi"], "bart": ["out_proj", "fc1"]}),
    "ia3": (IA3Config, {}, {"t5": ["k", "v", "wo"], "bart": ["k_proj", "v_proj", "fc2"]}),
    "beft": (BeftConfig, {}, {"t5": ["v"], "bart": ["v_proj"]}),
    "oft": (OFTConfig, {"oft_block_size": 4, "use_cayley_neumann": False}, {"t5": ["q", "wi"], "bart": ["q_proj"]}),
    "vera": (VeraConfig, {"r": 5}, {"t5": ["q", "v"], "bart": ["q_proj", "v_proj"]}),
}


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
@pytest.mark.filterwarnings("ignore:Detected that the base layer has no bias term:UserWarning")
@pytest.mark.filterwarnings("ignore:Unsupported layer type:UserWarning")
@pytest.mark.parametrize("name", ADAPTERS)
@on_both
def test_adapters_of_peft_are_read(folders: dict[str, Path], architecture: str, name: str, tmp_path: Path) -> None:
    kind, settings, targets = ADAPTERS[name]
    source, target = str(folders[architecture]), targets[architecture]
    more = {"feedforward_modules": [target[-1]]} if kind is IA3Config else {}
    config = kind(target_modules=target, task_type="SEQ_2_SEQ_LM", **settings, **more)
    config.base_model_name_or_path = source
    theirs = get_peft_model(AutoModelForSeq2SeqLM.from_pretrained(source), config).eval()
    shake(theirs, scale=0.3)
    theirs.save_pretrained(str(tmp_path / "peft"))
    import_peft(
        tmp_path / "peft",
        tmp_path / "run",
        [f"model.source={source}", "model=t5_small", "task=e2e_nlg", *runs.SHORT_TEXTS],
    )
    inputs = inputs_of(examples_of(architecture, *PAIRS).batch(np.arange(3)))
    ours = lnbench.load(tmp_path / "run").model
    torch.testing.assert_close(ours(**inputs), theirs(**inputs).logits, rtol=0, atol=1e-4)


def test_several_devices_are_refused(configure: Any) -> None:
    with pytest.raises(ConfigError, match=r"trainer\.devices = 2: the encoder-decoder tiny is not sharded"):
        check_length(configure("t5", "method=ln", "trainer.devices=2"))


def test_a_model_that_does_not_say_how_its_decoder_starts_is_refused(configure: Any, tmp_path: Path) -> None:
    config = configure("t5", "method=ln")
    folder = runs.save_model("t5", tmp_path / "silent", tiny_generator("t5"))
    settings = json.loads((folder / "config.json").read_text())
    del settings["decoder_start_token_id"]
    (folder / "config.json").write_text(json.dumps(settings))
    with pytest.raises(ConfigError, match=r"config\.json has no decoder_start_token_id"):
        load_tokenizer(config.model.model_copy(update={"source": str(folder)}))


def test_the_tokens_of_both_sides_are_shown(configure: Any, capsys: pytest.CaptureFixture[str]) -> None:
    inspect(configure("bart", "method=ln"))
    said = " ".join(capsys.readouterr().out.split())
    assert "[CLS] e [SEP] [SEP] [CLS]/target a/target good/target film/target e/target [SEP]/target" in said


def test_a_loaded_model_starts_and_ends_as_its_tokenizer_says(configure: Any) -> None:
    backbone = load_backbone(configure("bart", "method=ln").model, "causal_lm")
    settings = backbone.generation_config
    assert settings is not None
    assert (settings.decoder_start_token_id, settings.eos_token_id, settings.pad_token_id) == (SEP, SEP, PAD)
    assert [view.side for view in views(backbone)] == ["encoder", "decoder"]


def test_tokens_from_the_cache_are_read_apart(configure: Any) -> None:
    config = configure("t5", "method=ln")
    tokenizer = load_tokenizer(config.model)
    first, again = (load_data(config.task, tokenizer, config.data_root, config.cache_dir) for _ in range(2))
    for data in (first, again):
        assert "decoder_input_ids" in data.train.batch(np.arange(2))


@pytest.mark.parametrize(
    ("model", "size", "ln"),
    [
        ("t5_small", 60_506_624, (6 * 2 + 6 * 3) * 512),
        ("flan_t5_base", 222_903_552, (12 * 2 + 12 * 3) * 768),
        ("bart_base", 139_420_416, (6 * 2 + 6 * 3) * 2 * 768),
    ],
)
def test_shipped_models_have_their_sizes(model: str, size: int, ln: int) -> None:
    config = validate(to_plain(compose_config(f"model={model}", "task=e2e_nlg", "method=ln")))
    count = count_parameters(build_skeleton(config))
    assert (count.backbone, count.trained, count.head) == (size, ln, 0)


def test_the_words_fit() -> None:
    assert len(WORDS) < VOCABULARY
