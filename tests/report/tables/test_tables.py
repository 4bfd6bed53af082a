import math
from typing import Any

import pytest
from rich.console import Console

from lnbench.records.record import Record, Retention, Selection
from lnbench.report.load import frame
from lnbench.report.tables.formats import show, to_csv, to_latex, to_markdown
from lnbench.report.tables.paper import Figure, Figures, Paper
from lnbench.report.tables.scores import main_table
from lnbench.report.tables.table import Table
from lnbench.report.tables.tables import tables
from tests.report.builders import finished, loaded

SCORES = {
    ("full", "rte"): (0.80, 0.82),
    ("full", "cb"): (0.70, 0.72),
    ("ln", "rte"): (0.79, 0.77),
    ("ln", "cb"): (0.60,),
    ("bitfit", "rte"): (0.75, 0.75),
}
LOSSES = {("full", "samsum"): (2.5,), ("ln", "samsum"): (2.25,), ("bitfit", "samsum"): (2.75,)}


def records() -> list[Record]:
    rows = (SCORES | LOSSES).items()
    return [finished(method, task, seed, score) for (method, task), row in rows for seed, score in enumerate(row)]


def made(*runs: Record) -> dict[str, Table]:
    return {table.name: table for table in tables(loaded(*runs), frame(runs))}


@pytest.fixture(scope="module")
def scores() -> Table:
    return made(*records())["scores-minilm"]


MARKDOWN = """\
## Test scores: minilm

| method | trained % | cb accuracy (%) | rte accuracy (%) | samsum loss (nats) | average accuracy (%) |
|:--|--:|--:|--:|--:|--:|
| full | 100.000 | **71.00 ± 1.41 (2)** | **81.00 ± 1.41 (2)** | *2.5000 (1)* | **76.00 ± 1.41 (2)** |
| bitfit | 0.112 | - | 75.00 ± 0.00 (2) | 2.7500 (1) | 1 of 2 tasks |
| ln | 0.041 | *60.00 (1)* | *78.00 ± 1.41 (2)* | **2.2500 (1)** | *69.50 (1)* |

Test scores, mean ± standard deviation over seeds (number of seeds).

An average is over all tasks of one unit and scale, and only for methods that have run on all of them. In no average: samsum.

Bold: best of the column; underlined or in italics: second best.

Missing runs:

```
python -m lnbench -m method=bitfit task=cb seed=0,1 model=minilm runs_dir=runs
python -m lnbench method=ln task=cb seed=1 model=minilm runs_dir=runs
```
"""  # noqa: E501
LATEX = r"""% needs \usepackage{booktabs}
% Test scores, mean ± standard deviation over seeds (number of seeds).
% An average is over all tasks of one unit and scale, and only for methods that have run on all of them. In no average: samsum.
% Bold: best of the column; underlined or in italics: second best.
\begin{table}[t]
\centering
\caption{Test scores: minilm}
\label{tab:scores-minilm}
\begin{tabular}{lrrrrr}
\toprule
method & trained \% & cb accuracy (\%) & rte accuracy (\%) & samsum loss (nats) & average accuracy (\%) \\
\midrule
full & 100.000 & \textbf{71.00 $\pm$ 1.41 (2)} & \textbf{81.00 $\pm$ 1.41 (2)} & \underline{2.5000 (1)} & \textbf{76.00 $\pm$ 1.41 (2)} \\
bitfit & 0.112 & - & 75.00 $\pm$ 0.00 (2) & 2.7500 (1) & 1 of 2 tasks \\
ln & 0.041 & \underline{60.00 (1)} & \underline{78.00 $\pm$ 1.41 (2)} & \textbf{2.2500 (1)} & \underline{69.50 (1)} \\
\bottomrule
\end{tabular}
\end{table}
"""  # noqa: E501
TERMINAL = """\

Test scores: minilm
method   trained %   cb accuracy (%)   rte accuracy (%)   samsum loss (nats)   average accuracy (%)
───────────────────────────────────────────────────────────────────────────────────────────────────
full       100.000             71.00              81.00           2.5000 (1)                  76.00
                          ± 1.41 (2)         ± 1.41 (2)                                  ± 1.41 (2)
bitfit       0.112                 -              75.00           2.7500 (1)           1 of 2 tasks
                                             ± 0.00 (2)
ln           0.041         60.00 (1)              78.00           2.2500 (1)              69.50 (1)
                                             ± 1.41 (2)

Test scores, mean ± standard deviation over seeds (number of seeds).
An average is over all tasks of one unit and scale, and only for methods that have run on all of them. In no
average: samsum.
Bold: best of the column; underlined or in italics: second best.
Missing runs:
  python -m lnbench -m method=bitfit task=cb seed=0,1 model=minilm runs_dir=runs
  python -m lnbench method=ln task=cb seed=1 model=minilm runs_dir=runs
"""


def test_markdown(scores: Table) -> None:
    assert to_markdown(scores) == MARKDOWN


def test_latex(scores: Table) -> None:
    assert to_latex(scores) == LATEX


def test_csv_has_the_numbers_in_full(scores: Table) -> None:
    lines = to_csv(scores).splitlines()
    assert lines[0] == "method,task,metric,mean,std,n,no_better"
    assert len(lines) == 1 + len(SCORES | LOSSES)
    method, task, metric, mean, deviation, n, _ = lines[2].split(",")
    assert (method, task, metric, n) == ("full", "rte", "accuracy", "2")
    assert float(mean) == pytest.approx(0.81)
    assert float(deviation) == pytest.approx(math.sqrt(2) / 100)
    assert "ln,cb,accuracy,0.6,,1,0" in lines, "one seed has no deviation"


def test_terminal(scores: Table, capsys: pytest.CaptureFixture[str]) -> None:
    show(Console(highlight=False, width=110), scores)
    assert "\n".join(line.rstrip() for line in capsys.readouterr().out.split("\n")) == TERMINAL


def test_a_terminal_too_narrow_gets_the_columns_below_each_other(
    scores: Table, capsys: pytest.CaptureFixture[str]
) -> None:
    show(Console(highlight=False, width=45), scores)
    said = capsys.readouterr().out
    table = said[: said.index("Test scores, mean")]
    assert max(map(len, table.splitlines())) <= 45
    assert table.count("bitfit") == 2
    assert MARKDOWN.splitlines()[-2] in said, "a command is never broken"


def test_runs_that_are_no_better_than_their_baseline_are_marked_in_every_format(
    capsys: pytest.CaptureFixture[str],
) -> None:
    baseline: dict[str, Any] = {"baseline": {"test": {"accuracy": 0.6}}, "baseline_name": "majority baseline"}
    runs = [finished(name, score=score, **baseline) for name, score in (("ln", 0.7), ("bitfit", 0.6))]
    table = made(*runs)["scores-minilm"]
    texts = {row[0].text: row[2].text for row in table.rows}
    assert texts == {"majority baseline": "60.00", "ln": "70.00 (1)", "bitfit": "60.00 (1) †"}
    assert "† no better than the majority baseline on the test or the validation split" in to_markdown(table)
    assert "*60.00 (1) †*" in to_markdown(table)
    assert r"\underline{60.00 (1) $\dagger$}" in to_latex(table)
    assert "% † no better than the majority baseline" in to_latex(table)
    assert [line.rpartition(",")[2] for line in to_csv(table).splitlines()] == ["no_better", "1", "0"]
    show(Console(highlight=False, width=110), table)
    assert capsys.readouterr().out.count("†") == 2


def test_ranks_stand_beside_the_scores_once_seeds_tell_methods_apart() -> None:
    scores = {"ln": (0.8, 1.0), "bitfit": (0.7, -1.0), "lora": (0.8, 0.5)}
    noise = (0.001, -0.002, 0.003, -0.001)
    runs = [
        finished(name, task, seed, score + scale * own)
        for name, (score, scale) in scores.items()
        for task in ("rte", "cb")
        for seed, own in enumerate(noise)
    ]
    table = made(*runs, finished("full", "rte", 0, 0.9))["scores-minilm"]
    place = table.columns.index("rank")
    assert {row[0].text: row[place].text for row in table.rows} == {
        "full": "-",
        "bitfit": "3",
        "ln": "1 to 2",
        "lora": "1 to 2",
    }
    assert any(note.startswith("Rank 2 to 4: one method is surely better") for note in table.notes)


def test_scores_are_averaged_within_a_unit_and_what_is_left_out_is_named() -> None:
    tasks = ("rte", "cb", "cola", "stsb", "samsum", "dialogsum")
    table = made(*(finished("ln", task, score=0.5) for task in tasks))["scores-minilm"]
    averages = {name: cell.text for name, cell in zip(table.columns, table.rows[0], strict=True) if "average" in name}
    assert averages == {"average accuracy (%)": "50.00 (1)", "average loss (nats)": "0.5000 (1)"}
    assert table.rows[0][table.columns.index("cola MCC (-1 to 1)")].text == "0.5000 (1)"
    assert any(note.endswith(" In no average: cola, stsb.") for note in table.notes)


@pytest.mark.parametrize(("score", "shown"), [(0.61, "0.61 (1)"), (54.9, "54.90 (1)")])
def test_a_small_bleu_is_no_share(score: float, shown: str) -> None:
    selection, metrics = Selection(metric="bleu", mode="max", score=score), {"bleu": score}
    run = finished("ln", "e2e_nlg", selection=selection, metrics={"validation": metrics, "test": metrics})
    table = made(run)["scores-minilm"]
    assert (table.columns[2], table.rows[0][2].text) == ("e2e_nlg BLEU (0 to 100)", shown)


def test_the_second_best_is_left_out_where_there_is_one_method() -> None:
    table = made(finished("ln"))["scores-minilm"]
    assert [cell.rank for row in table.rows for cell in row] == [0, 0, 0]


def test_equal_scores_share_a_rank() -> None:
    runs = [finished(name, score=score) for name, score in (("ln", 0.7), ("bitfit", 0.70001), ("prefix", 0.6))]
    table = made(*runs)["scores-minilm"]
    assert {row[0].text: row[2].rank for row in table.rows} == {"ln": 1, "bitfit": 1, "prefix": 2}


def test_ablations_stand_beside_the_whole_method_in_a_table_of_their_own() -> None:
    made_tables = made(
        finished("ln"), finished("bitfit"), finished("ln", settings={"ln.terms": ["bias"]}), finished("full")
    )
    assert [row[0].text for row in made_tables["scores-minilm"].rows] == ["full", "bitfit", "ln"]
    assert [row[0].text for row in made_tables["ablations-minilm"].rows] == ["ln", "ln[terms=bias]"]


def test_different_settings_and_learning_rates_are_kept_apart() -> None:
    runs = [
        finished("ln", seed=0, score=0.1),
        finished("ln", seed=1, score=0.2, config={"trainer.max_epochs": 9}),
        finished("ln", seed=2, score=0.3, config={"trainer.lr": 0.5}),
    ]
    found = made(*runs)
    first, second = found["scores-minilm-1"], found["scores-minilm-2"]
    assert first.title == "Test scores: minilm, trainer.max_epochs=1"
    assert [[cell.text for cell in row][::2] for row in first.rows] == [
        ["ln, lr 0.003", "10.00 (1)"],
        ["ln, lr 0.5", "30.00 (1)"],
    ]
    assert "Runs of one method at several learning rates are kept apart." in first.notes
    assert second.title == "Test scores: minilm, trainer.max_epochs=9"
    assert [cell.text for cell in second.rows[0]][::2] == ["ln", "20.00 (1)"]


def test_costs_are_relative_to_full_tuning_on_the_same_task_and_hardware() -> None:
    runs = [
        finished("full", "rte", cost={"train_seconds": 100.0, "train_samples_per_second": 50.0}),
        finished("full", "cb", cost={"train_seconds": 10.0, "train_samples_per_second": 50.0}),
        finished("ln", "rte", cost={"train_seconds": 50.0, "train_samples_per_second": 100.0}),
        finished("ln", "cb", cost={"train_seconds": 20.0, "train_samples_per_second": 100.0}),
        finished("ln", "sst2", cost={"train_seconds": 1.0}, hardware={"device": "gpu", "gpu": "H100"}),
    ]
    found = made(*runs)
    here, there = found["efficiency-minilm-2"], found["efficiency-minilm-1"]
    assert (here.title, there.title) == ("Costs: minilm; some, 2 threads", "Costs: minilm; H100")
    ln = dict(zip(here.columns, here.rows[1], strict=True))
    assert ln["÷ full"].text == "1.000", "the geometric mean of 0.5 and 2"
    assert ln["time/sample ÷ full"].text == "0.500"
    assert ln["peak GiB"].text == "1.50"
    assert dict(zip(there.columns, there.rows[0], strict=True))["÷ full"].text == "-"
    assert there.commands == ["python -m lnbench method=full task=sst2 seed=0 model=minilm runs_dir=runs"]


def test_energy_stands_in_the_table_of_costs_where_a_run_tells_it() -> None:
    runs = [
        finished("full", seed=0, cost={"train_samples": 200, "train_joules": 50.0}),
        finished("full", seed=1, cost={"train_samples": 200, "train_joules": 150.0}),
        finished("full", seed=2),
        finished("ln"),
        finished("ln", hardware={"device": "gpu", "gpu": "H100"}),
    ]
    found = made(*runs)
    here, there = found["efficiency-minilm-2"], found["efficiency-minilm-1"]
    heading = "train J/1,000 samples"
    assert [dict(zip(here.columns, row, strict=True))[heading].text for row in here.rows] == ["500.0", "-"]
    told = here.data[here.data["quantity"] == "train_joules_per_1000_samples"].set_index("method")
    assert (told["mean"]["full"], told["n"]["full"], told["n"]["ln"]) == (500, 2, 0)
    assert heading not in there.columns


def test_runs_that_waited_for_a_core_are_told_beside_the_costs() -> None:
    alone, waiting = (
        finished(seed=seed, cost={"train_waited_seconds": 61.5 * share}) for seed, share in enumerate((0.04, 0.06))
    )
    told = "other programs had all cores"
    assert f"In 1 of 2 runs {told} for more than 5% of the training time." in " ".join(
        made(alone, waiting)["efficiency-minilm"].notes
    )
    assert told not in " ".join(made(alone)["efficiency-minilm"].notes)


def test_parameters_stand_beside_the_papers() -> None:
    table = made(finished("ln", config={"model": "bert_large"}))["parameters-bert_large"]
    row = dict(zip(table.columns, table.rows[0], strict=True))
    assert (row["trained"].text, row["paper %"].text, row["head"].text) == ("9,216", "0.03", "770")
    assert "2211.08682" in table.notes[-1]


def test_a_score_of_the_paper_stands_beside_ours() -> None:
    figure = Figure(model="minilm", method="ln", quantity="score", task="rte", value="12.3", source="made up")
    runs = [finished("ln"), finished("full")]
    figures = Figures([Paper(paper="Nobody", figures=[figure])])
    table = main_table(frame(runs), "x", "x", loaded(*runs), figures)
    assert table.columns[2:] == ["rte accuracy (%)", "rte (paper)"]
    assert {row[0].text: row[3].text for row in table.rows} == {"full": "", "ln": "12.3"}
    assert table.notes[-1] == "Paper: Nobody (made up)."


def test_a_thousand_runs() -> None:
    base = records()
    many = [
        record.model_copy(update={"id": f"{copy}-{record.id}", "seed": record.seed + 10 * copy})
        for copy in range(1000 // len(base) + 1)
        for record in base
    ]
    table = made(*many)["scores-minilm"]
    assert sum(table.data["n"]) == len(many) >= 1000


def test_forgetting_has_a_column_where_a_run_has_measured_it() -> None:
    records = [
        finished(method, "e2e_nlg", seed, 1.0, retention=Retention(before=3.0, after=3.0 + lost + seed / 10, tokens=9))
        for method, lost in (("ln", 0.1), ("full", 0.5))
        for seed in (0, 1)
    ]
    (table,) = [table for name, table in made(*records).items() if name.startswith("scores-")]
    place = table.columns.index("forgetting (nats)")
    full, ln = (row[place] for row in table.rows)
    assert (full.text, ln.text) == ("0.5500 ± 0.0707 (2)", "0.1500 ± 0.0707 (2)")
    assert (full.rank, ln.rank) == (2, 1)
    assert any(note.startswith("Forgetting: ") for note in table.notes)
    own = table.data[table.data["metric"] == "forgetting"]
    assert own["mean"].tolist() == pytest.approx([0.55, 0.15])
    without = [finished(method, "e2e_nlg", 0, 1.0) for method in ("ln", "full")]
    (plain,) = [table for name, table in made(*without).items() if name.startswith("scores-")]
    assert not [heading for heading in plain.columns if "forgetting" in heading]
    assert not [note for note in plain.notes if "orgetting" in note]
