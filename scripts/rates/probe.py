"""The linear probe: the best linear layer on the untouched model's states. Any method should reach its score."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import LBFGS

from lnbench.backbone.tuned_model import TunedModel, inputs_of
from lnbench.config.run import RunConfig
from lnbench.run.execute import load_model_and_data
from lnbench.tasks.base import Task
from lnbench.tasks.data.load import TaskData
from lnbench.tasks.parts.heads import Head, TokenHead
from lnbench.tasks.question_answering import ExtractiveQA
from lnbench.training.batching import EvalLoader
from lnbench.training.evaluation import answer

DECAYS = (1e-4, 1e-3, 1e-2, 1e-1)
"""Factors of half the squared norm of the weights; the validation split chooses one."""


def probe(config: RunConfig) -> list[dict[str, Any]]:
    """Minimises the training loss by L-BFGS; returns the test predictions.

    Args:
        config: configuration of a run of `head` in fp32.

    Raises:
        SystemExit: the task's loss has no such minimum.
    """
    task = config.task
    model, data = load_model_and_data(config)
    head = model.head
    if not isinstance(head, Head) or isinstance(task, ExtractiveQA):
        raise SystemExit(f"{task.name}: there is no linear probe for a task of this kind")
    states, labels = _training_data(model, head, data)
    layers = [_fit(head, states, lambda logits: task.loss(logits, {"labels": labels}), decay) for decay in DECAYS]
    best = max if task.mode == "max" else min
    chosen = best(layers, key=lambda one: task.score(_predict(model, head, one, task, data, "validation"))[task.metric])
    return _predict(model, head, chosen, task, data, "test")


def _training_data(model: TunedModel, head: Head, data: TaskData) -> tuple[Tensor, Tensor]:
    """Standardised states (..., N, D) float64, and their labels. All tokens of the data count as those of one row."""
    states, labels = [], []
    with torch.inference_mode():
        for batch in EvalLoader(data.train, 64):
            mask = batch["attention_mask"]
            states.append(head.read(model.backbone(**inputs_of(batch)), mask))
            labels.append(batch["labels"][mask.bool()] if isinstance(head, TokenHead) else batch["labels"])
        together = (torch.cat(states).double() - head.mean) / head.scale
    found = together.clone(), torch.cat(labels).clone()
    return (found[0][None], found[1][None]) if isinstance(head, TokenHead) else found


def _fit(head: Head, states: Tensor, loss_of: Callable[[Tensor], Tensor], decay: float) -> nn.Linear:
    layer = nn.Linear(head.classifier.in_features, head.classifier.out_features, dtype=torch.float64)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    optimiser = LBFGS(layer.parameters(), max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = loss_of(layer(states)) + decay / 2 * layer.weight.square().sum()
        loss.backward()
        return loss

    optimiser.step(closure)
    return layer


def _predict(
    model: TunedModel, head: Head, layer: nn.Linear, task: Task, data: TaskData, split: str
) -> list[dict[str, Any]]:
    head.classifier.load_state_dict(layer.state_dict())
    examples = data.splits[split]
    return task.predictions(answer(model, task, examples, 64), data.frames[split], examples)
