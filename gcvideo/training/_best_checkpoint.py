"""The checkpoint of the best validation."""

import math
from pathlib import Path
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from gcvideo._console import Console


def is_validated(trainer: Trainer) -> bool:
    """Whether the epoch has a validation; otherwise what is logged is that of an earlier epoch."""
    interval = trainer.check_val_every_n_epoch
    return interval is None or (trainer.current_epoch + 1) % interval == 0


class BestCheckpoint(ModelCheckpoint):
    """The checkpoint of the validation with the best accuracy so far, ``best.ckpt``.

    Written when the epoch is over, so that a run that is resumed saves the same: of an epoch that
    is validated several times, the last validation counts, after its last batch. Differs from
    ``ModelCheckpoint``, which forgets the best score of a run whose folder was moved, and in epochs
    without a validation looks at scores of earlier ones.

    Args:
        dirpath: folder of the checkpoint.
        monitor: metric of the validations; the larger, the better.

    Raises:
        ValueError: if batches follow the last validation of an epoch.
    """

    def __init__(self, dirpath: str, monitor: str = "val/top1") -> None:
        super().__init__(
            dirpath=dirpath,
            filename="best",
            monitor=monitor,
            mode="max",
            save_on_train_epoch_end=True,
            enable_version_counter=False,
        )

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        interval, num_batches = trainer.val_check_batch, trainer.num_training_batches
        if interval == math.inf or (interval is not None and num_batches % interval == 0):
            return
        raise ValueError(
            f"trainer.val_check_interval is {trainer.val_check_interval} with {num_batches} batches in an "
            "epoch, so some follow the last validation, and the weights at the end of an epoch would be "
            "saved with the score of earlier ones; let it divide the epoch, or leave it at 1.0"
        )

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if is_validated(trainer):
            super().on_train_epoch_end(trainer, pl_module)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over the score with the file in this folder, wherever it was when the state was saved."""
        best = self._here(state_dict["best_model_path"])
        if state_dict["best_model_path"] and not Path(best).is_file():
            Console().print(
                f"warning: '{best}' with {self.monitor} {float(state_dict['best_model_score']):.4f} is gone; "
                "the best epoch will be one of those that follow",
                soft_wrap=True,
            )
            return
        moved = {"dirpath": self.dirpath, "best_model_path": best}
        moved["kth_best_model_path"] = self._here(state_dict["kth_best_model_path"])
        scores = state_dict["best_k_models"]
        moved["best_k_models"] = {self._here(path): score for path, score in scores.items()}
        super().load_state_dict(state_dict | moved)

    def _here(self, path: str) -> str:
        return str(Path(str(self.dirpath)) / Path(path).name) if path else ""
