"""The LightningModule that trains, validates and tests a clip classifier."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from lightning import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.optim import SGD, Optimizer
from torchmetrics import MeanMetric, Metric
from torchmetrics.classification import MulticlassAccuracy

from gcvideo.data import VideoBatch, VideoDataModule
from gcvideo.evaluation import Average, VideoScores, average_views
from gcvideo.evaluation._accuracy import wrong_where_not_finite
from gcvideo.models import ClipClassifier, settle_layout
from gcvideo.training._accumulation import BatchGroups, GroupMean
from gcvideo.training._batch_norm import freeze_batch_norm
from gcvideo.training._evaluation import accuracy_metrics, evaluating
from gcvideo.training._mixing import Mixing, mix_videos
from gcvideo.training._optim import TrainOnly, freeze_trunk, parameter_groups, scaled_lr
from gcvideo.training._rank_exchange import average_statistics
from gcvideo.training._schedule import Schedule, WarmupCosine, fractional_epoch

_SGD = partial(SGD, momentum=0.9)


class VideoClassifier(LightningModule):
    """Training, validation and test of a clip classifier.

    Training: cross-entropy on every view; the gradient of an optimizer step is the mean over all
    views of its batches, however many there are. Validation and test: the scores of a video are the
    average over its views, each video counted once over all devices, which share one set of running
    statistics (``average_statistics``).

    Args:
        model: net with its normalisation.
        classes: names in label order.
        optimizer: maker of an optimizer from parameter groups, such as ``partial(SGD, momentum=0.9)``.
        scheduler: factor on the rates.
        lr: base rate per ``base_batch_size`` views.
        base_batch_size: views per optimizer step for which ``lr`` was found; the rate scales
            linearly with the real number, also in the last step of an epoch, which may have fewer
            batches than are accumulated in others.
        views_per_step: views per batch and device, by default those of
            :class:`~gcvideo.data.VideoDataModule`; the module multiplies it by devices and accumulated batches.
        weight_decay: decay of weights; norms, biases and scalar gains have none.
        block_lr_multiplier: rate of inserted blocks / ``lr``.
        label_smoothing: share of the label spread over all classes.
        mixing: torchvision's MixUp, CutMix or a RandomChoice of them, applied on the device across
            the videos of a batch.
        average: "prob", "logit" or "max" over the views of a video.
        precision: type that validation and test compute in, whatever the training computes in.
        train_only: "all", or "blocks": inserted blocks and head learn, the trunk stays as it is,
            batch statistics included.
        freeze_norms: whether batch norms normalise with the running statistics they start with.
        seed: seed of what is drawn on the device: dropout, mixing. Each batch of each rank starts its own
            stream, a pure function of (seed, rank, epoch, batch), so that a resumed run draws the same.
        product: plain data stored in checkpoints, from which ``gcvideo.load`` rebuilds the model.

    Raises:
        ValueError: for ``train_only="blocks"`` on a net without inserted blocks.
    """

    def __init__(  # noqa: PLR0913 - one argument per choice of a recipe
        self,
        model: ClipClassifier,
        *,
        classes: Sequence[str],
        optimizer: Callable[[list[dict[str, Any]]], Optimizer] = _SGD,
        scheduler: Schedule = WarmupCosine(),
        lr: float = 0.1,
        base_batch_size: int = 64,
        views_per_step: int = 8,
        weight_decay: float = 0.0,
        block_lr_multiplier: float = 1.0,
        label_smoothing: float = 0.0,
        mixing: Mixing | None = None,
        average: Average = "prob",
        precision: torch.dtype = torch.float32,
        train_only: TrainOnly = "all",
        freeze_norms: bool = False,
        seed: int = 0,
        product: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.classes = tuple(classes)
        self.optimizer = optimizer
        self.scheduler = scheduler
        self.lr = lr
        self.base_batch_size = base_batch_size
        self.views_per_step = views_per_step
        self.weight_decay = weight_decay
        self.block_lr_multiplier = block_lr_multiplier
        self.label_smoothing = label_smoothing
        self.mixing = mixing
        self.average: Average = average
        self.precision = precision
        self.train_only = train_only
        self.freeze_norms = freeze_norms
        self.seed = seed
        self.product = product or {}
        self.train_loss = MeanMetric(nan_strategy="ignore")
        self.train_top1 = MulticlassAccuracy(len(self.classes), average="micro")
        self._train_metrics: dict[str, Metric] = {"loss": self.train_loss, "top1": self.train_top1}
        self.val_metrics = accuracy_metrics(len(self.classes), "val/")
        self.val_scores, self.test_scores = VideoScores(), VideoScores()
        self._group_mean = GroupMean()
        self.frozen = freeze_trunk(model, train_only)

    def on_fit_start(self) -> None:
        with self.trainer.precision_plugin.forward_context():
            self._settle_layout()

    def on_test_start(self) -> None:
        with (
            self.trainer.precision_plugin.forward_context(),
            evaluating(self.trainer, self.precision, self.device),
        ):
            self._settle_layout()
        average_statistics(self.trainer)

    def _settle_layout(self) -> None:
        """Choose the layout now: only a run knows device and precision."""
        weight = next(self.model.parameters(), None)
        if weight is None:  # a net that another program computes
            return
        kind, dtype = self.device.type, weight.dtype
        if torch.is_autocast_enabled(kind):
            dtype = torch.get_autocast_dtype(kind)
        settle_layout(self.model, self.device, dtype)

    def on_train_epoch_start(self) -> None:
        for norm in self.frozen:
            norm.eval()
        if self.freeze_norms:
            freeze_batch_norm(self.model)

    def on_train_batch_start(self, batch: VideoBatch, batch_idx: int) -> None:
        words = [self.seed, self.global_rank, self.current_epoch, batch_idx]
        torch.manual_seed(int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0]))
        is_first = batch_idx % self.trainer.accumulate_grad_batches == 0
        self._group_mean.begin(batch["labels"].numel(), is_first=is_first)

    def backward(self, loss: Tensor) -> None:
        super().backward(self._group_mean.weighted(loss))

    def on_after_backward(self) -> None:
        if not self.trainer.fit_loop._should_accumulate():
            self._group_mean.finish(self.parameters(), self.trainer.accumulate_grad_batches)

    def forward(self, views: Tensor) -> Float[Tensor, "b v k"]:
        """Logits as in validation and test."""
        with evaluating(self._trainer, self.precision, self.device):
            return self.model(views)

    def training_step(self, batch: VideoBatch, batch_index: int) -> Tensor:
        views, labels = batch["views"], batch["labels"]
        if self.mixing is None:
            logits = self.model(views).flatten(0, 1)
            targets = labels.flatten()
            self.train_top1(logits, targets)
            self.log("train/top1", self.train_top1, on_step=True, on_epoch=True, prog_bar=True)
        else:
            # Accuracy against mixed labels would mean nothing, so none is kept.
            views, targets = mix_videos(self.mixing, views, labels)
            logits = self.model(views).flatten(0, 1)
        loss = F.cross_entropy(logits.float(), targets, label_smoothing=self.label_smoothing)
        self.log("train/loss_step", loss.detach(), prog_bar=True, sync_dist=True)
        self.train_loss.update(loss.detach(), weight=len(targets))
        self.log("train/loss_epoch", self.train_loss, on_step=False, on_epoch=True)
        return loss

    def on_validation_start(self) -> None:
        average_statistics(self.trainer)

    def on_validation_epoch_start(self) -> None:
        self.val_scores = VideoScores()

    def validation_step(self, batch: VideoBatch, batch_index: int) -> None:
        scores, labels, loss = self._score(batch)
        self.val_metrics.update(wrong_where_not_finite(scores, labels), labels)
        self.val_scores.add(batch["video"], labels, scores)
        self.log("val/loss", loss, batch_size=len(labels), sync_dist=True)

    def on_validation_epoch_end(self) -> None:
        # Computed over all ranks already; the mean of equal values spares Lightning's warning.
        self.log_dict(self.val_metrics.compute(), prog_bar=True, sync_dist=True)
        self.val_metrics.reset()
        self.val_scores.gather()  # now, so that a checkpoint has those of all ranks

    def test_step(self, batch: VideoBatch, batch_index: int) -> None:
        scores, labels, _ = self._score(batch)
        self.test_scores.add(batch["video"], labels, scores)

    def on_test_epoch_start(self) -> None:
        self.test_scores = VideoScores()

    def on_test_epoch_end(self) -> None:
        self.test_scores.gather()
        self.log_dict(self.test_metrics(), sync_dist=True)

    def test_metrics(self) -> dict[str, float]:
        """Accuracies of the gathered scores, so that they do not depend on the number of ranks."""
        metrics = accuracy_metrics(len(self.classes), "test/")
        scores, labels = self.test_scores.scores(), self.test_scores.labels()
        found = metrics(wrong_where_not_finite(scores, labels), labels)
        return {name: float(value) for name, value in found.items()}

    def _score(self, batch: VideoBatch) -> tuple[Tensor, Tensor, Tensor]:
        labels = batch["labels"][:, 0]
        scores = average_views(self(batch["views"]), self.average)
        return scores, labels, F.nll_loss(scores.clamp_min(1e-12).log(), labels)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        trainer = self.trainer
        # The rate of a step with all its batches.
        full_step = self.views_per_step * trainer.world_size * trainer.accumulate_grad_batches
        optimizer = self.make_optimizer(full_step)
        if not isinstance(trainer.datamodule, VideoDataModule):  # pyright: ignore[reportAttributeAccessIssue]
            _ = trainer.estimated_stepping_batches  # looks at the loader, which other data need
        num_epochs, groups = trainer.max_epochs or 1, BatchGroups.of(trainer)
        steps_per_epoch = groups.steps_per_epoch

        def factor(step: int) -> float:
            epoch = fractional_epoch(step, steps_per_epoch)
            share = groups.size(step) / groups.accumulated
            return share * self.scheduler.factor(epoch, float(num_epochs))

        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }

    def make_optimizer(self, num_views: int, model: ClipClassifier | None = None) -> Optimizer:
        """An optimizer of the model, or of a copy of it, with the rate for steps of so many views."""
        groups = parameter_groups(
            (model or self.model).net,
            lr=scaled_lr(self.lr, self.base_batch_size, num_views),
            weight_decay=self.weight_decay,
            block_lr_multiplier=self.block_lr_multiplier,
        )
        try:
            return self.optimizer(groups)
        except TypeError as error:
            raise ValueError(f"the optimizer does not take its arguments: {error}") from error

    @property
    def total_batch_size(self) -> int:
        """Views per optimizer step over all devices and accumulated batches that an epoch has."""
        return self.views_per_step * self.trainer.world_size * BatchGroups.of(self.trainer).largest

    @property
    def learning_rate(self) -> float:
        """Base rate after linear scaling."""
        return scaled_lr(self.lr, self.base_batch_size, self.total_batch_size)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["gcvideo"] = self.product
        checkpoint["val_scores"] = self.val_scores.state()
        states = checkpoint["train_metrics"] = {}
        for name, metric in self._train_metrics.items():
            with metric.sync_context():
                states[name] = {
                    key: torch.as_tensor(value).clone()
                    for key, value in metric.metric_state.items()
                }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if "val_scores" in checkpoint:  # it may be older
            self.val_scores = VideoScores.of_state(checkpoint["val_scores"])
        if self.global_rank > 0:
            return  # the state is the sum over all ranks
        for name, metric in self._train_metrics.items():
            for key, value in checkpoint["train_metrics"][name].items():
                setattr(metric, key, value.to(metric.device))
            metric._update_count = 1

    def on_train_start(self) -> None:
        self.on_train_epoch_start()  # a run resumed in the middle of an epoch has none
        if self.trainer.fit_loop.epoch_loop.val_loop.restarted_mid_evaluation:
            # Resumed between the last batch and the validation: there is no step to log these again.
            self.log("train/loss_epoch", self.train_loss, on_epoch=True)
            if self.mixing is None:
                self.log("train/top1_epoch", self.train_top1, on_epoch=True)
