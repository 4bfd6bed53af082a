"""A finished run, loaded for use."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from lnbench.backbone.loading import load_tokenizer
from lnbench.config import RunConfig, validate
from lnbench.model import TunedModel, build_model, inputs_of
from lnbench.records.adapter import AdapterError, load_adapter
from lnbench.run import CONFIG
from lnbench.tasks.base import Task


@dataclass(frozen=True)
class Tuned:
    """A tuned model with all that is needed to use it."""

    model: TunedModel
    tokenizer: PreTrainedTokenizerBase
    task: Task
    config: RunConfig

    def predict(self, texts: Sequence[str | Sequence[str]], batch_size: int = 32) -> list[dict[str, Any]]:
        """Answers for texts, or for pairs of texts where the task is about pairs, in their order.

        Raises:
            DataError: a text is empty, or is not a pair where the task needs pairs.
        """
        examples = self.task.encode(self.task.unlabelled(texts), self.tokenizer)
        answers: list[dict[str, Any]] = []
        for start in range(0, len(examples), batch_size):
            batch = examples.batch(np.arange(start, min(start + batch_size, len(examples))))
            with torch.inference_mode():
                answers += self.task.answers(self.model(**inputs_of(batch)))
        return answers


def load(run_dir: str | Path) -> Tuned:
    """The tuned model of a finished run, on the CPU and in evaluation mode.

    Args:
        run_dir: the folder that the run named at its end.

    Raises:
        AdapterError: the folder holds no finished run, or its files are damaged.
        ConfigError: the pretrained model is not there any more.
    """
    folder = Path(run_dir)
    if not (folder / CONFIG).is_file():
        raise AdapterError(f"{folder}: is not the folder of a run; it has no {CONFIG}")
    try:
        config = validate(json.loads((folder / CONFIG).read_text()))
    except json.JSONDecodeError as error:
        raise AdapterError(f"{folder / CONFIG}: is damaged ({error})") from error
    tensors, _ = load_adapter(folder)
    model = build_model(config)
    try:
        model.load_trained(tensors)
    except ValueError as error:
        raise AdapterError(f"{folder}: {error}") from error
    return Tuned(model.eval(), load_tokenizer(config.model), config.task, config)
