"""The parameter table, against the percentages that the paper states."""

from pathlib import Path

import pandas as pd
import pytest

from lnbench.config.compose import compose_config, to_plain
from lnbench.config.run import validate
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


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / FILE).mkdir()
    table = ParameterTable()
    add(table, f"runs_dir={tmp_path}")
    with pytest.raises(SystemExit, match=f"^{tmp_path / FILE}: Is a directory$"):
        table.show_and_save()
