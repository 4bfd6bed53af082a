"""What a language model is asked: losses of targets, and continuations of prompts."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import GenerationConfig, PreTrainedModel

from lnbench.core.schema import parse
from lnbench.tasks.parts.beam_search import BeamSearch
from lnbench.tasks.parts.decoding import generate, left_padded_prompts, row_losses
from lnbench.tasks.tokens.examples import IGNORED
from tests.tasks.builders import new_generation
from tests.tiny import PARTS, VOCABULARY, shake, tiny_generator, tune

END = 2


def test_the_loss_is_the_mean_over_the_target_tokens_by_hand() -> None:
    logits = torch.zeros(2, 4, 3)
    logits[0, 1, 2] = math.log(2)  # p = 2/4 for token 2, then 1/3 for token 0
    labels = torch.tensor([[IGNORED, IGNORED, 2, 0], [IGNORED, 1, IGNORED, IGNORED]])
    expected = [-math.log(2 / 4) - math.log(1 / 3), -math.log(1 / 3)]
    losses = row_losses(logits, labels)
    assert losses["nll"].tolist() == pytest.approx(expected)
    assert losses["tokens"].tolist() == [2, 1]
    assert new_generation().loss(logits, {"labels": labels}).item() == pytest.approx(sum(expected) / 3)


def test_the_prompt_decides_nothing_about_the_loss_but_by_what_the_model_reads() -> None:
    logits = torch.randn(1, 5, 3)
    labels = torch.tensor([[IGNORED, IGNORED, IGNORED, 1, 2]])
    changed = logits.clone()
    changed[:, [0, 1, 4]] = 100.0
    assert torch.equal(
        new_generation().loss(changed, {"labels": labels}), new_generation().loss(logits, {"labels": labels})
    )


def prompts(lengths: tuple[int, ...], targets: tuple[int, ...]) -> dict[str, Tensor]:
    """A batch of random prompts and targets, padded on the right."""
    generator = torch.Generator().manual_seed(0)
    width = max(map(sum, zip(lengths, targets, strict=True)))
    columns, prompt, target = torch.arange(width), torch.tensor(lengths)[:, None], torch.tensor(targets)[:, None]
    mask = columns < prompt + target
    ids = torch.randint(3, VOCABULARY, (len(lengths), width), generator=generator) * mask
    labels = ids.masked_fill(~mask | (columns < prompt), IGNORED)
    return {"input_ids": ids, "attention_mask": mask.long(), "labels": labels}


def test_prompts_are_padded_on_the_left_without_their_targets() -> None:
    batch = prompts((2, 4), (3, 0))
    ids, mask = left_padded_prompts(batch, pad_id=1)
    assert ids.tolist() == [[1, 1, *batch["input_ids"][0, :2].tolist()], batch["input_ids"][1, :4].tolist()]
    assert mask.tolist() == [[0, 0, 1, 1], [1, 1, 1, 1]]


def generator(method: str, architecture: str = "gpt2") -> PreTrainedModel:
    """A tiny decoder with a method that says something else than the model without it."""
    model = tiny_generator(architecture)
    tune(model, method)
    shake(model, scale=0.3)
    model.generation_config = GenerationConfig(eos_token_id=END, pad_token_id=0)
    model.eval()
    return model


def greedy(model: PreTrainedModel, prompt: Tensor, steps: int) -> list[int]:
    """The most likely continuation of one prompt, token by token, without cache and padding."""
    ids = prompt[None]
    for _ in range(steps):
        with torch.inference_mode():
            logits = model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False).logits
        ids = torch.cat([ids, logits[:, -1:].argmax(-1)], dim=1)
        if ids[0, -1] == END:
            break
    return ids[0, len(prompt) :].tolist()


NOT_AS_SHIPPED = {"loreft", "unipelt"}
"""Methods that a language model does not take as they are shipped."""
SUMS = [*(name for name in PARTS if name not in NOT_AS_SHIPPED), "ln+prefix+mha_adapter", "bitfit+prompt"]


@pytest.mark.parametrize(
    ("architecture", "method"),
    [*(("gpt2", method) for method in SUMS), ("llama", "ln+prefix"), ("opt", "ln+prefix"), ("gpt_neox", "ln+prefix")],
)
def test_a_batch_is_continued_as_each_prompt_alone(architecture: str, method: str) -> None:
    model, lengths = generator(method, architecture), (7, 2, 4)
    batch = prompts(lengths, (1, 3, 0))
    search = parse(BeamSearch, {"max_new_tokens": 5, "num_beams": 1, "batch_size": 2})
    together = generate(model, batch, search)
    assert together.shape == (3, 5)
    for row, length in enumerate(lengths):
        alone = greedy(model, batch["input_ids"][row, :length], 5)
        assert together[row].tolist() == alone + [0] * (5 - len(alone))


def test_beams_of_a_batch_are_those_of_each_prompt_alone() -> None:
    model, batch = generator("ln+prefix"), prompts((7, 2, 4), (1, 3, 0))
    search = parse(BeamSearch, {"max_new_tokens": 5, "num_beams": 3, "length_penalty": 2.0})
    alone = [generate(model, {name: row[[i]] for name, row in batch.items()}, search) for i in range(3)]
    assert torch.equal(generate(model, batch, search), torch.cat(alone))


def test_search_follows_its_settings() -> None:
    model, batch = generator("full"), prompts((7, 2, 4), (0, 0, 0))

    def length(**settings: Any) -> int:
        search = parse(BeamSearch, {"max_new_tokens": 12, "num_beams": 4, **settings})
        return int((generate(model, batch, search) != 0).sum())

    model.generation_config.eos_token_id = list(range(20, 60))  # a text often ends early
    assert length(length_penalty=-5.0) < length(length_penalty=5.0)
    model.generation_config.eos_token_id = None
    search = parse(BeamSearch, {"max_new_tokens": 12, "num_beams": 1, "no_repeat_ngram_size": 1})
    assert all(len(set(row)) == 12 for row in generate(model, batch, search).tolist())
