"""Nothing in a training step makes the host wait for a GPU: on tensors without values, to ask for one is an error."""

import pytest
import torch
from torch import Tensor

from lnbench.backbone.tuned_model import inputs_of
from lnbench.config.compose import compose_config, to_plain
from lnbench.config.run import validate
from lnbench.tasks.base import Task
from tests.tiny import DECODERS, EVERY_ARCHITECTURE, is_possible, tiny, tiny_generator, tuned

ROWS, LENGTH = 4, 10
METHOD = "ln+prefix+mha_adapter"
BY_TOKEN, BY_ROW = (ROWS, LENGTH), (ROWS,)


def task_named(name: str) -> Task:
    """A shipped task, of which no data is read."""
    return validate(to_plain(compose_config(f"task={name}", "data_root=none"))).task


def loss(architecture: str, method: str, task: Task, labels: Tensor) -> Tensor:
    """Of one batch, on the device of the labels."""
    backbone = tiny_generator(architecture) if task.backbone == "causal_lm" else tiny(architecture)
    model = tuned(backbone, method, lambda size: task.head(size, "first", 0.1)).to(labels.device)
    ids = torch.ones((ROWS, LENGTH), dtype=torch.int64, device=labels.device)
    batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": labels}
    return task.loss(model(**inputs_of(batch)), batch)


@pytest.mark.parametrize("architecture", EVERY_ARCHITECTURE)
def test_no_architecture_makes_the_host_wait(architecture: str) -> None:
    method = next(one for one in (METHOD, "ln+mha_adapter", "mha_adapter") if is_possible(architecture, one))
    loss(architecture, method, task_named("sst2"), torch.ones(BY_ROW, dtype=torch.int64, device="meta")).backward()


@pytest.mark.parametrize(
    ("task", "shape", "dtype"),
    [
        ("stsb", BY_ROW, torch.float32),
        ("conll2004", BY_TOKEN, torch.int64),
        ("squad", (ROWS, 2), torch.int64),
    ],
)
def test_no_task_makes_the_host_wait(task: str, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    loss("bert", METHOD, task_named(task), torch.ones(shape, dtype=dtype, device="meta")).backward()


@pytest.mark.parametrize("architecture", DECODERS)
def test_no_language_model_makes_the_host_wait(architecture: str) -> None:
    labels = torch.ones(BY_TOKEN, dtype=torch.int64, device="meta")
    method = "ln+mha_adapter" if is_possible(architecture, "ln") else "mha_adapter"
    loss(architecture, method, task_named("e2e_nlg"), labels).backward()


def test_a_question_for_a_value_is_seen() -> None:
    with pytest.raises(RuntimeError, match="meta"):
        bool(torch.ones(2, device="meta").all())
