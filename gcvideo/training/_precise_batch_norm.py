"""Batch norm statistics of the current weights."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import islice
from typing import Any

import torch
from jaxtyping import Float
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import WeightAveraging
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities.seed import isolate_rng
from torch import Tensor, nn

from gcvideo.data import VideoBatch

_BatchNorm = nn.modules.batchnorm._BatchNorm


class PreciseBatchNorm(Callback):
    """Gives batch norms the statistics of the current weights before each validation of a fit.

    Running statistics lag behind the weights and come from few clips. Here ``num_batches`` batches
    of training clips (unmixed) pass the net without gradients, every batch norm in training mode
    and the rest in evaluation mode; then

        running_mean = E[x],    running_var = E[x^2] - E[x]^2

    over all activations of all batches on all ranks. This is the biased variance, as in fvcore,
    where training keeps the mean of unbiased ones; over so many values they agree. Random numbers,
    gradients and ``num_batches_tracked`` stay as they were. Batch norms that are frozen, or keep no
    running statistics, are left alone. Groups of ranks stay, splits of a batch do not: these batches
    have the base shape also under multigrid.

    Averaged weights: a ``WeightAveraging`` callback puts them into the model when the validation
    epoch starts. List this callback after it: the statistics then belong to the averaged weights,
    stay with them in checkpoints, and the weights in training keep their own.

    Source: Wu and Johnson, Rethinking "Batch" in BatchNorm (arXiv:2105.07576), 3.

    Args:
        num_batches: number of batches per rank; fewer if there are not enough training videos.

    Raises:
        ValueError: for ``num_batches`` below 1, a ``WeightAveraging`` callback after this one, or a
            data module without ``statistics_dataloader``.
    """

    def __init__(self, num_batches: int = 200) -> None:
        if num_batches < 1:
            raise ValueError(
                f"num_batches is {num_batches}; precise batch norm needs at least 1 batch, or leave "
                "the callback out"
            )
        self.num_batches = num_batches
        self._learning: list[_BatchNorm] = []

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage != "fit" or not any(isinstance(m, _BatchNorm) for m in pl_module.modules()):
            return
        callbacks: list[Callback] = trainer.callbacks  # pyright: ignore[reportAttributeAccessIssue]
        for callback in callbacks[callbacks.index(self) :]:
            if isinstance(callback, WeightAveraging):
                raise ValueError(
                    f"{type(callback).__name__} comes after PreciseBatchNorm, which would then "
                    "measure the weights in training and not the averaged ones that are validated; "
                    "list PreciseBatchNorm last"
                )
        data: Any = trainer.datamodule  # pyright: ignore[reportAttributeAccessIssue]
        if not hasattr(data, "statistics_dataloader"):
            raise ValueError(
                f"the data come from {type(data).__name__}, but PreciseBatchNorm reads training clips "
                "by statistics_dataloader(epoch, num_batches); train with a VideoDataModule or leave "
                "the callback out"
            )

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: object,
        batch: VideoBatch,
        batch_idx: int,
    ) -> None:
        # When validation starts, the whole model is in evaluation mode and this is lost.
        self._learning = [
            module
            for module in pl_module.modules()
            if isinstance(module, _BatchNorm) and module.training and module.track_running_stats
        ]

    @torch.no_grad()
    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        fitting = trainer.state.fn == TrainerFn.FITTING and not trainer.sanity_checking
        if not (fitting and self._learning):
            return
        data: Any = trainer.datamodule  # pyright: ignore[reportAttributeAccessIssue]
        with isolate_rng(), trainer.precision_plugin.forward_context():
            loader = data.statistics_dataloader(trainer.current_epoch, self.num_batches)
            with _measured(self._learning) as measured:
                num_batches = 0
                for batch in islice(loader, self.num_batches):
                    pl_module(trainer.strategy.batch_to_device(batch)["views"])
                    num_batches += 1
        if num_batches == 0:
            raise ValueError(
                f"num_batches is {self.num_batches} but statistics_dataloader gave none; it must give "
                "at least 1: lower data.batch_size or add training videos"
            )
        for norm, moments in zip(self._learning, measured, strict=True):
            mean, variance, size = moments.reduced(trainer)
            if size == 0:  # the net does not use this layer
                continue
            assert norm.running_mean is not None
            assert norm.running_var is not None
            norm.running_mean.copy_(mean)
            norm.running_var.copy_(variance)


class _Moments:
    """Mean and squared deviations of all values so far, without the cancellation of E[x^2] - E[x]^2.

    Source: Chan, Golub and LeVeque, Updating Formulae and a Pairwise Algorithm for Computing Sample
    Variances (1979).
    """

    def __init__(self, like: Tensor) -> None:
        self.mean = torch.zeros_like(like, dtype=torch.float32)
        self.deviations = torch.zeros_like(self.mean)
        self.size = 0

    def hear(self, norm: nn.Module, inputs: tuple[Float[Tensor, "b c *grid"]]) -> None:
        """Add what a batch norm is about to normalise; a forward pre-hook."""
        x = inputs[0]
        axes = [0, *range(2, x.dim())]
        variance, mean = torch.var_mean(x.float(), axes, correction=0)
        size = x.numel() // x.shape[1]
        self.size += size
        step = mean - self.mean
        self.mean += step * (size / self.size)
        self.deviations += size * (variance + step * (mean - self.mean))

    def reduced(
        self, trainer: Trainer
    ) -> tuple[Float[Tensor, " c"], Float[Tensor, " c"], Float[Tensor, ""]]:
        """Mean, biased variance and number of values per channel over all ranks."""

        def total(x: Tensor) -> Tensor:
            return torch.as_tensor(trainer.strategy.reduce(x, reduce_op="sum"))

        size = total(self.mean.new_tensor(self.size))
        mean = total(self.mean * self.size) / size
        around_mean = self.deviations + self.size * (self.mean - mean).square()
        return mean, total(around_mean) / size, size


@contextmanager
def _measured(norms: Sequence[_BatchNorm]) -> Iterator[list[_Moments]]:
    """Let batch norms normalise by their batch, store nothing of it and report its moments."""
    with ExitStack() as undo:
        measured = []
        for norm in norms:
            assert norm.running_mean is not None
            moments = _Moments(norm.running_mean)
            measured.append(moments)
            undo.callback(norm.register_forward_pre_hook(moments.hear).remove)
            # Splits are made for multigrid's batches; these have the base shape.
            for name, value in (("track_running_stats", False), ("num_splits", 1)):
                if hasattr(norm, name):
                    undo.callback(setattr, norm, name, getattr(norm, name))
                    setattr(norm, name, value)
            undo.callback(norm.train, norm.training)
            norm.train()
        yield measured
