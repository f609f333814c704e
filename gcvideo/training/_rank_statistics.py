import torch
import torch.distributed as dist
from lightning import Trainer
from lightning.pytorch.callbacks import WeightAveraging
from torch import nn

_NORMS = nn.modules.batchnorm._NormBase


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
    if not (dist.is_initialized() and dist.get_world_size() > 1):
        return
    statistics = [
        values
        for net in _nets(trainer)
        for norm in net.modules()
        if isinstance(norm, _NORMS)
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


def _nets(trainer: Trainer) -> list[nn.Module]:
    callbacks: list[object] = trainer.callbacks  # pyright: ignore[reportAttributeAccessIssue]
    averages = [c._average_model for c in callbacks if isinstance(c, WeightAveraging)]
    return [trainer.lightning_module, *(net for net in averages if net is not None)]
