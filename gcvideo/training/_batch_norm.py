"""Which clips share batch norm statistics: a part of a batch, a rank's batch, or those of several ranks."""

import math
from typing import Literal

import torch.distributed as dist
from lightning.pytorch.plugins.layer_sync import LayerSync
from torch import nn

from gcvideo.nn._batch_norm import can_be_grouped, group_batch_norm

BatchNormMode = Literal["local", "sync", "frozen"]

MIN_CLIPS_PER_GROUP = 8


class BatchNormGroups(LayerSync):
    """Lightning plugin: batch norms normalise the batches of several ranks together.

    Pass it as ``Trainer(plugins=[BatchNormGroups()])`` and leave ``sync_batchnorm`` at False, which
    selects Lightning's own plugin. Lightning applies it when a fit on several ranks starts and
    reverts it at its end; on one rank it does nothing. On NCCL a batch norm becomes torch's
    ``nn.SyncBatchNorm``, elsewhere a ``GroupBatchNorm3d`` or ``1d``. Modules stay the same objects,
    so what is frozen stays frozen.

    Args:
        group_size: number of neighbouring ranks per group; None: all ranks.

    Raises:
        ValueError: if ``group_size`` is below 1 or does not divide the number of ranks.
    """

    def __init__(self, group_size: int | None = None) -> None:
        if group_size is not None and group_size < 1:
            raise ValueError(
                f"batch_norm.group_size is {group_size}; it must be at least 1 rank, or null for all"
            )
        self.group_size = group_size
        self._converted: list[tuple[nn.Module, type[nn.Module]]] = []

    def apply(self, model: nn.Module) -> nn.Module:
        if not dist.is_initialized():
            return model
        check_group_size(self.group_size, dist.get_world_size())
        group = dist.group.WORLD
        if self.group_size not in (None, dist.get_world_size()):
            group = dist.new_subgroups(self.group_size)[0]
        if dist.get_world_size(group) == 1:
            return model
        on_nccl = "nccl" in dist.get_backend(group)
        for norm in model.modules():
            if not can_be_grouped(norm):
                continue
            self._converted.append((norm, type(norm)))
            num_splits = getattr(norm, "num_splits", 1)
            group_batch_norm(norm, num_splits=num_splits, process_group=group)
            if on_nccl:
                # Its class is all that convert_sync_batchnorm would change, in a copy of the module.
                norm.__class__ = nn.SyncBatchNorm
        return model

    def revert(self, model: nn.Module) -> nn.Module:
        for norm, former in self._converted:
            norm.__class__ = former
            # An attribute of the instance: nn.BatchNorm3d knows no groups.
            del norm.process_group
        self._converted = []
        return model


def check_group_size(group_size: int | None, world_size: int) -> None:
    """Raise ValueError unless ``group_size``, in ranks, divides ``world_size``; None is all ranks."""
    if group_size is not None and world_size % group_size:
        divisors = [str(n) for n in range(1, world_size + 1) if world_size % n == 0]
        raise ValueError(
            f"batch_norm.group_size is {group_size} but there are {world_size} ranks; groups are "
            f"equal, so choose one of {', '.join(divisors)}, or null for all ranks"
        )


def set_num_splits(net: nn.Module, num_splits: int) -> None:
    """Let all batch norms of a net normalise equal parts of the local batch, as multigrid needs.

    Changes the modules in place, also during training; see ``GroupBatchNorm3d``.

    Raises:
        ValueError: for ``num_splits`` below 1, or above 1 where statistics are taken over ranks.
    """
    for norm in net.modules():
        group = getattr(norm, "process_group", None)
        over_ranks = group is not None or isinstance(norm, nn.SyncBatchNorm)
        if over_ranks and num_splits > 1:
            raise ValueError(
                f"num_splits is {num_splits} but the batch norms take their statistics over ranks; "
                "a group is either a part of a batch or the batches of ranks: choose "
                "batch_norm.mode=local"
            )
        if not over_ranks and can_be_grouped(norm):
            group_batch_norm(norm, num_splits=num_splits)


def freeze_batch_norm(net: nn.Module) -> None:
    """Let all batch norms of a net use and keep their running statistics in training.

    Weight and bias go on learning, as in mmaction2 (``norm_eval=True``) and PySlowFast
    (``MODEL.FROZEN_BN``). A later ``net.train()`` ends it: call it when an epoch starts.
    """
    for module in net.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()


def clips_per_group(
    mode: BatchNormMode,
    views_per_rank: int,
    *,
    world_size: int,
    group_size: int | None = None,
) -> float:
    """Clips that share one set of batch statistics; infinite where none are taken.

    ``views_per_rank`` are those of one forward pass on one device; ``group_size`` counts the ranks that
    mode "sync" takes together, None is all.
    """
    if mode == "frozen":
        return math.inf
    if mode == "local":
        return views_per_rank
    return views_per_rank * (group_size or world_size)


def small_group_warning(clips: float) -> str | None:
    """A warning about batch statistics over fewer than 8 clips; None for more.

    Source: Wu and He, Group Normalization (arXiv:1803.08494), Figure 1: the error of batch norm rises
    ever faster below 16 images per group. The limit of 8 is ours.
    """
    if clips >= MIN_CLIPS_PER_GROUP:
        return None
    return (
        f"batch norm takes its statistics from {clips:g} clips, fewer than {MIN_CLIPS_PER_GROUP}, "
        "which costs accuracy; set batch_norm.mode=sync on several devices, raise batch_size, add "
        "batch_norm.precise_batches=200, or fine-tune with batch_norm.mode=frozen"
    )
