"""Folders of made-up finished runs, with records, histories and packed files like those of real runs."""

import hashlib
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import exp
from pathlib import Path
from typing import Any

from lnbench.config.compose import compose_config, to_plain
from lnbench.config.run import RunConfig, validate
from lnbench.core.sealed import sealed
from lnbench.records.files import ADAPTER, CONFIG, METRICS, RECORD
from lnbench.records.packed import SUFFIX, PackedRun, write_packed
from lnbench.records.record import Cost, DataSeen, Parameters, Record, Selection
from lnbench.records.shift import Norm, NormShift, Term

SINGLE = ["ln", "bitfit", "lora", "adapter", "prefix", "mha_adapter", "houlsby", "prompt", "full", "head"]
METHODS = [*SINGLE, *(f"ln+{name}" for name in SINGLE[1:8]), "ln+mha_adapter+prefix", "ln+lora+prefix", "mam"]
ABLATIONS = ["terms=[gain]", "terms=[bias]", "norms=[mha]", "norms=[ffn]", "layers=4-6"]
"""Changed settings of LN-tuning."""
TASKS = ["sst2", "mrpc", "rte", "sick", "boolq", "cb", "mnli", "qnli", "snli", "qqp"]
STEPS, LOGGED, VALIDATED = 1_000, 10, 100
"""Training steps of a run, and steps from one loss or validation to the next."""
TEST_ROWS = 500
VERSIONS = {
    "python": "3.11.7",
    "lnbench": "0.2.0",
    "torch": "2.13.0+cpu",
    "transformers": "5.23.0",
    "pytorch-lightning": "2.6.6",
    "hydra-core": "1.3.8",
    "datasets": "5.2.0",
    "scikit-learn": "1.9.1",
    "tokenizers": "0.23.3",
    "numpy": "2.4.6",
}
HARDWARE: dict[str, Any] = {
    "platform": "Linux-6.8",
    "cpu": "some",
    "cpu_capability": "AVX512",
    "threads": 2,
    "memory_bytes": 2**34,
    "device": "cpu",
    "devices": 1,
    "precision": "32-true",
    "runs_together": 1,
}


@dataclass(frozen=True)
class MadeUp:
    """One made-up run: its record, and the content of its metrics.csv."""

    record: Record
    history: str


def make_runs(runs_dir: Path, count: int, packed: bool = False) -> None:
    """Writes finished runs of a grid of 25 methods, 10 tasks and as many seeds as needed.

    Args:
        runs_dir: folder of the runs.
        count: smallest number of runs.
        packed: whether to pack the runs of each task into a file, instead of a folder for each run.
    """
    runs_dir.mkdir(parents=True)
    seeds = -(-count // (len(TASKS) * (len(METHODS) + len(ABLATIONS))))
    for task in TASKS:
        made = _of_task(task, seeds, runs_dir)
        if packed:
            draw = random.Random(task)
            lines = (_packed(run, draw) for run in made)
            write_packed(runs_dir / f"{task}{SUFFIX}", lines)
        else:
            for run in made:
                _write(run, runs_dir)


def _of_task(task: str, seeds: int, runs_dir: Path) -> Iterator[MadeUp]:
    draw = random.Random(task)
    methods = [*((name, "") for name in METHODS), *(("ln", f"method.ln.{change}") for change in ABLATIONS)]
    for (method, change), seed in product(methods, range(seeds)):
        if seed == 0:
            overrides = [f"runs_dir={runs_dir}", f"method={method}", f"task={task}", *([change] if change else [])]
            config = validate(to_plain(compose_config(*overrides)))
            level, seconds, settings = draw.uniform(0.6, 0.9), draw.uniform(50, 200), json.dumps(config.to_dict())
        score = level + draw.gauss(0, 0.01)
        record = _record(config, {**json.loads(settings), "seed": seed}, score, seconds * draw.uniform(0.9, 1.1), draw)
        yield MadeUp(record, _history(record, draw))


def _record(config: RunConfig, settings: dict[str, Any], score: float, seconds: float, draw: random.Random) -> Record:
    splits = ("train", "validation", "test")
    scores = {split: dict.fromkeys(("accuracy", "macro_f1", "mcc"), score) for split in splits[1:]}
    parts = {part: draw.randrange(10_000, 100_000) for part in sorted(config.method)}
    trained = sum(parts.values())
    return Record(
        id=hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:12],
        protocol=2,
        method=config.method_name,
        task=config.task.name,
        model=config.model.name,
        seed=settings["seed"],
        selection=Selection(metric=config.task.metric, mode=config.task.mode, score=score),
        metrics={**scores, "test": {**scores["test"], config.task.metric: score + draw.gauss(0, 0.005)}},
        baseline={split: {"accuracy": 0.5, "macro_f1": 0.3, "mcc": 0.0} for split in splits},
        baseline_name="majority baseline",
        parameters=Parameters(
            backbone=22_565_376,
            trained=trained,
            trained_percent=100 * trained / 22_565_376,
            inserted=0,
            by_part=parts,
            head=1_155,
        ),
        shift=list(_shift(draw)) if "ln" in parts else [],
        cost=Cost(
            train_seconds=seconds,
            total_seconds=1.2 * seconds,
            train_samples_per_second=32 * STEPS / seconds,
            train_tokens_per_second=960 * STEPS / seconds,
            test_samples_per_second=draw.uniform(100, 300),
            peak_memory_bytes=draw.randrange(2**29, 2**31),
            steps=STEPS,
            micro_batch_size=32,
            train_samples=32 * STEPS,
            validation_seconds=draw.uniform(5, 10),
            checkpoint_seconds=draw.uniform(0.1, 0.2),
            test_seconds=draw.uniform(5, 10),
            first_step_seconds=draw.uniform(0.5, 1),
        ),
        data=DataSeen(
            fingerprint="f" * 64,
            rows=dict.fromkeys(splits, TEST_ROWS),
            overlap={f"train/{split}{column}": 1 for split in splits[1:] for column in ("", " text", ":swapped")},
        ),
        files={name: f"{draw.getrandbits(256):064x}" for name in (ADAPTER, METRICS)},
        hardware=HARDWARE,
        versions=VERSIONS,
        git_commit="0" * 40,
        started_at="2026-01-01T00:00:00+00:00",
        finished_at=f"2026-01-01T00:{draw.randrange(60):02}:{draw.randrange(60):02}+00:00",
        config=settings,
    )


def _shift(draw: random.Random) -> Iterator[NormShift]:
    norms: tuple[Norm, ...] = ("mha", "ffn")
    terms: tuple[Term, ...] = ("gain", "bias")
    for layer, norm, term in product(range(1, 7), norms, terms):
        size = draw.uniform(0.001, 0.03)
        yield NormShift(layer=layer, norm=norm, term=term, mean_abs=size, max_abs=4 * size, relative=2 * size)


def _history(record: Record, draw: random.Random) -> str:
    lines = ["epoch,step,train/loss,validation/accuracy,validation/macro_f1,validation/mcc"]
    for step in range(LOGGED, STEPS + 1, LOGGED):
        lines.append(f"0,{step},{0.4 + 0.7 * exp(-step / 80) + draw.gauss(0, 0.03)},,,")
        if step % VALIDATED == 0:
            score = record.score - 0.25 * exp(-step / 70)
            lines.append(f"0,{step},,{score},{score - 0.01},{score - 0.1}")
    return "\n".join(lines) + "\n"


def _write(run: MadeUp, runs_dir: Path) -> None:
    record = run.record
    folder = runs_dir / record.task / record.model / record.method / record.id
    folder.mkdir(parents=True)
    (folder / CONFIG).write_text(json.dumps(record.config))
    (folder / METRICS).write_text(run.history)
    (folder / RECORD).write_text(json.dumps(sealed(record.model_dump(mode="json")), indent=2) + "\n")


def _packed(run: MadeUp, draw: random.Random) -> PackedRun:
    answers = {"answers": [draw.randrange(2) for _ in range(TEST_ROWS)]}
    return PackedRun(record=run.record, history=run.history, numbers=answers)
