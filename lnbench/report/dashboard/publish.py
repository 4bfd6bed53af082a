"""Sends a report to W&B."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from rich.console import Console

from lnbench.report.claims.claims import Claim
from lnbench.report.claims.verdicts import judge
from lnbench.report.dashboard.target import Target
from lnbench.report.dashboard.unsent import show_unsent
from lnbench.report.load import Loaded, frame
from lnbench.report.tables.tables import tables


def publish(target: Target, loaded: Loaded, claims: Sequence[Claim], console: Console) -> None:
    """Creates a new report and new views of the workspace, and prints their addresses and how to send missing runs.

    Args:
        target: project at W&B.
        loaded: at least one finished run.
        claims: claims to judge.
        console: console to print to.

    Raises:
        ConnectionError: W&B cannot be reached, or it refuses.
        ConfigError: a file with a paper's figures is wrong.
    """
    from lnbench.report.dashboard.document import new_report
    from lnbench.report.dashboard.views import new_views

    show_unsent(console, loaded.folders, target)
    with _one_line():
        entity = target.entity or _own_entity()
    runs = frame(loaded.records)
    made, verdicts = tables(loaded, runs), judge(claims, loaded, runs)
    report = new_report(entity, target.project, loaded, runs, made, verdicts)
    views = new_views(entity, target.project, loaded, runs)
    saves: list[Callable[[], Any]] = [report.save, *(view.save for view in views)]
    for save in saves:
        with _one_line():
            console.print(f"W&B       {save().url}", soft_wrap=True, markup=False)


def _own_entity() -> str:
    import wandb

    if entity := wandb.Api().default_entity:
        return entity
    raise ValueError("the API key has no default entity; give --wandb ENTITY/PROJECT")


@contextlib.contextmanager
def _one_line() -> Iterator[None]:
    """Turns anything that wandb raises, even a bare `Exception`, into an error of one line."""
    try:
        yield
    except Exception as error:
        raise ConnectionError(f"W&B: {type(error).__name__}: {' '.join(str(error).split())}") from error
