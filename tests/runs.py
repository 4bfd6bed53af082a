"""Whole runs within a second: tiny pretrained models in folders, and two small data sets that can be learned."""

import csv
import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file
from transformers import PreTrainedModel, PreTrainedTokenizerFast
from transformers.utils import logging

from lnbench.config.compose import compose_config, to_plain
from lnbench.config.run import RunConfig, validate
from lnbench.records.files import ADAPTER, METRICS, PREDICTIONS
from lnbench.records.identity import run_dir
from lnbench.run.lifecycle import run
from tests.tasks.builders import new_tokenizer
from tests.tiny import tiny

FILLERS = ["a", "b", "c", "d", "e", "film"]
SHORT_TEXTS = ["task.max_source_length=16", "task.max_target_length=16", "task.search.max_new_tokens=16"]
"""Overrides for generation with a tiny model, which has few positions."""
SHORT = [
    "trainer.batch_size=8",
    "trainer.eval_batch_size=16",
    "trainer.max_epochs=2",
    "trainer.max_steps=null",
    "trainer.lr=0.03",
    "trainer.validate_every=4",
    "trainer.progress=false",
    "trainer.device=cpu",
]
"""Two epochs of nine batches."""
SOURCE, DATA, RUNS = "/folder/of/the/model", "/folder/of/the/data", "/folder/of/the/runs"


def save_facts(root: Path) -> None:
    """Writes a data set `e2e_nlg` of a few rows into a folder of data sets."""
    (root / "e2e_nlg").mkdir()
    for split, names in (("train", "abcdeabcde"), ("validation", "ab"), ("test", "cde")):
        rows = [{"meaning_representation": name, "human_reference": f"a good film {name}"} for name in names]
        (root / "e2e_nlg" / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def save_model(architecture: str, folder: Path, model: PreTrainedModel | None = None) -> Path:
    """Saves a tiny model with random weights and a word tokenizer, as `save_pretrained` does.

    Args:
        architecture: decides what the tokenizer adds.
        folder: is made.
        model: None: a headless one.
    """
    logging.disable_progress_bar()
    bert = architecture == "bert"
    tokenizer: PreTrainedTokenizerFast = new_tokenizer(segments=bert, special=bert, pad=bert)
    (model or tiny(architecture)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def write_data(root: Path) -> Path:
    """Writes `sst2` (sentences with a good or a bad word) and `mrpc` (pairs with an equal or another such word)."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 96), ("validation", 32), ("test", 32)):
        labels = rng.integers(2, size=count).tolist()
        sentences = [{"sentence": _sentence(rng, label), "label": label} for label in labels]
        firsts = rng.integers(2, size=count).tolist()
        pairs = [
            {"sentence1": _sentence(rng, first), "sentence2": _sentence(rng, first ^ label), "label": 1 - label}
            for first, label in zip(firsts, labels, strict=True)
        ]
        for name, rows in (("sst2", sentences), ("mrpc", pairs)):
            (root / name).mkdir(parents=True, exist_ok=True)
            (root / name / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return root


def overrides(source: Path, data_root: Path, runs_dir: Path, *more: str) -> list[str]:
    """What the command line takes for a short run of LN-tuning on a tiny model."""
    paths = {"model.source": source, "data_root": data_root, "cache_dir": data_root / "cache", "runs_dir": runs_dir}
    places = [f"{key}={path}" for key, path in paths.items()]
    task = ["task=sst2", "task.max_length=32", "++task.splits.validation_fraction=0.25"]
    return [*places, *task, "model.name=tiny", "method=ln", *SHORT, *more]


def configure(source: Path, data_root: Path, runs_dir: Path, *more: str) -> RunConfig:
    """The same as a checked configuration."""
    places = {SOURCE: str(source), DATA: str(data_root), RUNS: str(runs_dir)}
    return validate(_placed(_composed(*more), places))


@functools.cache
def _composed(*more: str) -> dict[str, Any]:
    """Composed once, with stand-ins for the folders, because Hydra takes a tenth of a second."""
    return to_plain(compose_config(*overrides(Path(SOURCE), Path(DATA), Path(RUNS), *more)))


def _placed(value: Any, places: Mapping[str, str]) -> Any:
    """A copy of plain values with folders in place of their stand-ins."""
    if isinstance(value, dict):
        return {key: _placed(one, places) for key, one in value.items()}
    if isinstance(value, list):
        return [_placed(one, places) for one in value]
    if isinstance(value, str):
        return functools.reduce(lambda text, place: text.replace(*place), places.items(), value)
    return value


def results(config: RunConfig) -> dict[str, Any]:
    """Does a run, and returns what must come out equal, to the last bit, whenever it is done."""
    record, folder = run(config), run_dir(config)
    with (folder / METRICS).open() as file:
        rows = list(csv.DictReader(file))
    return {
        "metrics": record.metrics,
        "steps": record.cost.steps,
        "history": rows,
        "predictions": (folder / PREDICTIONS).read_text(),
        "adapter": {name: (array.shape, array.tobytes()) for name, array in load_file(folder / ADAPTER).items()},
    }


def _sentence(rng: np.random.Generator, label: int) -> str:
    words = rng.choice(FILLERS, size=rng.integers(3, 10)).tolist()
    words.insert(int(rng.integers(len(words) + 1)), ("bad", "good")[label])
    return " ".join(words)
