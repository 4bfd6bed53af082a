"""Writes docs/reproduction.md, which compares the published runs with the paper, from the folder results/ alone.

python -m scripts.reproduction            # the document
python -m scripts.reproduction --images   # its plots, too, with a Chrome
"""

import argparse
import re
import shlex
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from lnbench.core.atomic_files import write_atomically
from lnbench.core.commands import command, override
from lnbench.core.escape import markdown
from lnbench.core.names import plain_name
from lnbench.core.schema import ConfigError
from lnbench.core.words import number_of
from lnbench.deciding.question import read_questions
from lnbench.deciding.recorded import decided
from lnbench.records.commands import changes_of_method
from lnbench.records.packed import SUFFIX
from lnbench.records.record import Record
from lnbench.records.variant import all_changes
from lnbench.report.claims import judgement
from lnbench.report.claims.claims import Claim, read_claims
from lnbench.report.claims.verdicts import LEVEL, Outcome, Verdict, judge
from lnbench.report.load import Loaded, frame, hardware_of, load_runs
from lnbench.report.plots import make_plots, write_plots
from lnbench.report.plots.plot import Plot
from lnbench.report.tables import formats
from lnbench.report.tables.formats import markdown_row, markdown_rule
from lnbench.report.tables.table import Table
from lnbench.report.tables.tables import tables

SHOWN = ("Score against trained parameters", "Ablation")
"""Prefixes of the kinds of plots that the document shows."""
SHIFTS = "Shift of the norms: ln,"
"""Prefix of the title of the plot with LN-tuning's own shifts."""
TIMES = ("train_seconds", "total_seconds", "train_samples_per_second", "test_samples_per_second", "peak_memory_bytes")
COSTS = "efficiency"
"""Part of the name of a packed file whose runs had the machine to themselves. Times come from such files alone."""
LOOKED_AT_OFTEN = {"mini_claims": 16}
"""Experiments whose runs were added until they decided, with the largest number of seeds of a task that was planned."""
RESULTS = Path("results")
DOCUMENT = Path("docs/reproduction.md")
INTRODUCTION = """# Reproduction

What the published runs say of *Parameter-Efficient Tuning on Layer Normalization for Pre-trained Language Models*
(arXiv 2211.08682). The runs are small. A claim that is not decided here may hold for a larger model or a longer
training. A claim that is contradicted is contradicted only for this model and budget.

Each experiment below is a [packed file](results.md) of runs. Its verdicts come from its own runs, and all of them
together are right with a probability of 95%. This command writes everything below from the packed files:

```
python -m scripts.reproduction --images
```
"""


@dataclass(frozen=True)
class Asked:
    """What `python -m lnbench.decide` was asked.

    Attributes:
        questions: claims or comparisons, as on the command line.
        tasks: tasks on which they are decided.
        most_seeds: largest number of seeds of a task that was planned.
    """

    questions: tuple[str, ...]
    tasks: tuple[str, ...]
    most_seeds: int


FURTHER = {
    "mini_claims": Asked(
        (
            "lora_all better than ln",
            "houlsby better than ln",
            "ssf better than ln",
            "compacter better than ln",
            "svft better than ln",
            "hadamard better than ln",
            "houlsby better than ln+mha_adapter+prefix",
            "lora_all better than ln+mha_adapter+prefix",
            "ssf better than ln+mha_adapter+prefix",
        ),
        ("conll2004", "sick", "sst2"),
        16,
    ),
    "mini_retention": Asked(
        ("ln better than full in forgetting", "ln better than prefix in forgetting"), ("e2e_nlg",), 16
    ),
}
"""Comparisons beyond the paper's claims to which seeds were added, by experiment."""
TIMED = "The runs had the machine to themselves."
UNTIMED = "The runs shared the machine with other programs, so their times mean nothing."
OFTEN = (
    "The data of this experiment were looked at after 3, 4, 5 and more seeds, at most {seeds}. The intervals and "
    "verdicts allow for that: they are those of `python -m lnbench.decide`, see [statistics](statistics.md)."
)
BEYOND = (
    "They were chosen when three seeds of each method had been seen. All verdicts of this table together are right "
    "with a probability of 95%, apart from those of the paper's claims. The columns are explained under "
    "[In full](#in-full)."
)


@dataclass(frozen=True)
class Experiment:
    """The runs of one packed file, and what they say.

    Attributes:
        name: name of the file, which is that of the experiment.
        loaded: runs.
        runs: their table.
        verdicts: verdicts on the claims about scores, or about costs if the runs were timed.
        further: verdicts on the comparisons of `FURTHER`.
    """

    name: str
    loaded: Loaded
    runs: pd.DataFrame
    verdicts: tuple[Verdict, ...]
    further: tuple[Verdict, ...]


def main() -> None:
    """Reads the records, and writes the document and, if asked, its images."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of packed runs")
    parser.add_argument("--out", type=Path, default=DOCUMENT, help="file to write")
    parser.add_argument("--images", action="store_true", help="also write the plots")
    options = parser.parse_args()
    found = experiments(options.results)
    write_atomically(options.out, _written(found, options.results, options.out.stem))
    for experiment in found if options.images else []:
        pictures = options.out.with_suffix("") / experiment.name
        for file in pictures.glob("*.png"):
            file.unlink()
        if problem := write_plots(_shown(experiment), pictures):
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
    return _written(experiments(results), results, pictures)


def _written(found: Sequence[Experiment], results: Path, pictures: str) -> str:
    parts = [INTRODUCTION, _in_short(found), *(_section(experiment, pictures) for experiment in found)]
    return "\n".join(parts).replace(f"runs_dir={results}", "runs_dir=runs")


def experiments(results: Path) -> list[Experiment]:
    """The experiment of each packed file, by name.

    Raises:
        ConfigError: there is no packed file.
    """
    files = sorted(results.glob(f"*{SUFFIX}"))
    if not files:
        raise ConfigError(f"{results}: has no packed file of runs")
    return [_experiment(file, results) for file in files]


def _experiment(file: Path, results: Path) -> Experiment:
    name = file.name.removesuffix(SUFFIX)
    loaded = replace(load_runs(file), runs_dir=results)
    runs = frame(loaded.records)
    claims = [claim for claim in read_claims() if _is_timed(claim) == (COSTS in name)]
    if name in LOOKED_AT_OFTEN:
        verdicts = decided(claims, loaded, LEVEL, LOOKED_AT_OFTEN[name])
    else:
        verdicts = judge(claims, loaded, runs)
    return Experiment(name, loaded, runs, tuple(verdicts), tuple(_further(name, loaded)))


def _further(name: str, loaded: Loaded) -> list[Verdict]:
    if name not in FURTHER:
        return []
    asked = FURTHER[name]
    records = [record for record in loaded.records if record.task in asked.tasks]
    return decided(read_questions(asked.questions), replace(loaded, records=records), LEVEL, asked.most_seeds)


def _is_timed(claim: Claim) -> bool:
    return any(comparison.quantity in TIMES for comparison in claim.comparisons)


def _section(experiment: Experiment, pictures: str) -> str:
    """All about one experiment. The headings of a report stand one level lower here."""
    judged = [verdict for verdict in experiment.verdicts if verdict.has_pairs]
    claims = judgement.to_markdown(judged).replace("\n## ", "\n### ").replace("# Claims", "## In full", 1)
    parts = [
        *([_summary(judged)] if judged else []),
        *([_beyond(experiment)] if experiment.further else []),
        *(formats.to_markdown(table) for table in _tables(experiment)),
        *(_figure(plot, f"{pictures}/{experiment.name}") for plot in _shown(experiment)),
        *([claims] if judged else []),
    ]
    return "\n".join([_head(experiment), *(re.sub(r"^#", "##", part, flags=re.MULTILINE) for part in parts)])


def _shown(experiment: Experiment) -> list[Plot]:
    """The plots of scores; times have none."""
    if COSTS in experiment.name:
        return []
    return [plot for plot in make_plots(experiment.loaded, experiment.runs) if _is_shown(plot)]


def _is_shown(plot: Plot) -> bool:
    return plot.kind.startswith(SHOWN) or f"{plot.kind}: {plot.title}".startswith(SHIFTS)


def _figure(plot: Plot, folder: str) -> str:
    title, caption = markdown(plot.title), markdown(plot.caption)
    return f"## {plot.kind}: {title}\n\n![{title}]({folder}/{plain_name(plot.name)}.png)\n\n{caption}\n"


def _tables(experiment: Experiment) -> Iterator[Table]:
    """The tables of costs, or all others."""
    timed = COSTS in experiment.name
    yield from (one for one in tables(experiment.loaded, experiment.runs) if one.name.startswith(COSTS) == timed)


def _head(experiment: Experiment) -> str:
    """The heading, what was run, where and how."""
    records = experiment.loaded.records
    models = sorted({record.model for record in records})
    machines = "; ".join(sorted({hardware_of(record) for record in records}))
    last, searches = max(record.finished_at for record in records)[:10], any(record.search for record in records)
    often = LOOKED_AT_OFTEN.get(experiment.name)
    lines = [
        f"## {markdown(experiment.name)}",
        "",
        *(_size([one for one in records if one.model == model]) for model in models),
        "",
        f"{len(records):,} runs; the last one ended on {last}; {machines}. "
        + ("The learning rates were searched. " if searches else "The learning rates are those that are shipped. ")
        + (TIMED if COSTS in experiment.name else UNTIMED),
        *(["", OFTEN.format(seeds=often)] if often else []),
        "",
        "```",
        *_commands(experiment),
        "```",
        "",
    ]
    return "\n".join(lines)


def _commands(experiment: Experiment) -> Iterator[str]:
    """The commands that did the runs. `lnbench.decide` added the seeds that only some methods have."""
    records = experiment.loaded.records
    threads = {record.hardware.get("threads") for record in records}
    prefix = f"OMP_NUM_THREADS={threads.pop()} " if len(threads) == 1 else ""
    first = {record.seed for record in records}
    often = LOOKED_AT_OFTEN.get(experiment.name)
    if often:
        first = set.intersection(*(seeds for cells in _seeds(records).values() for seeds in cells.values()))
    for words in _sweeps([record for record in records if record.seed in first]):
        yield prefix + command([f"experiment={experiment.name}", *words, "data_root=path/to/data"], several=True)
    if often and any(record.seed not in first for record in records):
        claims = tuple(claim.id for claim in read_claims() if not _is_timed(claim))
        tasks = tuple(sorted({record.task for record in records}))
        yield prefix + _asking(Asked(claims, tasks, often), experiment.name)


def _seeds(records: Sequence[Record]) -> dict[tuple[tuple[str, ...], str], dict[str, set[int]]]:
    """By the changed settings of a method and its name, the seeds of each task."""
    seeds: dict[tuple[tuple[str, ...], str], dict[str, set[int]]] = defaultdict(lambda: defaultdict(set))
    for record in records:
        changes = tuple(changes_of_method(all_changes(record.config["method"])))
        seeds[changes, record.method][record.task].add(record.seed)
    return seeds


def _sweeps(records: Sequence[Record]) -> Iterator[list[str]]:
    """The overrides of the sweeps. Methods that have the same tasks and seeds share one."""
    alike: dict[tuple[tuple[str, ...], tuple[str, ...], tuple[int, ...]], set[str]] = defaultdict(set)
    for (changed, method), of_tasks in _seeds(records).items():
        for own in of_tasks.values():
            same = tuple(sorted(task for task, others in of_tasks.items() if others == own))
            alike[changed, same, tuple(sorted(own))].add(method)
    for (changed, tasks, found), methods in alike.items():
        yield [override("method", *sorted(methods)), *changed, override("task", *tasks), override("seed", *found)]


def _size(records: Sequence[Record]) -> str:
    """The amount of training of one model, from its runs."""
    trainer, tasks = records[0].config["trainer"], sorted({record.task for record in records})
    counts = sorted(len(seeds) for cells in _seeds(records).values() for seeds in cells.values())
    seeds = number_of(counts[-1], "seed") if counts[0] == counts[-1] else f"{counts[0]} to {counts[-1]} seeds"
    steps = f"{trainer['max_steps']} steps of {trainer['batch_size']} rows"
    return f"- {records[0].model}: {steps}, {seeds}, on {', '.join(tasks)}"


def _in_short(found: Sequence[Experiment]) -> str:
    """The verdicts of all experiments in one table."""
    lines = [
        "## In short",
        "",
        markdown_row(["claim", *(one.name for one in found)]),
        markdown_rule(1 + len(found), left=1),
    ]
    for claim in read_claims():
        cells = [_cell([one for one in experiment.verdicts if one.claim == claim]) for experiment in found]
        lines.append(markdown_row([claim.text, *cells]))
    signs = [f"{judgement.SIGNS[outcome]} {outcome}" for outcome in judgement.OF_CLAIMS]
    return "\n".join([*lines, "", f"{', '.join(signs)}; -: no runs.", ""])


def _cell(verdicts: Sequence[Verdict]) -> str:
    return next((judgement.SIGNS[verdict.outcome] for verdict in verdicts if verdict.has_pairs), "-")


def _summary(verdicts: Sequence[Verdict]) -> str:
    lines = ["## Verdicts", ""]
    for outcome in judgement.OF_CLAIMS:
        lines += _listed(outcome, [_line(one) for one in verdicts if one.outcome == outcome])
    return "\n".join(lines)


def _beyond(experiment: Experiment) -> str:
    lines = ["## Further comparisons", "", markdown_row(judgement.HEADINGS)]
    lines += [markdown_rule(len(judgement.HEADINGS), left=2)]
    findings = [finding for verdict in experiment.further for finding in verdict.findings]
    lines += [markdown_row(judgement.cells(finding)) for finding in findings]
    lines += ["", BEYOND, "", "```", _asking(FURTHER[experiment.name], experiment.name), "```", ""]
    return "\n".join(lines)


def _asking(asked: Asked, experiment: str) -> str:
    """The command of `lnbench.decide` that asks."""
    return (
        f"python -m lnbench.decide {shlex.join(asked.questions)} --tasks {' '.join(asked.tasks)} "
        f"--seeds-max {asked.most_seeds} experiment={experiment} data_root=path/to/data"
    )


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
