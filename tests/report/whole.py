"""A folder of runs with all that a report shows."""

import random
from collections.abc import Iterator, Sequence
from itertools import product
from math import exp
from pathlib import Path
from typing import Any

from lnbench.records.failure import Failure, write_failure
from lnbench.records.files import CONFIG, METRICS
from lnbench.records.record import Record, write_record
from lnbench.records.shift import Norm, NormShift, Term
from lnbench.report.claims.claims import read_claims
from lnbench.report.claims.verdicts import judge
from lnbench.report.load import frame, load_runs
from lnbench.report.page import write_page
from lnbench.report.plots import make_plots
from lnbench.report.tables.tables import tables
from tests.report.builders import finished, folder_of, save

METHODS: dict[str, tuple[float, float]] = {
    "full": (0.760, 172.0),
    "head": (0.612, 55.0),
    "ln": (0.741, 98.0),
    "bitfit": (0.738, 104.0),
    "prefix": (0.722, 121.0),
    "adapter": (0.747, 118.0),
    "ln+prefix": (0.744, 124.0),
    "ln+mha_adapter+prefix": (0.757, 140.0),
    "adapter+ln": (0.743, 122.0),
}
"""Mean score and seconds."""
ABLATIONS: dict[str, tuple[str, Any, float]] = {
    "gain": ("ln.terms", ["gain"], -0.018),
    "bias": ("ln.terms", ["bias"], -0.006),
    "mha": ("ln.norms", ["mha"], -0.004),
    "ffn": ("ln.norms", ["ffn"], -0.009),
    "upper": ("ln.layers", "4-6", -0.007),
    "lower": ("ln.layers", "1-3", -0.021),
}
HOSTILE = "<img src=x onerror=alert(1)>"
CLOSING = "</script><script>alert(2)</script>"
TASKS = {"rte": -0.05, "mrpc": 0.08, "sst2": 0.15}


def made_up(seeds: Sequence[int] = (0, 1, 2), tasks: Sequence[str] = tuple(TASKS)) -> list[Record]:
    """Runs of methods and ablations on tasks, with numbers that look like real ones."""
    return [record for task in tasks for seed in seeds for record in _of_seed(task, seed)]


def write_all(records: Sequence[Record], runs_dir: Path, steps: int = 300) -> None:
    """Writes runs as they lie after training, and one that failed.

    Args:
        records: of the finished ones.
        runs_dir: where to.
        steps: of each run.
    """
    save(*records, runs_dir=runs_dir)
    for record in records:
        (folder_of(record, runs_dir) / METRICS).write_text(_history(record, steps))
    failed(records[0], runs_dir)


def hostile(runs_dir: Path) -> None:
    """Writes runs whose names and texts try to become a part of the page."""
    for method, seed in product(("ln", "bitfit"), range(3)):
        record = finished(method, "rte", seed, model=HOSTILE, versions={CLOSING: "1"})
        record = record.model_copy(update={"task": HOSTILE, "config": {**record.config, "x": CLOSING}})
        folder = runs_dir / "t" / "m" / record.method / record.id
        write_record(record, folder)
        (folder / METRICS).write_text(f"step,validation/accuracy,{CLOSING}\n1,0.5,2\n2,0.6,1\n")
    failed(finished("ln"), runs_dir, f"{HOSTILE}{CLOSING}")


def failed(like: Record, runs_dir: Path, message: str = "the loss is not a number at step 40") -> None:
    """Writes a run that failed."""
    run = "f" * 12
    folder = runs_dir / like.task / like.model / like.method / run
    folder.mkdir(parents=True)
    (folder / CONFIG).write_text("{}")
    about = {name: getattr(like, name) for name in ("method", "task", "model", "seed", "config")}
    failure = Failure(id=run, cause="diverged", message=message, host="h", pid=1, failed_at=like.finished_at, **about)
    write_failure(failure, folder)


def _of_seed(task: str, seed: int) -> Iterator[Record]:
    rng = random.Random(f"{task} {seed}")
    for method, (score, seconds) in METHODS.items():
        yield _run(rng, method, task, seed, score + TASKS[task], seconds)
    for name, value, change in ABLATIONS.values():
        yield _run(rng, "ln", task, seed, METHODS["ln"][0] + TASKS[task] + change, 95.0, {name: value})


def _run(
    rng: random.Random, method: str, task: str, seed: int, score: float, seconds: float, settings: Any = None
) -> Record:
    cost = {
        "train_seconds": seconds * rng.uniform(0.96, 1.04),
        "train_samples_per_second": 9_600 / seconds * rng.uniform(0.96, 1.04),
    }
    shift = _shift(rng) if "ln" in method.split("+") and not settings else []
    return finished(method, task, seed, score + rng.gauss(0, 0.004), settings, cost=cost, shift=shift)


def _shift(rng: random.Random) -> list[NormShift]:
    norms: tuple[Norm, ...] = ("mha", "ffn")
    terms: tuple[Term, ...] = ("gain", "bias")
    return [
        NormShift(layer=layer, norm=norm, term=term, mean_abs=size, max_abs=4 * size, relative=2 * size)
        for layer, norm, term in product(range(1, 7), norms, terms)
        for size in [0.004 * layer * (2 if term == "bias" else 1) * rng.uniform(0.8, 1.2)]
    ]


def _history(record: Record, steps: int) -> str:
    rng, metric = random.Random(record.id), record.selection.metric
    lines = [f"epoch,step,train/loss,validation/{metric}"]
    for step in range(10, steps + 1, 10):
        lines.append(f"0,{step},{0.4 + 0.7 * exp(-step / 80) + rng.gauss(0, 0.03):.4f},")
        if step % 50 == 0:
            lines.append(f"0,{step},,{record.score - 0.25 * exp(-step / 70):.4f}")
    return "\n".join(lines) + "\n"


def report(runs_dir: Path, page: Path) -> None:
    """Writes the page of a folder of runs."""
    loaded = load_runs(runs_dir)
    runs = frame(loaded.records)
    verdicts = judge(read_claims(), loaded, runs)
    write_page(loaded, runs, tables(loaded, runs), verdicts, make_plots(loaded, runs), page)
