"""`python -m lnbench.roles` finds what the tables written by hand say, or is not sure."""

import copy
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import AutoConfig, LlamaConfig, MambaConfig, PreTrainedConfig

from lnbench.backbone import tables
from lnbench.backbone.backbone import INNER, Backbone, role_table
from lnbench.backbone.tables import RoleTable
from lnbench.backbone.trace.norms import gain_offset
from lnbench.backbone.trace.record import Call
from lnbench.backbone.trace.roles import FIELDS, FoundField, find_roles
from lnbench.backbone.trace.written import as_table
from lnbench.core.schema import ConfigError
from lnbench.roles import main
from tests.tiny import CONFIGS, EVERY_ARCHITECTURE, GROUPED, SWITCHES, tiny

PADDING = {"reserved_positions"}
CONVOLUTION = "deberta_v2_conv"
"""An architecture with something between its blocks."""
OPTIONAL = {"query_norm", "key_norm"}
NOT_SURE: dict[str, set[str]] = {
    "bloom_post": {"mha_norm", "ffn_norm", "placement", "mha_output_norm", "ffn_output_norm"},
    "camembert": PADDING,
    "falcon": {"query", "key", "value"},
    "gptj": {"positions", "reserved_positions"},
    "roberta": PADDING,
    "stablelm_parallel": OPTIONAL,
    "xlm_roberta_xl": PADDING,
}
"""All else is sure."""


def there(table: RoleTable, architecture: str) -> dict[str, Any]:
    """What a table says of this model: a norm of queries that its configuration leaves out is none."""
    view = Backbone(tiny(architecture))
    absent: dict[str, Any] = {f"{name}_norm": None for name in INNER if not view.inner_norms(name, 0)}
    names = {norm: name for name, norm in view.base.named_modules()}
    absent["other_norms"] = tuple((names[norm], before) for norm, before in view.other_norms())
    return {name: getattr(table, name) for name in FIELDS} | absent


@pytest.mark.parametrize("architecture", [*EVERY_ARCHITECTURE, *(name for name in SWITCHES if name != CONVOLUTION)])
def test_what_is_sure_is_what_was_written_by_hand(architecture: str) -> None:
    found = find_roles(CONFIGS[architecture])
    expected = there(role_table(CONFIGS[architecture]), architecture)
    sure = {name: finding.value for name, finding in found.items() if not finding.doubt}
    assert sure == {name: expected[name] for name in sure}
    assert set(FIELDS) - set(sure) == NOT_SURE.get(architecture, set())


def test_what_stands_between_blocks_is_told() -> None:
    with pytest.raises(ConfigError, match="has 0 lists of blocks of which each reads what the one before it yields"):
        find_roles(CONFIGS[CONVOLUTION])


def test_the_documented_numbers_are_those() -> None:
    text = (Path(__file__).parents[2] / "docs" / "models.md").read_text()
    models, sure, fields = re.findall(
        r"Over the (\d+) tiny\s+models\s+of\s+the\s+tests,\s+(\d+)\s+of\s+(\d+)\s+fields", text
    )[0]
    left = sum(len(fields) for name, fields in NOT_SURE.items() if name in EVERY_ARCHITECTURE)
    whole = len(EVERY_ARCHITECTURE) * len(FIELDS)
    assert (int(models), int(sure), int(fields)) == (len(EVERY_ARCHITECTURE), whole - left, whole)


def test_a_table_can_be_pasted() -> None:
    found = find_roles(CONFIGS["deberta"])
    text = as_table("deberta", found)
    pasted = eval("{" + text + "}", vars(tables))
    assert pasted == {"deberta": tables.DEBERTA}
    assert "# not sure" not in text


def test_a_doubt_is_written_where_a_person_must_decide() -> None:
    text = as_table("mine", find_roles(CONFIGS["gpt2"]) | {"mha_norm": FoundField(None, "two norms could be it")})
    assert "    # not sure: two norms could be it\n    mha_norm=...,\n" in text


@pytest.mark.parametrize(
    ("kind", "settings", "doubtful"),
    [
        ("gpt_oss", GROUPED | {"num_local_experts": 2, "num_experts_per_tok": 1}, {"query", "ffn_inputs", "placement"}),
        ("mpt", {"vocab_size": 100, "d_model": 32, "n_heads": 4, "n_layers": 3}, {"positions"}),
        ("lfm2", GROUPED | {"layer_types": ["conv", "full_attention", "conv"]}, {"query", "mha_output", "placement"}),
        ("bitnet", GROUPED, {"value", "mha_output", "placement"}),
        (
            "qwen3_moe",
            GROUPED | {"num_experts": 2, "num_experts_per_tok": 1, "moe_intermediate_size": 48},
            {"ffn_inputs"},
        ),
    ],
)
def test_what_no_table_can_say_is_not_sure(kind: str, settings: dict[str, Any], doubtful: set[str]) -> None:
    """Sinks take part of attention, a norm stands between attention and its output, experts are no network,
    MPT's table of distances has an end, and of LFM2's blocks some are convolutions."""
    found = find_roles(AutoConfig.for_model(kind, **settings))
    assert {name for name in doubtful if not found[name].doubt} == set()


class Doubled(nn.RMSNorm):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * super().forward(x)


def test_the_gain_is_read_off_what_a_norm_yields() -> None:
    x = torch.randn(1, 4, 8)
    norm = nn.LayerNorm(8)
    nn.init.normal_(norm.bias)
    assert gain_offset(Call("", norm, 0, x, norm(x))) == 0
    assert gain_offset(Call("", Doubled(8), 0, x, x)) == 0
    gemma = tiny("gemma").get_submodule("norm")
    states = torch.randn(1, 4, gemma.get_parameter("weight").shape[0])
    assert gain_offset(Call("", gemma, 0, states, states)) == 1


def test_a_configuration_stays_as_it_is() -> None:
    config = copy.deepcopy(CONFIGS["llama"])
    before = config.to_dict()
    find_roles(config)
    assert config.to_dict() == before


def test_a_reason_is_written_once() -> None:
    config = MambaConfig(vocab_size=64, hidden_size=32, state_size=4, num_hidden_layers=2)
    text = as_table("mamba", find_roles(config))
    assert text.count("# not sure: ") == len(re.findall("# not sure: the maps|# not sure: attention", text)) == 3
    assert "    # not sure, as query\n    key=...,\n    # not sure, as query\n    value=...,\n" in text


class Commands:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.monkeypatch = monkeypatch

    def __call__(self, *words: str) -> None:
        self.monkeypatch.setattr(sys, "argv", ["lnbench.roles", *words])
        main()


@pytest.fixture
def roles(monkeypatch: pytest.MonkeyPatch) -> Commands:
    return Commands(monkeypatch)


def saved(config: PreTrainedConfig, folder: Path) -> str:
    config.save_pretrained(folder)
    return f"model={folder}"


def test_a_large_configuration_alone_is_enough(
    roles: Commands, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = LlamaConfig(hidden_size=256, num_attention_heads=4, num_hidden_layers=40, pad_token_id=31_000)
    roles(saved(config, tmp_path))
    told = capsys.readouterr().out
    assert '"llama": RoleTable(' in told
    assert "23 of 23 fields are sure" in told


def test_a_shipped_name_is_traced(roles: Commands, capsys: pytest.CaptureFixture[str]) -> None:
    roles("model=gpt2")
    assert 'query=Projection("attn.c_attn", 0),  # sure' in capsys.readouterr().out


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("model=./nowhere", "there is no such folder"),
        ("model=gpt", "known names: bart_base, bert_base"),
        ("gpt2", "type model=NAME_OR_FOLDER"),
    ],
)
def test_what_is_no_model_is_told(roles: Commands, word: str, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        roles(word)
    assert told in f"{stopped.value}{capsys.readouterr().err}"


@pytest.mark.parametrize(
    ("kind", "told"), [("t5", "is an encoder-decoder"), ("vit", "reads pixel_values"), ("gemma3", "gemma3_text")]
)
def test_what_no_table_can_be_of_is_told(roles: Commands, tmp_path: Path, kind: str, told: str) -> None:
    with pytest.raises(SystemExit, match=told):
        roles(saved(AutoConfig.for_model(kind), tmp_path))


def test_heads_of_several_sizes_are_told() -> None:
    with pytest.raises(
        ConfigError, match=r"the blocks of 'gemma4_text' cannot be looked at \(.*'head_dim' is a per-layer"
    ):
        find_roles(AutoConfig.for_model("gemma4_text", **GROUPED, vocab_size_per_layer_input=64))


def test_a_single_block_is_too_few() -> None:
    with pytest.raises(ConfigError, match="num_hidden_layers = 1 in the configuration of 'llama': must be 2 or more"):
        find_roles(LlamaConfig(num_hidden_layers=1))


def test_code_of_a_folder_is_not_run(roles: Commands, tmp_path: Path) -> None:
    config = {"model_type": "strange", "auto_map": {"AutoConfig": "strange.Strange"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "strange.py").write_text("raise AssertionError('was run')")
    with pytest.raises(SystemExit, match="contains custom code"):
        roles(f"model={tmp_path}")


def test_the_maps_of_a_state_space_mixer_are_not_surely_a_feed_forward_network() -> None:
    found = find_roles(MambaConfig(vocab_size=64, hidden_size=32, state_size=4, num_hidden_layers=2))
    assert all(found[name].doubt for name in ("query", "mha_output", "ffn_inputs", "ffn_output"))
