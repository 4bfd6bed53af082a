"""The parameter table, against the percentages that the paper states."""

import re
from pathlib import Path

import pandas as pd
import pytest

from lnbench.config.compose import compose_config, to_plain
from lnbench.config.run import validate
from lnbench.core.schema import ConfigError
from lnbench.params import FILE, ParameterTable
from lnbench.report.tables.paper import read_papers
from tests.commands import Commands


def add(table: ParameterTable, *overrides: str) -> float:
    return table.add(validate(to_plain(compose_config(*overrides))))


FIGURES = {
    (one.model, one.method): one.value
    for paper in read_papers()
    for one in paper.figures
    if one.quantity == "trained_percent"
}


@pytest.mark.parametrize(("model", "method"), FIGURES)
def test_shares_are_the_papers(model: str, method: str) -> None:
    low, _, high = FIGURES[model, method].partition("-")
    percent = add(ParameterTable(), f"model={model}", f"method={method}")
    assert float(low) - 0.01 <= percent <= float(high or low) + 0.01


def test_help_says_what_this_command_does(commands: Commands) -> None:
    done = commands.params("--help")
    assert done.code == 0
    assert done.out.startswith("`python -m lnbench.params model=... method=...` counts the parameters")
    assert "method=ln+prefix" in done.out


def test_what_can_be_folded_adds_nothing_at_inference_even_if_it_also_trains_norms() -> None:
    table = ParameterTable()
    for method in ("hadamard", "hadamard+ln+adapter", "adapter"):
        add(table, "model=bert_base", f"method={method}")
    nothing, together, alone = (row["added"] for row in table.rows)
    assert (nothing, together) == (0, alone)


def test_what_can_be_folded_adds_nothing_at_inference() -> None:
    table = ParameterTable()
    add(table, "model=bert_base", "method=lora+ln+adapter")
    (row,) = table.rows
    assert row["trained"] == sum(12 * size for size in (2 * 2 * 768 * 8, 4 * 768, 2 * 768 * 22 + 22 + 768))
    assert row["added"] == 12 * (2 * 768 * 22 + 22 + 768)


def test_a_sweep_makes_one_table(commands: Commands, tmp_path: Path) -> None:
    done = commands.params("-m", "model=bert_base,gpt2", "method=ln,bitfit", f"runs_dir={tmp_path}")
    assert done.code == 0
    rows = pd.read_csv(tmp_path / FILE)
    assert rows[["model", "method"]].to_numpy().tolist() == [
        [model, method] for model in ("bert_base", "gpt2") for method in ("ln", "bitfit")
    ]
    assert rows["trained"].tolist() == [36_864, 101_376, 36_864, 101_376]
    assert "bert_base: 108,310,272 parameters" in done.out
    assert "36,864" in done.out


def test_the_documented_counts_are_those() -> None:
    text = (Path(__file__).parents[1] / "docs" / "models.md").read_text()
    rows = re.findall(r"^\| `python -m lnbench.params (.*)` \| ([\d,]+) \|$", text, re.MULTILINE)
    assert len(rows) == 2
    for overrides, count in rows:
        table = ParameterTable()
        add(table, *overrides.split())
        assert f"{table.rows[0]['trained']:,}" == count


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ("model=gpt2 model.quantization=nf4", "linear maps of GPT2Model are of class Conv1D, which torchao does not"),
        ("model=bert_base model.quantization=nf4 model.shape.hidden_size=36", "must be a multiple of 64; choose int8"),
        ("model=gpt2 model.pooling=pooler", "the architecture 'gpt2' has no pooler"),
        ("model=gpt2 task.max_length=1025", "gpt2 has 1024 positions; choose 1024 or less"),
        ("model=opt_350m method=lora method.lora.layers=encoder", "is no encoder-decoder"),
    ],
)
def test_what_runs_refuse_is_refused(overrides: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        add(ParameterTable(), *overrides.split())


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / FILE).mkdir()
    table = ParameterTable()
    add(table, f"runs_dir={tmp_path}")
    with pytest.raises(SystemExit, match=f"^{tmp_path / FILE}: Is a directory$"):
        table.show_and_save()
