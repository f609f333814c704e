"""What ranks tell each other: values, decisions, running statistics."""

from typing import Any, TypeVar

import torch
import torch.distributed as dist
from lightning import Trainer
from lightning.pytorch.callbacks import WeightAveraging
from torch import nn

_Value = TypeVar("_Value")


def _are_several() -> bool:
    return dist.is_initialized() and dist.get_world_size() > 1


def gathered(value: _Value) -> list[_Value]:
    """The values of all ranks in their order; all have to ask."""
    if not _are_several():
        return [value]
    values = [value] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values


class RankAgreement:
    """Lets all ranks take the same decision at the same step.

    Asks over a gloo group of its own: on the processors, so that no GPU has to wait.
    """

    def __init__(self) -> None:
        self._group: Any = None

    def any(self, wanted: bool) -> bool:
        """Whether a rank wants it; all ranks have to ask."""
        return bool(self._reduce(int(wanted), dist.ReduceOp.MAX))

    def least(self, number: int) -> int:
        """The smallest number of all ranks; all have to ask."""
        return self._reduce(number, dist.ReduceOp.MIN)

    def _reduce(self, number: int, operation: dist.ReduceOp.RedOpType) -> int:
        if not _are_several():
            return number
        if self._group is None:
            self._group = dist.new_group(backend="gloo")
        numbers = torch.tensor([number])
        dist.all_reduce(numbers, operation, group=self._group)
        return int(numbers.item())


def average_statistics(trainer: Trainer) -> None:
    """Give the batch norms of all ranks the mean of the ranks' running statistics.

    For local batch norms, whose ranks see different clips. Call it on all ranks, before anything
    that looks at the statistics: a validation, a test, a checkpoint. Those of a ``WeightAveraging``
    callback are averaged too.

    With r ranks, batch moments m_k,i of rank k at step i and momentum a, the mean over ranks

        mean_k(s_k,i+1)  =  (1 - a) mean_k(s_k,i) + a mean_k(m_k,i)

    is again a running average, over the batches of all ranks. As this is linear, it makes no
    difference to later statistics when and how often it is taken. Equal statistics (frozen or
    synchronised norms) stay bit for bit as they are.
    """
    if not _are_several():
        return
    callbacks: list[object] = trainer.callbacks  # pyright: ignore[reportAttributeAccessIssue]
    averages = [c._average_model for c in callbacks if isinstance(c, WeightAveraging)]
    statistics = [
        values
        for net in (trainer.lightning_module, *averages)
        if net is not None
        for norm in net.modules()
        if isinstance(norm, nn.modules.batchnorm._NormBase)
        for values in (norm.running_mean, norm.running_var)
        if values is not None
    ]
    if not statistics:
        return
    device = trainer.strategy.root_device
    # Sums of equal float32 numbers are exact in float64.
    total = torch.cat([values.to(device, torch.float64) for values in statistics])
    dist.all_reduce(total)
    means = (total / dist.get_world_size()).split([len(values) for values in statistics])
    for values, mean in zip(statistics, means, strict=True):
        values.copy_(mean)
