"""`python -m lnbench.inspect task=...` shows the contents of a task's data and the tokens that the model gets.

It trains nothing and loads no weights. It accepts everything that `python -m lnbench` accepts.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.bar import Bar
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lnbench.cli import IN_THIS_PROCESS, command_line
from lnbench.config.run import RunConfig
from lnbench.core.words import number_of
from lnbench.tasks.scores.metric import written

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from transformers import PreTrainedTokenizerBase

    from lnbench.tasks.base import Task
    from lnbench.tasks.data.load import TaskData
    from lnbench.tasks.tokens.examples import Examples

BINS = 8
BAR_WIDTH = 40


def inspect(config: RunConfig) -> float:
    """Reads and tokenises the data of a configuration, and prints a summary.

    Returns:
        Number of training rows.
    """
    from lnbench.backbone.loading import load_config, load_tokenizer, require_kind
    from lnbench.backbone.vocabulary import start_of
    from lnbench.tasks.data.load import load_data
    from lnbench.training.assemble import check_vocabulary

    tokenizer = load_tokenizer(config.model)
    if start_of(tokenizer) is not None:
        require_kind(load_config(config.model), config.task.backbone)
    data = load_data(config.task, tokenizer, config.data_root, config.cache_dir, config.seed)
    check_vocabulary(config, tokenizer, data.highest_token)
    console = Console(highlight=False)
    console.print(Text.assemble((config.task.name, "bold"), f" as {config.model.name} sees it"))
    for section in (_sizes(data), _balance(config.task, data), _lengths(data.train)):
        if section.row_count:
            console.print(section)
    for line in _notes(config.task, data):
        console.print(line)
    for title, row in _typical_rows(data.train).items():
        console.print(Text.assemble((f"{title} training row  ", "bold"), _row(config.task, data.train, row, tokenizer)))
    return float(len(data.train))


def _table(*headings: str) -> Table:
    first, *numbers = headings
    table = Table(first)
    for heading in numbers:
        table.add_column(heading, justify="right")
    return table


def _sizes(data: TaskData) -> Table:
    """Number of rows of each split, and of tokens in a row."""
    table = _table("split", "rows", "tokens a row: median", "95%", "most", "rows cut off")
    for role, examples in data.splits.items():
        median, most_rows = np.percentile(examples.lengths, [50, 95]).astype(int)
        cut = np.count_nonzero(_cut(examples))
        numbers = (len(data.frames[role]), median, most_rows, examples.lengths.max(), cut)
        table.add_row(role, *(f"{number:,}" for number in numbers))
    return table


def _balance(task: Task, data: TaskData) -> Table:
    """Number and share of each kind of answer in each split."""
    counts = {role: task.balance(data.frames[role], examples) for role, examples in data.splits.items()}
    table = _table("label", *counts)
    for name in dict.fromkeys(name for kinds in counts.values() for name in kinds):
        cells = ((kinds.get(name, 0), sum(kinds.values())) for kinds in counts.values())
        table.add_row(Text(name), *(f"{count:,} ({count / max(total, 1):.1%})" for count, total in cells))
    return table


def _lengths(examples: Examples) -> Table:
    """A histogram of the training rows' lengths."""
    least, most = int(examples.lengths.min()), int(examples.lengths.max())
    edges = np.unique(np.linspace(least, most + 1, BINS + 1).astype(int))
    counts, _ = np.histogram(examples.lengths, edges)
    table = Table("tokens", "", "training rows")
    for (low, high), count in zip(pairwise(edges), counts.tolist(), strict=True):
        bar = Bar(max(counts.tolist()), 0, count, width=BAR_WIDTH)
        table.add_row(f"{low}" if low == high - 1 else f"{low}-{high - 1}", bar, f"{count:,}")
    return table


def _notes(task: Task, data: TaskData) -> list[Text]:
    """Overlap of the splits, baseline scores and warnings, one line each."""
    shared = ", ".join(f"{pair} {rows:,}" for pair, rows in data.overlap.items())
    scores = "  ".join(f"{name} {value}" for name, value in written(data.baseline["test"]).items())
    counted = "rows of the second split whose input, or value in a column, is in the first"
    lines = [Text(f"{counted}: {shared}")] * bool(shared)
    lines += [Text(f"test scores of the {task.baseline}: {scores}")] * bool(scores)
    return lines + [Text(f"{role}: {note}", "yellow") for role, notes in data.warnings.items() for note in notes]


def _typical_rows(examples: Examples) -> dict[str, int]:
    order = np.argsort(examples.lengths + _cut(examples), kind="stable")
    return {"shortest": int(order[0]), "median": int(order[len(order) // 2]), "longest": int(order[-1])}


def _cut(examples: Examples) -> NDArray[Any]:
    """Number of tokens cut off from each row, shape (N,)."""
    return examples.extras.get("cut", np.zeros(len(examples), np.int64))


def _row(task: Task, examples: Examples, row: int, tokenizer: PreTrainedTokenizerBase) -> Text:
    """The tokens of a row, its labels, and how many tokens were cut off.

    Each label follows its token, or all labels follow the row if they do not belong to single tokens.
    """
    batch = examples.batch(np.array([row]))
    read, written = (batch[name][0].tolist() if name in batch else [] for name in ("input_ids", "decoder_input_ids"))
    tokens = tokenizer.convert_ids_to_tokens([*read, *written])
    labels = [*[""] * (len(read) * bool(written)), *task.label_texts(batch["labels"][0].numpy())]
    aligned = labels if examples.by_token and len(labels) == len(tokens) else [""] * len(tokens)
    text = Text()
    for token, label in zip(tokens, aligned, strict=True):
        text.append(token).append(f"/{label} " if label else " ", "cyan")
    if (cut := _cut(examples)[row]) > 0:
        text.append(f"... {number_of(cut, 'token')} cut off ", "yellow")
    return text if aligned is labels else text.append(f"=> {' '.join(labels)}", "cyan")


def main() -> None:
    """Entry point of `python -m lnbench.inspect`."""
    command_line(inspect, IN_THIS_PROCESS, about=__doc__)


if __name__ == "__main__":
    main()
