"""Messages at the start and at the end of a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from lnbench.config.run import RunConfig
from lnbench.core.commands import predict
from lnbench.core.words import number_of
from lnbench.records.baseline import note_on
from lnbench.records.identity import title
from lnbench.records.packed import packed_file
from lnbench.records.record import WAITED, Cost, Record, Retention, SearchResult
from lnbench.tasks.scores.metric import metric_of, written

if TYPE_CHECKING:
    from lnbench.backbone.tuned_model import ParameterCount
    from lnbench.tasks.base import Task
    from lnbench.tasks.data.load import TaskData

console = Console(highlight=False)


def show_start(config: RunConfig, count: ParameterCount, data: TaskData, folder: Path) -> None:
    """Prints one line each about the model, the data and the folder before a run starts."""
    rows = ", ".join(f"{rows:,} {split}" for split, rows in data.sizes.items())
    console.print(Text(title(config.method_name, config.task.name, config.model.name, config.seed), "bold"))
    console.print(f"  data     {rows}")
    for split, warnings in data.warnings.items():
        for warning in warnings:
            console.print(Text(f"  note     {split}: {warning}", "yellow"))
    console.print(
        f"  trains   {count.trained:,} of {count.backbone:,} parameters ({count.trained_fraction:.3%}), "
        f"head {count.head:,}"
    )
    _print_path(f"  folder   {folder}")


def show_finished(record: Record, task: Task, folder: Path) -> None:
    """Prints the run's results, its cost, its folder, and a command that tries its model."""
    _show_results(record)
    _print_path(f"saved in  {folder}")
    _print_path(f"try it    {predict(folder, task.example, record.config.get('plugins') or ())}")


def show_skipped(record: Record, task: Task, folder: Path) -> None:
    """Prints that the same run was done before, and its results. The folder may be a path in a packed file."""
    if packed := packed_file(folder):
        _print_path(f"This run is finished already, in a packed file that has no model: {packed}")
        console.print("rerun=true does it again.")
        _show_results(record)
    else:
        console.print("This run is finished already; rerun=true does it again.")
        show_finished(record, task, folder)


def show_interrupted(folder: Path, saved: bool) -> None:
    """Prints how to continue an interrupted run."""
    if saved:
        _print_path(f"Interrupted. The same command goes on from the state that is saved in {folder}")
    else:
        _print_path(f"Interrupted before any state was saved in {folder}; the same command starts again.")


def show_trial(parameter: str, value: float | str, done: int, count: int) -> None:
    """Prints the value that a search tries next."""
    console.print(f"[bold]search[/]   {parameter} = {value}; {done} of {number_of(count, 'trial')} done")


def show_busy(busy: Exception) -> None:
    """Prints that another process is doing the next run."""
    _print_path(f"waiting   {busy}")


def _show_results(record: Record) -> None:
    name = Text(title(record.method, record.task, record.model, record.seed))
    console.print(Panel(_table(record), title=name, title_align="left", expand=False))


def _print_path(line: str) -> None:
    """Prints a line unwrapped and without styles, so that a path in it can be copied."""
    console.print(line, soft_wrap=True, markup=False)


def _table(record: Record) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_column()
    for split, metrics in record.metrics.items():
        table.add_row(split, _scores(metrics))
    if record.retention:
        table.add_row("retention", _retained(record.retention))
    if record.search:
        table.add_row("search", _trials(record, record.search))
    for metric, why in record.missing.items():
        table.add_row("missing", f"{metric}: {why}")
    split = "test" if "test" in record.metrics else "validation"
    if baseline := record.baseline.get(split):
        table.add_row(record.baseline_name, f"{split}: {_scores(baseline)}")
    if note := note_on(record):
        table.add_row("note", Text(f"the run is {note}", "bold yellow"))
    parameters, cost = record.parameters, record.cost
    table.add_row(
        "trained",
        f"{parameters.trained:,} parameters, {parameters.trained_percent:.3f}% of the backbone; {_parts(record)}",
    )
    table.add_row("head", f"{parameters.head:,} parameters")
    table.add_row(
        "time",
        f"{cost.train_seconds:.0f} s for {number_of(cost.steps, 'training step')}{_pauses(cost)}, "
        f"{cost.total_seconds:.0f} s in all; "
        f"{cost.train_samples_per_second:.0f} samples/s in training"
        + (f", {cost.test_samples_per_second:.0f} in testing" if "test" in record.metrics else ""),
    )
    if cost.waited > WAITED:
        share = f"{cost.waited:.0%} of the training time"
        table.add_row("", Text(f"others had all cores for {share}: it is no measure of the method", "bold yellow"))
    table.add_row("peak memory", f"{cost.peak_memory_bytes / 2**30:.2f} GiB")
    if cost.train_joules is not None:
        tested = "" if cost.test_joules is None else f", {cost.test_joules:,.0f} J in testing"
        table.add_row("energy", f"{cost.train_joules:,.0f} J in training{tested}")
    return table


def _pauses(cost: Cost) -> str:
    """The times that a run spent between its training steps."""
    pauses = {"validation": cost.validation_seconds, "checkpoints": cost.checkpoint_seconds}
    return "".join(f", {seconds:.0f} s of {what}" for what, seconds in pauses.items() if seconds is not None)


def _scores(metrics: dict[str, float]) -> str:
    return "  ".join(f"{escape(name)} [bold]{value}[/]" for name, value in written(metrics).items())


def _retained(found: Retention) -> str:
    return (
        f"loss on {number_of(found.tokens, 'token')} of a general text [bold]{found.after:.4f} nats[/], "
        f"{found.before:.4f} before tuning: {found.forgetting:+.4f}"
    )


def _parts(record: Record) -> str:
    return ", ".join(f"{part} {size:,}" for part, size in record.parameters.by_part.items())


def _trials(record: Record, search: SearchResult) -> str:
    metric = metric_of(record.selection.metric)
    tried = ", ".join(
        f"{value}: {'failed' if score is None else metric.written(score)}" for value, score in search.scores.items()
    )
    mean = f", mean over {search.seeds} seeds" if search.seeds > 1 else ""
    return f"{search.parameter} = [bold]{search.chosen}[/] of {tried} (validation {metric.title}{mean})"
