"""What a training takes, measured on this machine before it begins."""

import copy
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import cast

from omegaconf import DictConfig
from torch import Tensor

from gcvideo.command._device import device_of
from gcvideo.command.train._estimation import Estimate
from gcvideo.command.train._loading_time import LoadingTime, time_loading
from gcvideo.command.train._plan import TrainingPlan, plan_training
from gcvideo.command.train._step_time import Precision, StepTime, time_step, time_view
from gcvideo.data import TrainingVideos, VideoDataModule
from gcvideo.data.loading._multigrid import ClipShape
from gcvideo.models import (
    Head,
    checkpoint_activations,
    compile_net,
    count_cost,
)
from gcvideo.models._memory import TrainingMemory, count_memory
from gcvideo.training import VideoClassifier, scaled_lr


def measure(
    cfg: DictConfig,
    data: VideoDataModule,
    module: VideoClassifier,
    *,
    step_seconds: float | None = None,
    loading: LoadingTime | None = None,
) -> Estimate:
    """What a training will take; nothing is written, and the module is left as it is.

    Steps, clips, weights and optimizer state are exact; activations are those that autograd keeps.
    What is not given is measured here: a step with its work space, and up to 16 training videos on one core.
    Under multigrid, that step has the base shape; others take time in proportion to their MACs, and the
    memory is that of the largest.
    """
    precision = Precision.of_trainer(cfg.trainer.precision)
    base = ClipShape(data.protocol.num_frames, 1, cfg.crop_size)
    plan = plan_training(cfg.trainer, data, statistics_batches=cfg.batch_norm.precise_batches)
    module = _prepared(module, cfg)
    shapes = {None: base} | {clip: clip or base for _, clip in plan.batches}
    net = module.model.net
    costs = {clip: count_cost(net, s.num_frames, s.crop_size) for clip, s in shapes.items()}
    if cfg.activation_checkpointing:
        checkpoint_activations(net)
    model = module.model.to(precision.weights)
    make_optimizer = partial(module.make_optimizer, plan.clips_per_step)
    count = partial(count_memory, model, make_optimizer=make_optimizer, autocast=precision.autocast)
    memory = max(
        (
            count(
                num_clips=videos * plan.clips_per_video,
                num_frames=shapes[clip].num_frames,
                crop_size=shapes[clip].crop_size,
                in_buckets=plan.num_devices > 1,
                has_average=cfg.ema is not None,
            )
            for videos, clip in plan.batches
        ),
        key=lambda memory: memory.total,
    )
    val_crop_size = data.protocol.single_view().crop_size
    val_area = (val_crop_size / base.crop_size) ** 2
    if step_seconds is None:
        model.to(device_of(cfg.trainer))
        if cfg.compile:
            compile_net(net)
        step = time_step(
            model,
            make_optimizer(model),
            num_clips=plan.clips_per_batch,
            num_frames=base.num_frames,
            crop_size=base.crop_size,
            autocast=precision.autocast,
            # Work space comes on top of what is kept.
            bytes_per_clip=2 * memory.total // plan.clips_per_batch,
            batches=_batches(data) if data.num_workers == 0 and data.multigrid is None else None,
        )
        if step.peak_bytes is not None:
            timed = count(
                num_clips=step.num_clips, num_frames=base.num_frames, crop_size=base.crop_size
            )
            memory = replace(memory, work_space=_work_space(step, timed, plan))
        view_seconds = time_view(
            model, num_frames=base.num_frames, crop_size=val_crop_size, dtype=module.precision
        )
        forward_seconds = view_seconds / val_area
    else:
        step = StepTime(step_seconds, "as given")
        # A forward pass is a third of a step, in one precision.
        forward_seconds = step.seconds / plan.clips_per_batch / 3
    return Estimate(
        plan=plan,
        learning_rate=scaled_lr(module.lr, module.base_batch_size, plan.clips_per_step),
        cost=costs[None],
        memory=memory,
        step=step,
        loading=loading or time_loading(data, plan.num_epochs),
        num_workers=data.num_workers,
        val_area=val_area,
        forward_seconds=forward_seconds,
        relative_macs={clip: found.macs / costs[None].macs for clip, found in costs.items()},
    )


def _prepared(module: VideoClassifier, cfg: DictConfig) -> VideoClassifier:
    """A copy in the modes in which it is trained."""
    module = copy.deepcopy(module).train()
    for norm in module.frozen:
        norm.eval()
    for head in module.modules():
        if cfg.multigrid is not None and isinstance(head, Head):  # as MultigridCycle has it
            head.configure("adaptive", head.pool_size)
    return module


def _work_space(step: StepTime, timed: TrainingMemory, plan: TrainingPlan) -> int:
    """What a step took beyond what is kept, for a batch of the base shape."""
    assert step.peak_bytes is not None
    found = max(0, step.peak_bytes - (timed.total - timed.weights))
    return found * plan.clips_per_batch // step.num_clips


def _batches(data: VideoDataModule) -> Iterator[Tensor]:
    """Views of training batches without end; frames are not kept."""
    while True:
        loader = data.train_dataloader()
        cast(TrainingVideos, loader.dataset).cache = None
        for batch in loader:
            yield batch["views"]
