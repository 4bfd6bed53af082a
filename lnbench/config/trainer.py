"""How a model is tuned."""

from typing import Annotated, Literal

from pydantic import Field

from lnbench.core.schema import Free, Later, Schema

Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(ge=1)]
Rate = Annotated[float, Field(gt=0, le=1)]


class TrainerConfig(Schema):
    """How long, how fast and on what a model is tuned."""

    batch_size: Positive
    """Rows that go through the model at once in training."""
    accumulate: Positive = 1
    """How many times `batch_size` rows make an optimiser step, whose gradient is that of all of them as one batch."""
    eval_batch_size: Positive
    max_epochs: Positive
    max_steps: Positive | None = None
    """Optimiser steps after which training ends, if `max_epochs` has not ended it before."""
    validate_every: Positive | None = None
    """Optimiser steps between two validations; None validates once an epoch."""
    patience: Positive | None = None
    """Validations without improvement after which training stops; None never stops early."""
    lr: Rate | None = None
    """One learning rate for all parts and the head; None takes each part's own."""
    lr_factor: Annotated[float, Field(gt=0)] = 1.0
    """Multiplies the learning rates of all parts; the head keeps its own."""
    head_lr: Rate = 5e-3
    """Of the head, whose states are standardised, so that it suits models of any scale."""
    weight_decay: Fraction = 0.0
    warmup: Fraction = 0.06
    """Share of all optimiser steps over which the learning rate rises linearly from 0."""
    grad_clip: Annotated[float, Field(gt=0)] | None = 1.0
    """Largest L2 norm of the gradient over all trainable parameters."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """`auto`: bf16 on a GPU that has it, fp32 elsewhere."""
    gradient_checkpointing: bool = False
    frozen_dropout: Later[bool] = True
    """Dropout below the lowest layer that is trained, embeddings included; false: all that lies there computes as in
    evaluation, so that its output for a row is the same in every epoch, and need not be computed again."""
    cache_frozen_gib: Free[Annotated[float, Field(ge=0)]] = 2.0
    """Most memory, of the host and not the GPU, that this output may take for all training rows; 0: every epoch
    computes it anew. Numbers are the same up to rounding, as rows are padded otherwise."""
    device: Free[Literal["auto", "cpu", "gpu"]] = "auto"
    devices: Free[Positive | Literal["all"]] = 1
    """Over how many devices of this machine the model is sharded, with a process for each; `all`: its GPUs."""
    on_oom: Free[Literal["fail", "halve"]] = "fail"
    """When memory runs out: fail, or train again with half as many rows at a time. The rows of each step stay the same;
    losses and gradients do up to rounding, except that dropout is drawn anew for the rows that go together."""
    progress: Free[bool] = True
    checkpoint_minutes: Free[Annotated[float, Field(gt=0)]] = 10.0
    """Longest time whose work a killed run can lose."""

    @property
    def step_rows(self) -> int:
        """Rows of an optimiser step; the last of an epoch may have fewer."""
        return self.batch_size * self.accumulate
