"""Settings of training."""

from typing import Annotated, Literal

from pydantic import Field

from lnbench.core.schema import Free, Later, Schema

Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(ge=1)]
Rate = Annotated[float, Field(gt=0, le=1)]


class TrainerConfig(Schema):
    """Settings of training, such as its length, learning rates, precision and devices."""

    batch_size: Positive
    """Rows that go through the model at once in training."""
    accumulate: Positive = 1
    """Batches per optimiser step. The step's gradient is that of all their rows as one batch."""
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
    """Learning rate of the head beside a method. It suits models of any scale: the head standardises its input."""
    weight_decay: Fraction = 0.0
    warmup: Fraction = 0.06
    """Share of all optimiser steps over which the learning rate rises linearly from 0."""
    grad_clip: Annotated[float, Field(gt=0)] | None = 1.0
    """Largest L2 norm of the gradient over all trainable parameters."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """`auto` is bf16 on a GPU that supports it, else fp32."""
    gradient_checkpointing: bool = False
    frozen_dropout: Later[bool] = True
    """Whether dropout is active below the lowest trained layer, embeddings included. If false, this part computes as in
    evaluation. Its output for a row is then the same in every epoch and can be cached."""
    cache_frozen_gib: Free[Annotated[float, Field(ge=0)]] = 2.0
    """Most host memory (not GPU memory), in GiB, for the cached output of the frozen part for all training rows. 0
    caches nothing. The numbers are the same up to rounding, because rows are padded differently."""
    device: Free[Literal["auto", "cpu", "gpu"]] = "auto"
    devices: Free[Positive | Literal["all"]] = 1
    """Number of devices of this machine over which the model is sharded, one process each. `all` is all its GPUs."""
    on_oom: Free[Literal["fail", "halve"]] = "fail"
    """When memory runs out, fail, or train again with half as many rows at a time. The rows of each step stay the same.
    Losses and gradients are the same up to rounding, except that dropout draws other masks."""
    progress: Free[bool] = True
    checkpoint_minutes: Free[Annotated[float, Field(gt=0)]] = 10.0
    """Most minutes of work that a killed run can lose."""

    @property
    def step_rows(self) -> int:
        """Rows per optimiser step. The last step of an epoch may have fewer."""
        return self.batch_size * self.accumulate
