"""Trains with transformers' Trainer and its defaults, but without the slow logs, progress bar and saving."""

import tempfile
from collections.abc import Callable
from typing import Any, Literal

from torch import Tensor
from transformers import (
    DataCollatorWithPadding,
    PreTrainedTokenizerBase,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from lnbench.backbone.loading import load_tokenizer
from lnbench.config.run import RunConfig
from lnbench.tasks.data.load import TaskData
from lnbench.tasks.tokens.examples import Examples
from lnbench.training.device import use_gpu
from scripts.throughput.clock import Clock, Round
from scripts.throughput.flops import RowFlops, count_flops
from scripts.throughput.hf_model import new_model
from scripts.throughput.step import in_bf16

Sampling = Literal["random", "group_by_length"]


def run(config: RunConfig, data: TaskData, steps: int, sampling: Sampling = "random") -> tuple[Round, RowFlops]:
    """Trains a new model.

    Args:
        config: configuration of a run with a method in `hf_model.METHODS`.
        data: data to train on.
        steps: number of timed steps, after a first one that is not timed.
        sampling: the Trainer's `train_sampling_strategy`.
    """
    tokenizer, rows = load_tokenizer(config.model), as_rows(data.train)
    model = new_model(config)
    flops = count_flops(model)
    clock = Clock(steps)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            model=model,
            args=_arguments(config, folder, steps + 1, sampling),
            train_dataset=rows,
            processing_class=tokenizer,
            data_collator=_watched_collator(tokenizer, clock),
            callbacks=[_Watch(clock)],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return clock.round(), flops


def megabatch(rows: int, batch_size: int) -> int:
    """Number of batches that `group_by_length` sorts together, longest first.

    Only whole megabatches have the average length of all batches.
    """
    return max(1, min(rows // (4 * batch_size), 50))


def as_rows(examples: Examples) -> list[dict[str, Any]]:
    """Tokenised rows as lists in memory. The Trainer reads them faster than an Arrow table."""
    columns = {"input_ids": examples.tokens, "token_type_ids": examples.token_types}
    tokens = {name: values.tolist() for name, values in columns.items() if values is not None}
    starts, ends = examples.offsets[:-1].tolist(), examples.offsets[1:].tolist()
    return [
        {name: values[start:end] for name, values in tokens.items()}
        | {"attention_mask": [1] * (end - start), "labels": label}
        for start, end, label in zip(starts, ends, examples.labels.tolist(), strict=True)
    ]


def _arguments(config: RunConfig, folder: str, steps: int, sampling: Sampling) -> TrainingArguments:
    """The defaults (fused AdamW, linear decay, clipping at 1), with lnbench's batch size, precision and device."""
    return TrainingArguments(
        output_dir=folder,
        max_steps=steps,
        per_device_train_batch_size=config.trainer.batch_size,
        train_sampling_strategy=sampling,
        bf16=in_bf16(config),
        use_cpu=not use_gpu(config.trainer),
        dataloader_pin_memory=use_gpu(config.trainer),
        seed=config.seed,
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )


class _Watch(TrainerCallback):
    """Reports each training step to a clock."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self.clock.step_ended()


def _watched_collator(
    tokenizer: PreTrainedTokenizerBase, clock: Clock
) -> Callable[[list[dict[str, Any]]], dict[str, Tensor]]:
    """The Trainer's default collator, which also passes its batches to a clock."""
    collate = DataCollatorWithPadding(tokenizer)

    def watched(rows: list[dict[str, Any]]) -> dict[str, Tensor]:
        batch: dict[str, Tensor] = collate(rows)
        clock.masks.append(batch["attention_mask"])
        return batch

    return watched
