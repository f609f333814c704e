"""Batch norm over a group of clips: a part of the local batch, or the batches of several ranks."""

from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributed import ProcessGroup


class _GroupBatchNorm(nn.modules.batchnorm._BatchNorm):
    num_splits: int = 1
    process_group: ProcessGroup | None = None

    def forward(self, input: Float[Tensor, "b c *grid"]) -> Float[Tensor, "b c *grid"]:
        if self.training and self.process_group is not None:
            self._check_input_dim(input)
            return self._normalise_over_ranks(input, self.process_group)
        if self.training and self.num_splits > 1:
            self._check_input_dim(input)
            return self._normalise_splits(input)
        return super().forward(input)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, num_splits={self.num_splits}"

    def _normalise_splits(self, input: Tensor) -> Tensor:
        if len(input) % self.num_splits:
            raise ValueError(
                f"num_splits is {self.num_splits} but the batch holds {len(input)} clips; splits are "
                "equal, so choose num_splits that divides the batch size"
            )
        means, variances, outputs = [], [], []
        for split in input.chunk(self.num_splits):
            # Running statistics with momentum 1 are the statistics of this batch.
            mean = variance = None
            if self.running_mean is not None and self.track_running_stats:
                mean, variance = (torch.zeros_like(self.running_mean) for _ in range(2))
                means.append(mean)
                variances.append(variance)
            outputs.append(
                F.batch_norm(split, mean, variance, self.weight, self.bias, True, 1.0, self.eps)
            )
        if means:
            size = input.numel() // input.shape[1]
            split_size = size // self.num_splits
            mean = torch.stack(means)
            within = torch.stack(variances).mean(0) * ((split_size - 1) / split_size)
            union = within + mean.var(0, correction=0)
            self._track(mean.mean(0), union * (size / (size - 1)))
        return torch.cat(outputs)

    def _normalise_over_ranks(self, input: Tensor, group: ProcessGroup) -> Tensor:
        values = input.to(torch.promote_types(input.dtype, torch.float32))
        axes = [0, *range(2, input.dim())]
        per_channel = (-1, *[1] * (input.dim() - 2))
        size = values.new_full((1,), input.numel() // input.shape[1])
        total = _sum_over_ranks(torch.cat([values.sum(axes), size]), group)
        mean, size = total[:-1] / total[-1], total[-1]
        # Squares after subtracting the mean: E[x^2] - E[x]^2 loses the variance of large values.
        centred = values - mean.view(per_channel)
        variance = _sum_over_ranks(centred.square().sum(axes), group) / size
        scale = torch.rsqrt(variance + self.eps)
        if self.weight is not None:
            scale = scale * self.weight
        output = centred * scale.view(per_channel)
        if self.bias is not None:
            output = output + self.bias.view(per_channel)
        self._track(mean.detach(), variance.detach() * (size / (size - 1)))
        return output.to(input.dtype)

    def _track(self, mean: Tensor, variance: Tensor) -> None:
        if self.running_mean is None or not self.track_running_stats:
            return
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), share)
        self.running_var.lerp_(variance.to(self.running_var.dtype), share)


class GroupBatchNorm3d(_GroupBatchNorm, nn.BatchNorm3d):
    """Batch norm with the training statistics of a group of clips, as ``group_batch_norm`` sets it.

    ``num_splits`` > 1: the local batch is cut into that many runs of neighbouring clips, and each is
    normalised by its own statistics. ``process_group``: the batches of its ranks, which may differ
    in size, are normalised together, in float32 or wider. Running statistics are those that
    ``nn.BatchNorm3d`` takes from all these clips in one batch. State-dict keys, evaluation, and training
    with one split and no group are those of ``nn.BatchNorm3d``.

    Sources: Wu et al., A Multigrid Method for Efficiently Training Video Models (arXiv:1912.00998),
    3.3 (splits); Peng et al., MegDet (arXiv:1711.07240), 3.3 (ranks).
    Differs from PySlowFast's SubBatchNorm3d: its group i holds the clips i, i + num_splits, ..., whose
    strides would cost a copy of each channels-last map and mean the same in shuffled batches. Nothing
    has to be aggregated before evaluation, and the variance of the means of a batch counts, not only that
    of their running values. Differs from ``nn.SyncBatchNorm``, which needs a GPU: runs on every device.
    """


class GroupBatchNorm1d(_GroupBatchNorm, nn.BatchNorm1d):
    """``GroupBatchNorm3d`` for the rows of a non-local block, clip by clip."""


_GROUPED: dict[type[nn.Module], type[_GroupBatchNorm]] = {
    nn.BatchNorm1d: GroupBatchNorm1d,
    nn.BatchNorm3d: GroupBatchNorm3d,
    GroupBatchNorm1d: GroupBatchNorm1d,
    GroupBatchNorm3d: GroupBatchNorm3d,
}


def can_be_grouped(module: nn.Module) -> bool:
    """Whether ``group_batch_norm`` takes it: ``nn.BatchNorm1d`` and ``3d``, but no other subclasses."""
    return type(module) in _GROUPED


def group_batch_norm(
    norm: nn.Module, *, num_splits: int = 1, process_group: ProcessGroup | None = None
) -> None:
    """Let a batch norm take its training statistics from a group of clips.

    The module changes its class but stays the same object, so that hooks, optimizers and lists that hold
    it or its parameters keep working. A group is one of ``num_splits`` equal parts of the local batch, or
    the batches of all ranks of ``process_group``.
    """
    if num_splits < 1:
        raise ValueError(f"num_splits is {num_splits}; it must be at least 1 part of the batch")
    if num_splits > 1 and process_group is not None:
        raise ValueError(
            f"num_splits is {num_splits} in a batch norm over ranks; a group is either a part of a "
            "batch or the batches of ranks: choose num_splits=1 or batch_norm.mode=local"
        )
    if not can_be_grouped(norm):
        raise TypeError(
            f"the norm is a {type(norm).__name__}; pass an nn.BatchNorm1d or nn.BatchNorm3d"
        )
    norm.__class__ = _GROUPED[type(norm)]
    assert isinstance(norm, _GroupBatchNorm)
    norm.num_splits = num_splits
    norm.process_group = process_group


class _SumOverRanks(torch.autograd.Function):
    """Linear, and its own transpose: all its derivatives are sums over ranks."""

    @staticmethod
    def forward(x: Tensor, group: ProcessGroup) -> Tensor:
        total = x.clone()
        dist.all_reduce(total, group=group)
        return total

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ProcessGroup], output: Tensor) -> None:
        ctx.group = inputs[1]

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None]:
        return _sum_over_ranks(grad_outputs[0], ctx.group), None

    @staticmethod
    def jvp(ctx: Any, *grad_inputs: Any) -> Tensor:
        return _sum_over_ranks(grad_inputs[0], ctx.group)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int, None], *args: Any) -> tuple[Tensor, int]:
        return _sum_over_ranks(*args), in_dims[0]


def _sum_over_ranks(x: Tensor, group: ProcessGroup) -> Tensor:
    """The sum; its gradient is the sum of the ranks' gradients, because each rank's loss depends on it."""
    total = _SumOverRanks.apply(x, group)
    assert isinstance(total, Tensor)
    return total
