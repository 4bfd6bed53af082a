"""Writes docs/reproduction.md, which compares the published runs with the paper, from the folder results/ alone.

python -m scripts.reproduction            # the document
python -m scripts.reproduction --images   # its plots, too, with a Chrome
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from lnbench.core.atomic_files import write_atomically
from lnbench.core.commands import command, override
from lnbench.core.escape import markdown
from lnbench.core.names import plain_name
from lnbench.core.schema import ConfigError
from lnbench.core.words import number_of
from lnbench.records.packed import SUFFIX
from lnbench.records.record import Record
from lnbench.report.claims import judgement
from lnbench.report.claims.claims import Claim, read_claims
from lnbench.report.claims.verdicts import Outcome, Verdict, judge
from lnbench.report.load import Loaded, frame, hardware_of, load_runs
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
COSTS = "efficiency"
"""Part of the name of a packed file whose runs had the machine to themselves. Times come from such files alone."""
RESULTS = Path("results")
DOCUMENT = Path("docs/reproduction.md")
INTRODUCTION = """# Reproduction

What the published runs say of *Parameter-Efficient Tuning on Layer Normalization for Pre-trained Language Models*
(arXiv 2211.08682). The runs are small. A claim that is not decided here may hold for a larger model or a longer
training. A claim that is contradicted is contradicted only for this model and budget.

{sizes}

{runs} runs; the last one ended on {date}; {machine}. {costs}

These commands did the runs:

```
{commands}
```

This command writes everything below from their [records](results.md):

```
python -m scripts.reproduction --images
```
"""
TIMED = (
    "Claims on scores and claims on costs come from different runs. Their intervals are corrected separately, over all "
    "comparisons of scores and over all comparisons of costs."
)
UNTIMED = "The runs shared the machine with other programs, so their times mean nothing."


def main() -> None:
    """Reads the records, and writes the document and, if asked, its images."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of packed runs")
    parser.add_argument("--out", type=Path, default=DOCUMENT, help="file to write")
    parser.add_argument("--images", action="store_true", help="also write the plots")
    options = parser.parse_args()
    write_atomically(options.out, document(options.results, options.out.stem))
    if options.images:
        pictures = options.out.with_suffix("")
        if problem := write_plots(_shown(_scores(options.results)), pictures):
            parser.error(problem)
        for file in pictures.glob("*.svg"):
            file.unlink()
    print(f"written to {options.out}")


def document(results: Path, pictures: str) -> str:
    """Returns the whole document.

    Args:
        results: folder of packed runs. Times come from those files that have `efficiency` in their names, and scores
            from the others.
        pictures: folder of the plots, seen from the document.
    """
    scores, costs = _scores(results), _of(results, timed=True)
    verdicts = [*_judged(scores, timed=False), *(_judged(costs, timed=True) if costs else [])]
    parts = [
        _introduction(results, scores, costs),
        _summary(verdicts),
        *(formats.to_markdown(table) for table in _tables(scores, costs)),
        *(_figure(plot, pictures) for plot in _shown(scores)),
        judgement.to_markdown(verdicts).replace("\n## ", "\n### ").replace("# Claims", "## Claims in full", 1),
    ]
    return "\n".join(parts).replace(f"runs_dir={results}", "runs_dir=runs")


def _scores(results: Path) -> Loaded:
    loaded = _of(results, timed=False)
    if loaded is None:
        raise ConfigError(f"{results}: has no packed file of runs whose scores count")
    return loaded


def _of(results: Path, timed: bool) -> Loaded | None:
    """The runs of all packed files that are, or are not, for times; None without any."""
    files = [file for file in _files(results) if (COSTS in file.name) == timed]
    return replace(load_runs(*files), runs_dir=results) if files else None


def _files(results: Path) -> list[Path]:
    return sorted(results.glob(f"*{SUFFIX}"))


def _shown(scores: Loaded) -> list[Plot]:
    return [plot for plot in make_plots(scores, frame(scores.records)) if _is_shown(plot)]


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


def _tables(scores: Loaded, costs: Loaded | None) -> Iterator[Table]:
    yield from (one for one in tables(scores, frame(scores.records)) if not one.name.startswith(COSTS))
    if costs:
        yield from (one for one in tables(costs, frame(costs.records)) if one.name.startswith(COSTS))


def _introduction(results: Path, scores: Loaded, costs: Loaded | None) -> str:
    records = [*scores.records, *(costs.records if costs else [])]
    models = sorted({record.model for record in scores.records})
    return INTRODUCTION.format(
        sizes="\n".join(_size([one for one in scores.records if one.model == model]) for model in models),
        runs=len(records),
        date=max(record.finished_at for record in records)[:10],
        machine="; ".join(sorted({hardware_of(record) for record in records})),
        costs=TIMED if costs else UNTIMED,
        commands="\n".join(_command(file) for file in _files(results)),
    )


def _command(file: Path) -> str:
    """The sweep that did the runs of a packed file, which is named by its experiment."""
    records = load_runs(file).records
    swept = {name: sorted({getattr(record, name) for record in records}) for name in ("method", "task", "seed")}
    words = [f"experiment={file.name.removesuffix(SUFFIX)}", *(override(name, *found) for name, found in swept.items())]
    threads = {record.hardware.get("threads") for record in records}
    prefix = f"OMP_NUM_THREADS={threads.pop()} " if len(threads) == 1 else ""
    return prefix + command([*words, "data_root=path/to/data"])


def _size(records: Sequence[Record]) -> str:
    """The amount of training of one model, from its runs."""
    trainer = records[0].config["trainer"]
    seeds, tasks = len({record.seed for record in records}), sorted({record.task for record in records})
    steps = f"{trainer['max_steps']} steps of {trainer['batch_size']} rows"
    return f"- {records[0].model}: {steps}, {number_of(seeds, 'seed')}, on {', '.join(tasks)}"


def _summary(verdicts: Sequence[Verdict]) -> str:
    lines = ["## In short", ""]
    for outcome in judgement.OF_CLAIMS:
        lines += _listed(outcome, [_line(verdict) for verdict in verdicts if verdict.outcome == outcome])
    return "\n".join(lines)


def _line(verdict: Verdict) -> str:
    """The claim, and the undecided comparisons with a mean difference against it."""
    against = [f"*{markdown(finding.title)}*" for finding in verdict.findings if finding.mean_is_against]
    if verdict.outcome == "not decided" and against:
        return f"{verdict.claim.text} The means are against it: not {', nor '.join(against)}."
    return verdict.claim.text


def _listed(outcome: Outcome, texts: Sequence[str]) -> list[str]:
    return [f"**{outcome.capitalize()}** here:", "", *(f"- {text}" for text in texts), ""] if texts else []


if __name__ == "__main__":
    main()
