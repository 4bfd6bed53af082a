"""One model over several processes, each of which holds a shard of every tensor.

Fully sharded data parallelism (Zhao et al. 2023, arXiv 2304.11277) by torch's `fully_shard`.
"""

from collections.abc import Mapping

from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from lnbench.backbone.backbone import blocks_of
from lnbench.backbone.tuned_model import TunedModel
from lnbench.training.batching import Piece, count_labels


def shard(model: TunedModel, mesh: DeviceMesh) -> None:
    """Keeps in this process, on its device, one shard of every parameter of `model`. One block is gathered at a time.

    The backbone is a unit of its own, because generation calls it without the rest of the model.
    """
    blocks = blocks_of(model.backbone)
    for module in (*blocks, model.backbone, model):
        fully_shard(module, mesh=mesh, reshard_after_forward=True)


def own_part(piece: Piece, rank: int, count: int) -> Piece:
    """The rows of a piece that one of `count` processes trains on.

    Args:
        piece: piece of a batch.
        rank: rank of the process; a process without rows gets the first row with weight 0.
        count: number of processes.
    """
    has_rows = rank < len(piece.rows["labels"])
    taken = slice(rank, None, count) if has_rows else slice(1)
    rows = {name: tensor[taken] for name, tensor in piece.rows.items()}
    return Piece(rows, piece.weight * has_rows * count_labels(rows) / count_labels(piece.rows).clamp(min=1))


def whole(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors, gathered if they are sharded. All processes must call this."""
    detached = {name: tensor.detach() for name, tensor in tensors.items()}
    return {name: value.full_tensor() if isinstance(value, DTensor) else value for name, value in detached.items()}


def shards(tensors: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Cuts whole tensors so that they can replace `targets`, which may be sharded."""
    return {name: shard_as(tensor, targets[name]) if name in targets else tensor for name, tensor in tensors.items()}


def shard_as(tensor: Tensor, target: Tensor) -> Tensor:
    """Cuts from a whole tensor this process's shard of `target`. A scalar is never cut."""
    if not isinstance(target, DTensor) or not tensor.ndim:
        return tensor
    return distribute_tensor(tensor.to(target.device), target.device_mesh, target.placements, src_data_rank=None)
