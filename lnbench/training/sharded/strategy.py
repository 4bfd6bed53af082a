"""The Lightning strategy of a process that trains a sharded model together with others."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from pytorch_lightning.strategies import SingleDeviceStrategy
from pytorch_lightning.utilities import rank_zero_only
from torch import Tensor, distributed
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule
from torch.optim import Optimizer

from lnbench.core.seeding import derive_seed
from lnbench.training.batching import Piece
from lnbench.training.module import TuningModule
from lnbench.training.sharded.sharding import own_part, shard, shard_as, whole

HARMLESS = (
    r"It is recommended to use `self\.log\(.*sync_dist=True",  # the scores of all processes are those of rank 0
    r"FSDP2-wrapped module .* returned a view tensor",  # no head changes this tensor in place
)


class ShardedStrategy(SingleDeviceStrategy):
    """Makes Lightning's Trainer one of the processes that train a sharded model together.

    All processes draw the same batches, and each trains on its own rows of them. All evaluate the same rows, and the
    scores of rank 0 count. Rank 0 alone writes files, with whole tensors, so the files of a run do not depend on the
    number of processes.
    """

    def __init__(self, kind: str) -> None:
        """
        Args:
            kind: `cuda` (this process uses the GPU of its rank in the process group) or `cpu`.
        """
        rank = distributed.get_rank()
        super().__init__(torch.device(kind, rank) if kind == "cuda" else kind)
        self.global_rank = rank
        vars(rank_zero_only)["rank"] = rank
        self.count = distributed.get_world_size()
        """Number of processes. Lightning's `world_size` stays 1, so that it adds no steps of its own."""
        for harmless in HARMLESS:
            warnings.filterwarnings("ignore", harmless)

    @property
    def is_global_zero(self) -> bool:
        """Whether this process writes the files."""
        return self.global_rank == 0

    def model_to_device(self) -> None:
        """Shards the model block by block, so that no device ever holds the whole model."""
        module = self.lightning_module
        assert isinstance(module, TuningModule)
        if not isinstance(module.model, FSDPModule):
            shard(module.model, init_device_mesh(self.root_device.type, (self.count,)))
        super().model_to_device()

    def training_step(self, batch: Sequence[Piece], batch_idx: int) -> Tensor:
        """Returns the loss of the whole batch, and leaves its gradient in the shards of the parameters."""
        if self.global_rank:
            torch.manual_seed(derive_seed(torch.initial_seed(), "process", self.global_rank))
        own = [own_part(piece, self.global_rank, self.count) for piece in batch]
        # `fully_shard` averages the gradients of all processes.
        summed = [piece._replace(weight=piece.weight * self.count) for piece in own]
        loss = super().training_step(summed, batch_idx)
        assert isinstance(loss, Tensor)
        distributed.all_reduce(loss)
        return loss / self.count

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        """The optimiser's state with whole tensors."""
        state: dict[str, Any] = super().optimizer_state(optimizer)
        return {**state, "state": {number: whole(values) for number, values in state["state"].items()}}

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        """Loads this process's part of a state with whole tensors."""
        (optimizer,), (state,) = self.optimizers, checkpoint["optimizer_states"]
        parameters = (parameter for group in optimizer.param_groups for parameter in group["params"])
        numbers = (number for group in state["param_groups"] for number in group["params"])
        shards = {
            number: {name: shard_as(value, parameter) for name, value in state["state"][number].items()}
            for number, parameter in zip(numbers, parameters, strict=True)
        }
        super().load_optimizer_state_dict({"optimizer_states": [{**state, "state": shards}]})

    def broadcast(self, obj: Any, src: int = 0) -> Any:
        """The value of `obj` in process `src`."""
        objects = [obj]
        distributed.broadcast_object_list(objects, src, device=torch.device("cpu"))
        return objects[0]

    def barrier(self, *args: Any, **kwargs: Any) -> None:
        """Waits for all processes."""
        self.reduce_boolean_decision(True)

    def reduce_boolean_decision(self, decision: bool, all: bool = True) -> bool:
        """Whether all processes, or at least one of them, decide so."""
        decisions = torch.tensor(int(decision))
        distributed.all_reduce(decisions, distributed.ReduceOp.MIN if all else distributed.ReduceOp.MAX)
        return bool(decisions)

    def teardown(self) -> None:
        """Leaves the model where it is. Lightning would move it to the CPU between training and test."""
        self.precision_plugin.teardown()
        assert self.accelerator is not None
        self.accelerator.teardown()
