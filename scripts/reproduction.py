"""Writes docs/reproduction.md, which compares runs of the mini_* experiments with the paper.

python -m scripts.reproduction runs --costs efficiency_runs
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

from lnbench.core.atomic_files import write_atomically
from lnbench.core.escape import markdown
from lnbench.core.names import plain_name
from lnbench.records.environment import hardware
from lnbench.records.record import Record
from lnbench.report.claims import judgement
from lnbench.report.claims.claims import Claim, read_claims
from lnbench.report.claims.verdicts import Outcome, Verdict, judge
from lnbench.report.load import Loaded, frame, load
from lnbench.report.plots import make_plots, write_plots
from lnbench.report.plots.plot import Plot
from lnbench.report.tables import formats
from lnbench.report.tables.table import Table
from lnbench.report.tables.tables import tables

SHOWN = ("Score against trained parameters", "Ablation")
"""Prefixes of the kinds of plots that the document shows."""
SHIFTS = "Shift of the norms: ln,"
"""Prefix of the title of the plot with LN-tuning's own shifts."""
TIMES = ("train_seconds", "total_seconds", "train_samples_per_second", "test_samples_per_second", "peak_memory_bytes")
INTRODUCTION = """# Reproduction

What the `mini_*` experiments say of *Parameter-Efficient Tuning on Layer Normalization for Pre-trained Language Models*
(arXiv 2211.08682). They are small: MiniLM-L6 in place of BERT-large, with three learning rates of each method tried on
the validation split; SmolLM2-135M in place of GPT-2 medium, with the shipped ones.

{sizes}

A claim that is not decided here may well hold for a larger model or a longer training; one that is contradicted is
contradicted for this model and budget. Claims on scores and claims on costs come from different runs, and their
intervals are corrected apart: over all comparisons of scores, and over all of costs.

{runs} runs, of which the last ended on {date}; {machine}. Every line below is written by

```
{commands}
python -m scripts.reproduction runs --costs efficiency_runs --commands ...
```

"""


def main() -> None:
    """Reads the records, and writes the document and its images."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs_dir", type=Path, help="folder of the runs whose scores count")
    parser.add_argument("--costs", type=Path, required=True, help="folder of runs that had the machine to themselves")
    parser.add_argument("--commands", nargs="+", default=[], help="that did the runs, for a reader to repeat")
    parser.add_argument("--out", type=Path, default=Path("docs/reproduction.md"))
    options = parser.parse_args()
    scores, costs = load(options.runs_dir), load(options.costs)
    pictures = options.out.with_suffix("")
    shown = [plot for plot in make_plots(scores, frame(scores.records)) if _is_shown(plot)]
    if problem := write_plots(shown, pictures):
        parser.error(problem)
    for file in pictures.glob("*.svg"):
        file.unlink()
    text = document(scores, costs, options.commands, [_figure(plot, pictures.name) for plot in shown])
    write_atomically(options.out, text)
    print(f"written to {options.out}")


def document(scores: Loaded, costs: Loaded, commands: Sequence[str], figures: Sequence[str]) -> str:
    """Returns the whole document.

    Args:
        scores: runs for the scores.
        costs: runs for the times.
        commands: commands that did these runs.
        figures: plots, as Markdown.
    """
    verdicts = [*_judged(scores, timed=False), *_judged(costs, timed=True)]
    parts = [
        _introduction(scores, costs, commands),
        _summary(verdicts),
        *(formats.to_markdown(table) for table in _tables(scores, costs)),
        *figures,
        judgement.to_markdown(verdicts).replace("\n## ", "\n### ").replace("# Claims", "## Claims in full", 1),
    ]
    return _impersonal("\n".join(parts), scores, costs)


def _is_shown(plot: Plot) -> bool:
    return plot.kind.startswith(SHOWN) or f"{plot.kind}: {plot.title}".startswith(SHIFTS)


def _figure(plot: Plot, folder: str) -> str:
    title, caption = markdown(plot.title), markdown(plot.caption)
    return f"## {plot.kind}: {title}\n\n![{title}]({folder}/{plain_name(plot.name)}.png)\n\n{caption}\n"


def _judged(loaded: Loaded, timed: bool) -> list[Verdict]:
    claims = [claim for claim in read_claims() if _is_timed(claim) == timed]
    return judge(claims, loaded, frame(loaded.records))


def _is_timed(claim: Claim) -> bool:
    return any(comparison.quantity in TIMES for comparison in claim.comparisons)


def _tables(scores: Loaded, costs: Loaded) -> Iterator[Table]:
    yield from (one for one in tables(scores, frame(scores.records)) if not one.name.startswith("efficiency"))
    yield from (one for one in tables(costs, frame(costs.records)) if one.name.startswith("efficiency"))


def _introduction(scores: Loaded, costs: Loaded, commands: Sequence[str]) -> str:
    models = sorted({record.model for record in scores.records})
    machine = hardware()
    return INTRODUCTION.format(
        sizes="\n".join(_size([one for one in scores.records if one.model == model]) for model in models),
        runs=len(scores.records) + len(costs.records),
        date=max(record.finished_at for record in scores.records + costs.records)[:10],
        machine=f"{machine['cpu']}, {machine['threads']} cores",
        commands="\n".join(commands),
    )


def _size(records: Sequence[Record]) -> str:
    """The amount of training of one model, from its runs."""
    trainer = records[0].config["trainer"]
    seeds, tasks = len({record.seed for record in records}), sorted({record.task for record in records})
    steps = f"{trainer['max_steps']} steps of {trainer['batch_size']} rows"
    return f"- {records[0].model}: {steps}, {seeds} {'seed' if seeds == 1 else 'seeds'}, on {', '.join(tasks)}"


def _summary(verdicts: Sequence[Verdict]) -> str:
    lines = ["## In short", ""]
    for outcome in judgement.OF_CLAIMS:
        lines += _of(outcome, [_line(verdict) for verdict in verdicts if verdict.outcome == outcome])
    return "\n".join(lines)


def _line(verdict: Verdict) -> str:
    """The claim, and the undecided comparisons with a mean difference against it."""
    against = [f"*{markdown(finding.title)}*" for finding in verdict.findings if finding.mean_is_against]
    if verdict.outcome == "not decided" and against:
        return f"{verdict.claim.text} The means are against it: not {', nor '.join(against)}."
    return verdict.claim.text


def _of(outcome: Outcome, texts: Sequence[str]) -> list[str]:
    return [f"**{outcome.capitalize()}** here:", "", *(f"- {text}" for text in texts), ""] if texts else []


def _impersonal(text: str, *sources: Loaded) -> str:
    """The text without the folders of this machine."""
    for loaded in sources:
        folders = {str(record.config["data_root"]) for record in loaded.records} - {"None"}
        for folder in folders:
            text = text.replace(folder, "path/to/data")
        text = text.replace(str(loaded.runs_dir), "runs")
    return text


if __name__ == "__main__":
    main()
