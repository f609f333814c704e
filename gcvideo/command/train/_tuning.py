"""The batch size that fills the memory."""

from lightning import Trainer
from lightning.pytorch.tuner.tuning import Tuner

from gcvideo.data import VideoDataModule
from gcvideo.training import VideoClassifier

_MARGIN = 0.05


def tune_batch_size(
    trainer: Trainer, module: VideoClassifier, data: VideoDataModule, *, max_trials: int = 25
) -> int:
    """The largest batch that fits into memory, less 5 %, found by Lightning's tuner.

    The number of videos doubles from 1 until memory runs out, then the gap is halved; each trial is
    three training steps and a validation. ``data`` then has this batch size and ``module`` its views
    per step, from which the learning rate follows; weights are as before. The search ends after
    ``max_trials`` batches that fit.
    """
    if trainer.world_size > 1:
        raise ValueError(
            f"tune_batch_size is true in a run of {trainer.world_size} processes, but memory is measured "
            "in one; run it with trainer.devices=1, then train with the batch_size it finds"
        )
    factor = 1 if data.multigrid is None else data.multigrid.largest_factor
    # One fewer than all: at all of them, Lightning no longer lowers a batch that fails.
    limit = max(1, (len(data.splits.train) - 1) // factor)
    search = Tuner(trainer).scale_batch_size
    size = search(
        module,
        datamodule=data,
        mode="binsearch",
        init_val=1,
        max_trials=max_trials,
        max_val=limit,
        margin=0.0,
    )
    assert size is not None
    if size == limit:
        # Lightning ends at max_val without a trial of it; if it fails, half of it has been tried.
        size = search(
            module,
            datamodule=data,
            mode="power",
            init_val=limit,
            max_trials=1,
            max_val=limit + 1,
        )
        assert size is not None
    data.batch_size = max(1, int(size * (1 - _MARGIN)))
    module.views_per_step = data.batch_size * data.clips_per_video
    return data.batch_size
