"""How far training moved the norms."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lnbench.backbone.tuned_model import TunedModel
from lnbench.methods.base import Method
from lnbench.records.identity import run_dir
from lnbench.records.record import read_record
from lnbench.records.shift import NormShift
from lnbench.run.lifecycle import run
from lnbench.training.shift import PretrainedTerm, keep_pretrained, measure_shift
from tests.conftest import Configure
from tests.tiny import EVERY_ARCHITECTURE, FIRST_ARCHITECTURES, LAYERS, is_possible, part, parts, shake, tiny, tune
from tests.training.interruption import interrupt

Place = tuple[int, str, str]
ONE_BLOCK = {"albert": 1}
WITH_LN = [name for name in EVERY_ARCHITECTURE if is_possible(name, "ln")]
SHARED = {"cohere", "cohere2", "falcon", "gptj", "phi", "stablelm_parallel"}
FOUR = {"gemma2", "gemma3", "glm4"}
WITH_BIAS = set(FIRST_ARCHITECTURES) - {"llama"} | {
    *("bloom", "camembert", "falcon", "falcon_new", "falcon_rw", "gpt_neo", "gptj", "mpnet", "nomic_bert", "phi"),
    *("stablelm", "stablelm_parallel", "starcoder2", "xlm_roberta_xl"),
}


def tuned(architecture: str, methods: dict[str, Method]) -> TunedModel:
    backbone = tiny(architecture)
    return TunedModel(backbone, nn.Identity(), tune(backbone, methods), backbone.num_parameters())


def kept(architecture: str, methods: dict[str, Method]) -> dict[Place, PretrainedTerm]:
    terms = keep_pretrained(tuned(architecture, methods), methods)
    places: dict[Place, PretrainedTerm] = {(term.layer, term.norm, term.term): term for term in terms}
    assert len(places) == len(terms)
    return places


def blocks(architecture: str, *terms: str) -> set[Place]:
    """The norms of all blocks."""
    layers = range(1, ONE_BLOCK.get(architecture, LAYERS) + 1)
    norms = ["mha"] if architecture in SHARED else ["mha", "ffn"]
    norms += ["mha_output", "ffn_output"] if architecture in FOUR else []
    return {(layer, norm, term) for layer in layers for norm in norms for term in terms}


@pytest.mark.parametrize("reading", ["position", "sublayer"])
@pytest.mark.parametrize("architecture", WITH_LN)
def test_every_claimed_term_of_every_architecture_has_a_row(architecture: str, reading: str) -> None:
    methods = {"ln": part("ln", norm_reading=reading)}
    places = kept(architecture, methods)
    expected = blocks(architecture, "gain", *(["bias"] if architecture in WITH_BIAS else []))
    none = {(1, "mha", "gain")} if architecture == "modernbert" and reading == "sublayer" else set()
    assert places.keys() == expected - none
    claims = tuned(architecture, methods).claims["ln"]
    assert {term.parameter for term in places.values()} == set(claims)


@pytest.mark.parametrize(("architecture", "terms"), [("qwen3", ["gain"]), ("phi", ["gain", "bias"])])
def test_norms_of_queries_and_keys_have_rows_of_their_own(architecture: str, terms: list[str]) -> None:
    outer = kept(architecture, {"ln": part("ln")}).keys()
    both = kept(architecture, {"ln": part("ln", norms=["mha", "ffn", "inner"])}).keys()
    layers = range(1, LAYERS + 1)
    assert both - outer == {(layer, norm, term) for layer in layers for norm in ("query", "key") for term in terms}


def test_a_norm_of_the_embeddings_and_the_first_of_the_blocks_have_rows_of_their_own() -> None:
    places = kept("bloom", {"ln": part("ln", embedding_norm=True)})
    assert places[0, "embedding", "gain"].parameter == "backbone.word_embeddings_layernorm.weight"
    assert places[0, "first", "gain"].parameter == "backbone.h.0.input_layernorm.weight"


def test_norms_of_distances_and_of_the_convolution_have_rows_of_their_own() -> None:
    places = kept("deberta_v2_conv", {"ln": part("ln", embedding_norm=True)})
    assert places[0, "other", "bias"].parameter == "backbone.encoder.LayerNorm.bias"
    assert places[1, "other", "gain"].parameter == "backbone.encoder.conv.LayerNorm.weight"


def test_a_shift_is_relative_to_the_gain_where_the_weight_is_what_it_has_above_one() -> None:
    term = next(iter(kept("gemma3", parts("ln")).values()))
    (row,) = measure_shift([term], {term.parameter: term.value + 0.1})
    assert row.mean_abs == pytest.approx(0.1, rel=1e-5)
    assert row.relative == pytest.approx(0.1 * math.sqrt(term.value.numel()) / (term.value + 1).norm().item(), rel=1e-5)


@pytest.mark.parametrize("architecture", [name for name in sorted(WITH_BIAS) if is_possible(name, "bitfit")])
def test_bitfit_moves_biases_only(architecture: str) -> None:
    places = kept(architecture, parts("bitfit"))
    assert places
    assert {term for _, _, term in places} == {"bias"}
    assert {term.parameter for term in places.values()} <= set(tuned(architecture, parts("bitfit")).claims["bitfit"])


def test_without_biases_there_are_none() -> None:
    assert {term for _, _, term in kept("llama", parts("full"))} == {"gain"}


@pytest.mark.parametrize(
    ("architecture", "outside"),
    [("bert", {(0, "embedding")}), ("gpt2", {(0, "embedding")}), ("gpt_neox", {(3, "final")})],
)
def test_full_tuning_moves_the_norms_outside_the_blocks_too(architecture: str, outside: set[tuple[int, str]]) -> None:
    places = kept(architecture, parts("full")).keys()
    assert places - blocks(architecture, "gain", "bias") == {
        (*place, term) for place in outside for term in ("gain", "bias")
    }


def test_a_final_norm_by_position_is_the_last_norm_after_ffn() -> None:
    by_sublayer = kept("gpt2", {"ln": part("ln", norm_reading="sublayer", final_norm=True)})
    by_position = kept("gpt2", {"ln": part("ln", norm_reading="position", final_norm=True)})
    assert by_sublayer[LAYERS, "final", "gain"].parameter == by_position[LAYERS, "ffn", "gain"].parameter
    assert (LAYERS, "final", "gain") not in by_position


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"terms": ["bias"]}, blocks("bert", "bias")),
        ({"norms": ["ffn"], "layers": "2"}, {(2, "ffn", "gain"), (2, "ffn", "bias")}),
        ({"layers": "1", "norms": ["mha"], "terms": ["gain"]}, {(1, "mha", "gain")}),
    ],
)
def test_what_is_not_trained_has_no_row(settings: dict[str, Any], expected: set[Place]) -> None:
    assert kept("bert", {"ln": part("ln", **settings)}).keys() == expected


@pytest.mark.parametrize("method", ["lora", "head", "prefix"])
def test_a_method_that_trains_no_norm_has_no_rows(method: str) -> None:
    assert not kept("bert", parts(method))


def test_a_norm_of_which_no_element_is_chosen_has_no_row() -> None:
    methods = {"fisher_ln": part("fisher_ln")}
    model = tuned("bert", methods)
    for mask in model.masks().values():
        mask.zero_()
    chosen = model.masks()["backbone.encoder.layer.1.output.LayerNorm.weight"]
    chosen[0] = True
    (term,) = keep_pretrained(model, methods)
    assert (term.layer, term.norm, term.term) == (2, "ffn", "gain")


def shift_of(start: Tensor, change: Tensor) -> NormShift:
    (row,) = measure_shift([PretrainedTerm(1, "mha", "gain", "name", start)], {"name": start + change})
    return row


def test_a_hand_moved_norm_gives_the_closed_form() -> None:
    row = shift_of(torch.tensor([3.0, 0.0, 4.0, 0.0]), torch.tensor([0.5, -1.5, 0.0, 0.0]))
    assert (row.mean_abs, row.max_abs) == (0.5, 1.5)
    assert row.relative == pytest.approx(math.sqrt(2.5) / 5)


def test_no_change_is_zero_and_a_start_at_zero_has_no_relative_change() -> None:
    assert shift_of(torch.ones(3), torch.zeros(3)).relative == 0
    row = shift_of(torch.zeros(2), torch.ones(2))
    assert (row.mean_abs, row.max_abs, row.relative) == (1, 1, None)


@pytest.mark.parametrize("architecture", ["bert", "gpt2", "albert"])
def test_what_is_kept_does_not_move_with_the_model(architecture: str) -> None:
    methods = parts("ln")
    model = tuned(architecture, methods)
    terms = keep_pretrained(model, methods)
    before = {name: value.detach().clone() for name, value in model.trained().items()}
    shake(model)
    for term, row in zip(terms, measure_shift(terms, model.state()), strict=True):
        change = (model.trained()[term.parameter] - before[term.parameter]).abs()
        assert row.max_abs == pytest.approx(change.max().item(), rel=1e-6)
        assert row.mean_abs == pytest.approx(change.mean().item(), rel=1e-6)
        assert row.mean_abs > 0


def test_a_run_records_the_shift_and_a_resumed_one_the_same_to_the_bit(configure: Configure) -> None:
    config = configure()
    record = run(config)
    assert {(row.layer, row.norm, row.term) for row in record.shift} == blocks("bert", "gain", "bias")
    assert all(0 < row.mean_abs <= row.max_abs for row in record.shift)
    again = configure(f"runs_dir={config.runs_dir}/resumed")
    interrupt(again, "on_train_batch_end", 12)
    assert run(again).shift == record.shift
    stored = read_record(run_dir(config))
    assert stored
    assert stored.shift == record.shift
