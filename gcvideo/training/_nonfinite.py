"""Losses that are infinite or NaN."""

import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn

from gcvideo.data import VideoBatch
from gcvideo.training._rank_exchange import RankAgreement, gathered

_NORMS = nn.modules.batchnorm._NormBase


class NonFiniteLossError(FloatingPointError):
    """A loss that is infinite or NaN, found before it has reached any weight."""


class FiniteLoss(Callback):
    """Stops a run on an infinite or NaN loss, before its step, and names the videos of the batch.

    Weights, optimizer and running statistics are left as they were before the batch, so that the
    checkpoint which ``ProgressCheckpoint`` then writes shows the fault again when it is resumed.

    Raises:
        NonFiniteLossError: on all ranks alike.
    """

    def __init__(self) -> None:
        self._agreement = RankAgreement()
        self._batch: VideoBatch | None = None
        self._buffers: list[Tensor] = []
        self._before: list[Tensor] = []

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        norms = [module for module in pl_module.modules() if isinstance(module, _NORMS)]
        self._buffers = [buffer for norm in norms for buffer in norm.buffers()]
        self._before = [buffer.clone() for buffer in self._buffers]

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: VideoBatch, batch_idx: int
    ) -> None:
        self._batch = batch
        if batch_idx % trainer.accumulate_grad_batches == 0:
            _copy(self._buffers, self._before)

    def on_before_backward(
        self, trainer: Trainer, pl_module: LightningModule, loss: Tensor
    ) -> None:
        finite = bool(torch.isfinite(loss.detach()).all())
        if not self._agreement.any(not finite):
            return
        _copy(self._before, self._buffers)
        assert self._batch is not None
        listed = trainer.datamodule.splits.train  # pyright: ignore[reportAttributeAccessIssue]
        shown = [] if finite else torch.as_tensor(self._batch["video"]).tolist()
        videos = [listed.path(video) for share in gathered(shown) for video in share]
        raise NonFiniteLossError(
            f"the loss is not finite at step {trainer.global_step} of epoch "
            f"{trainer.current_epoch + 1}, on the videos {videos}; nothing was learned from them. Lower "
            "lr, set trainer.gradient_clip_val, or use trainer.precision=32-true: a run resumed with "
            "either of the last two continues before this step"
        )


def _copy(source: list[Tensor], target: list[Tensor]) -> None:
    if source:
        torch._foreach_copy_(target, source)  # pyright: ignore[reportPrivateImportUsage]
