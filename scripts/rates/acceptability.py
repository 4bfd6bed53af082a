"""A task like CoLA: does a sentence have its original order of words, or are two neighbouring words swapped?"""

from pathlib import Path

import numpy as np
import pandas as pd

from lnbench.core.atomic_files import write_atomically

NAME = "acceptability"
SWAPPED = 0.3
WORDS = (6, 16)
"""Smallest and largest number of words in a sentence."""
SIZES = {"train": 3500, "validation": 700, "test": 800}


def write_acceptability(folder: Path, data_root: Path) -> list[str]:
    """Makes the files of the task from SST-2's training split, if they do not exist.

    Returns:
        Overrides that choose the task.
    """
    files = {split: folder / f"{split}.csv" for split in SIZES}
    if not all(file.is_file() for file in files.values()):
        (source,) = (data_root / "sst2").glob("train.jsonl*")
        for split, rows in _splits(sorted(set(pd.read_json(source, lines=True)["sentence"].str.strip()))).items():
            write_atomically(files[split], rows.to_csv(index=False))
    paths = {"path": files["train"], "validation_path": files["validation"], "test_path": files["test"]}
    return [
        "task=csv",
        f"task.name={NAME}",
        *(f"task.{name}={path}" for name, path in paths.items()),
        "task.text=sentence",
        "task.labels=[unacceptable,acceptable]",
        "task.metric=mcc",
    ]


def _splits(sentences: list[str]) -> dict[str, pd.DataFrame]:
    rng = np.random.default_rng(0)
    fitting = [words for text in sentences if WORDS[0] <= len(words := text.split()) <= WORDS[1]]
    drawn = [fitting[place] for place in rng.permutation(len(fitting))[: sum(SIZES.values())]]
    labels = rng.random(len(drawn)) >= SWAPPED
    rows = [
        {"sentence": " ".join(words if good else _swapped(words, rng)), "label": int(good)}
        for words, good in zip(drawn, labels, strict=True)
    ]
    ends = np.cumsum(list(SIZES.values()))
    return {split: pd.DataFrame(rows[end - SIZES[split] : end]) for split, end in zip(SIZES, ends, strict=True)}


def _swapped(words: list[str], rng: np.random.Generator) -> list[str]:
    """Swaps two neighbouring words that differ."""
    places = [place for place in range(len(words) - 1) if words[place] != words[place + 1]]
    first = int(rng.choice(places))
    return [*words[:first], words[first + 1], words[first], *words[first + 2 :]]
