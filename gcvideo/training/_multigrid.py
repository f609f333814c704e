"""Training on the shapes of multigrid."""

from dataclasses import dataclass, replace
from typing import Any

from lightning import Callback, LightningModule, Trainer

from gcvideo._console import Console
from gcvideo.data.loading._multigrid import BatchShape, MultigridSchedule
from gcvideo.models import Head, trim_freed_memory
from gcvideo.training._batch_norm import set_num_splits
from gcvideo.training._schedule import WarmupCosine, WarmupSteps


@dataclass(frozen=True, kw_only=True)
class MultigridRate:
    """The rate of a recipe in proportion to the batch size of the long cycle.

        factor(e) = b(e) / B * recipe(e),    b / B = batch size of the long-cycle shape / base

    ``WarmupSteps`` drops at the milestones of the multigrid schedule, which replace its own;
    ``WarmupCosine`` is spread over all epochs of the run, where the paper has steps only. The short
    cycle changes nothing. The warm-up keeps its epochs and goes linearly from the recipe's start to
    the factor at its end, as in PySlowFast.
    Source: Wu et al., A Multigrid Method for Efficiently Training Video Models (arXiv:1912.00998), 3.

    Args:
        scheduler: schedule of the recipe.
        multigrid: shapes of the run.
    """

    scheduler: WarmupCosine | WarmupSteps
    multigrid: MultigridSchedule

    def factor(self, epoch: float, num_epochs: float) -> float:
        warmup_epochs, start = self.scheduler.warmup_epochs, self.scheduler.start
        if epoch < warmup_epochs:
            end = self._after_warmup(warmup_epochs, num_epochs)
            return start + (end - start) * epoch / warmup_epochs
        return self._after_warmup(epoch, num_epochs)

    def _after_warmup(self, epoch: float, num_epochs: float) -> float:
        recipe = replace(self.scheduler, warmup_epochs=0.0)
        if isinstance(recipe, WarmupSteps):
            recipe = replace(recipe, milestones=self.multigrid.milestones)
        return self.multigrid.long_cycle(epoch).factor * recipe.factor(epoch, num_epochs)


class MultigridCycle(Callback):
    """Fits the net to the multigrid shapes of the data module, and says when they change.

    Batch norms take statistics over ``bn_base_size`` clips: the batch of the long-cycle shape on a
    rank is cut into equal groups of at least as many, and those of the short cycle into the same
    number of groups. With fewer clips per rank the statistics stay local, where PySlowFast takes them
    over ranks. Windowed heads average over the whole map in training, for their windows have the
    size of the base crop, where both agree. Validation has the base shape and finds the head and the
    groups that belong to it.

    On a CPU, freed memory is returned to the system when the shape changes (Linux).

    With ``trainer.benchmark=true`` cuDNN times its algorithms anew for every shape, and a compiled
    net is recompiled: the first batches of a shape are slow.
    Source: Wu et al., A Multigrid Method for Efficiently Training Video Models (arXiv:1912.00998), 3.

    Raises:
        ValueError: if the data module has no multigrid, or the trainer another number of epochs or
            loaders that it keeps.
    """

    def __init__(self) -> None:
        self._shown: BatchShape | None = None
        self._head_modes: dict[Head, Any] = {}
        self._console = Console()

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage != "fit":
            return
        multigrid = _data(trainer).multigrid
        if multigrid is None:
            raise ValueError(
                "the data module's multigrid is None, so there is no cycle to follow; pass "
                "VideoDataModule(multigrid=...) or leave MultigridCycle out"
            )
        reloaded = trainer.reload_dataloaders_every_n_epochs  # pyright: ignore[reportAttributeAccessIssue]
        if reloaded != 1:
            raise ValueError(
                f"reload_dataloaders_every_n_epochs is {reloaded}, but multigrid epochs differ in their "
                "number of batches; set trainer.reload_dataloaders_every_n_epochs=1"
            )
        if trainer.max_epochs != multigrid.num_epochs:
            raise ValueError(
                f"max_epochs is {trainer.max_epochs}, but the multigrid schedule is for "
                f"{multigrid.num_epochs} epochs; set trainer.max_epochs={multigrid.num_epochs}"
            )
        self._head_modes = {m: m.mode for m in pl_module.modules() if isinstance(m, Head)}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # A run that is resumed in the middle of an epoch does not start that epoch.
        self.on_train_epoch_start(trainer, pl_module)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._fit_training(trainer, pl_module)
        shape = _data(trainer).multigrid.long_cycle(trainer.current_epoch)
        if shape != self._shown:
            # Feature maps of another shape do not fit into what the last ones left.
            trim_freed_memory()
        if trainer.is_global_zero and shape != self._shown:
            clip = shape.clip
            self._console.print(
                f"multigrid  from epoch {trainer.current_epoch + 1}: {shape.factor} x batch size, "
                f"{clip.num_frames} x {clip.crop_size} x {clip.crop_size}, sampling rate "
                f"{clip.sampling_rate}, {self._num_splits(trainer, shape.factor)} groups in batch norm",
                soft_wrap=True,
            )
        self._shown = shape

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._fit_evaluation(trainer, pl_module)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._fit_training(trainer, pl_module)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._fit_evaluation(trainer, pl_module)

    def _fit_training(self, trainer: Trainer, pl_module: LightningModule) -> None:
        factor = _data(trainer).multigrid.long_cycle(trainer.current_epoch).factor
        set_num_splits(pl_module, self._num_splits(trainer, factor))
        for head in self._head_modes:
            head.configure("adaptive", head.pool_size)

    def _fit_evaluation(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # Precise batch norm normalises batches of the base shape while it measures them.
        set_num_splits(pl_module, self._num_splits(trainer, 1))
        for head, mode in self._head_modes.items():
            head.configure(mode, head.pool_size)

    @staticmethod
    def _num_splits(trainer: Trainer, factor: int) -> int:
        data = _data(trainer)
        num_clips = data.batch_size * data.clips_per_video * factor
        num_splits = max(1, num_clips // data.multigrid.bn_base_size)
        return next(n for n in range(num_splits, 0, -1) if num_clips % n == 0)


def _data(trainer: Trainer) -> Any:
    return trainer.datamodule  # pyright: ignore[reportAttributeAccessIssue]
