"""The timed work: answering the rows of a test split, or continuing prompts."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from lnbench.backbone.loading import load_tokenizer
from lnbench.config.run import RunConfig
from lnbench.tasks.data.load import load_data
from lnbench.training.evaluation import answer
from scripts.throughput.step import device_of


@dataclass(frozen=True)
class Work:
    """Work that is the same for all models."""

    do: Callable[[Any], object]
    """Makes a model do the work."""
    amount: int
    unit: str


def classification(config: RunConfig) -> Work:
    """Answers the test split, from tokenised rows in memory to answers in memory, as the test of a run does.

    Raises:
        DataError: the data cannot be found or used.
    """
    data = load_data(config.task, load_tokenizer(config.model), config.data_root, config.cache_dir)
    batch_size = config.trainer.eval_batch_size
    return Work(lambda model: answer(model, config.task, data.test, batch_size), len(data.test), "samples")


def generation(config: RunConfig, prompt_tokens: int, new_tokens: int) -> Work:
    """Generates text greedily, with a cache, from one batch of random prompts. No text ends early.

    Args:
        config: configuration of a task that generates text.
        prompt_tokens: number of tokens in each prompt.
        new_tokens: number of tokens in each generated text.
    """
    shape, generator = (config.trainer.eval_batch_size, prompt_tokens), torch.Generator().manual_seed(config.seed)
    ids = torch.randint(len(load_tokenizer(config.model)), shape, generator=generator).to(device_of(config))
    lengths = {"min_new_tokens": new_tokens, "max_new_tokens": new_tokens}

    def generate(model: Any) -> object:
        with torch.inference_mode():
            return model.backbone.generate(
                input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=True, do_sample=False, **lengths
            )

    return Work(generate, len(ids) * new_tokens, "tokens")
