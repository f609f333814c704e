"""The loaders of a data set for training, validation and test."""

import multiprocessing
import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import islice
from threading import Thread
from typing import Any

import numpy as np
import torch
from lightning import LightningDataModule
from torch.utils.data import DataLoader, Dataset

from gcvideo.data._parallel import default_num_workers
from gcvideo.data.listing._annotation import Annotations
from gcvideo.data.loading._dataset import (
    EvaluationVideos,
    TrainingVideos,
    VideoItem,
    collate_videos,
)
from gcvideo.data.loading._frame_cache import FrameCache
from gcvideo.data.loading._multigrid import MultigridSchedule
from gcvideo.data.loading._protocol import EvaluationProtocol
from gcvideo.data.loading._sampler import EpochBatchSampler, EpochSampler
from gcvideo.data.loading._source import VideoSplits
from gcvideo.data.loading._transform import TrainTransform


class VideoDataModule(LightningDataModule):
    """Loaders over the splits of a data set; views leave the workers as uint8.

    Training batches have ``batch_size`` videos with ``clips_per_video`` views each. Validation uses one
    centre view, the test all views of the protocol; the batches of a whole test come in any order.
    ``batch["problems"]`` says what training could not read; the callback ``gcvideo.training.BadVideos``
    reports and limits it.

    Args:
        splits: annotated videos.
        protocol: views of validation and test, clip sampling of training.
        transform: augmentation of training; None without training.
        batch_size: videos per step and device; with multigrid, of the base shape.
        clips_per_video: views per training video and epoch.
        num_workers: processes per loader; None: one per core, at most 8, none on a single core.
        seed: seed of the order, the clips and the crops.
        pin_memory: whether batches are page-locked, for a CUDA device.
        multigrid: shapes of the training batches; None: all alike. The trainer then needs
            ``reload_dataloaders_every_n_epochs=1``, because epochs differ in their number of batches.
        transforms: augmentations of training by crop in pixels, one for each of
            ``multigrid.crop_sizes``.
        test_batch_size: videos per batch of the test, each with all its views.
        frame_cache_gb: memory for decoded frames of training and validation, in 10^9 bytes per process;
            0: every epoch reads the files. It needs ``num_workers=0``, which None then stands for.

    Raises:
        ValueError: for a batch size below one, a crop of ``multigrid`` without a transform, a negative
            ``frame_cache_gb``, or one beside workers.
    """

    def __init__(  # noqa: PLR0913 - one argument per choice of a recipe
        self,
        splits: VideoSplits,
        *,
        protocol: EvaluationProtocol,
        transform: TrainTransform | None = None,
        batch_size: int = 8,
        clips_per_video: int = 1,
        num_workers: int | None = None,
        seed: int = 0,
        pin_memory: bool = False,
        multigrid: MultigridSchedule | None = None,
        transforms: Mapping[int, TrainTransform] | None = None,
        test_batch_size: int = 1,
        frame_cache_gb: float = 0,
    ) -> None:
        super().__init__()
        for name, size in (("batch_size", batch_size), ("test_batch_size", test_batch_size)):
            if size < 1:
                raise ValueError(f"{name} is {size}; it must be at least 1 video per step")
        self.transforms = dict(transforms or {})
        for crop_size in () if multigrid is None else multigrid.crop_sizes:
            if crop_size not in self.transforms:
                raise ValueError(
                    f"multigrid trains on crops of {crop_size} pixels, the transforms are for "
                    f"{sorted(self.transforms)}; pass one for each of multigrid.crop_sizes"
                )
        self.multigrid = multigrid
        self.splits = splits
        self.protocol = replace(protocol, square_pixels=True) if splits.square_pixels else protocol
        self.transform = transform
        self.batch_size = batch_size
        self.clips_per_video = clips_per_video
        if num_workers is None:
            num_workers = 0 if frame_cache_gb else default_num_workers()
        self.num_workers = num_workers
        self._cache = _frame_cache(frame_cache_gb, num_workers)
        self.seed = seed
        self.pin_memory = pin_memory
        self.test_batch_size = test_batch_size
        self._epoch, self._num_seen = 0, 0
        self._past: Sequence[int] = ()

    def resume(self, epoch: int, num_batches: int, past: Sequence[int] = ()) -> None:
        """Let the next training loader continue in ``epoch`` after its first ``num_batches`` batches.

        ``past`` has the number of batches of each epoch before, which may have had other lists or
        devices. Raises ValueError if the epoch has fewer batches.
        """
        self._epoch, self._num_seen, self._past = epoch, num_batches, past
        if num_batches > self.num_batches(epoch):
            raise ValueError(
                f"the run stopped after batch {num_batches} of epoch {epoch + 1}, but with the listed videos "
                f"the epoch has {self.num_batches(epoch)}; start a new run from its weights with "
                "weights=checkpoint weights.path=..."
            )

    def num_batches(self, epoch: int) -> int:
        """Training batches per rank of an epoch; with multigrid, epochs differ."""
        if epoch < len(self._past):
            return self._past[epoch]
        batches = self._train_batches()
        batches.sampler.set_epoch(epoch)
        return len(batches)

    def train_dataloader(self) -> DataLoader[VideoItem]:
        dataset = self._train_videos(self.seed)
        batches = self._train_batches()
        self._check_batch_size(len(batches.sampler))
        # Workers get their first batches before Lightning tells the sampler its epoch.
        batches.resume(self._epoch, self._num_seen)
        if self.trainer is not None:
            batches.sampler.set_epoch(max(self._epoch, self.trainer.current_epoch))
        return self._loader(dataset, batch_sampler=batches, persistent=True)

    def statistics_dataloader(self, epoch: int, num_batches: int) -> DataLoader[VideoItem]:
        """Training clips for batch norm statistics, different from those that the epoch trains on.

        At most ``num_batches`` per rank, a pure function of (seed, epoch): order, clips and crops have a
        seed of their own, drawn from ``SeedSequence([seed, 1])``. Multigrid plays no part, because the
        statistics are those of validation and test: all clips have the base shape.
        """
        seed = int(np.random.SeedSequence([self.seed, 1]).generate_state(1, np.uint64)[0])
        dataset = self._train_videos(seed)
        sampler = EpochSampler(len(dataset), seed=seed, **self._ranks())
        sampler.set_epoch(epoch)
        batches = islice(EpochBatchSampler(sampler, self.batch_size), num_batches)
        return self._loader(dataset, batch_sampler=[*batches])

    def _train_videos(self, seed: int) -> TrainingVideos:
        if self.transform is None:
            raise ValueError("training needs a transform; pass transform=TrainTransform(...)")
        return TrainingVideos(
            self.splits.train,
            protocol=self.protocol,
            transform=self.transform,
            transforms=self.transforms,
            clips_per_video=self.clips_per_video,
            seed=seed,
            index=self.splits.index,
            time_budget_seconds=self.splits.time_budget_seconds,
            cache=self._cache,
        )

    def _train_batches(self) -> EpochBatchSampler:
        sampler = EpochSampler(len(self.splits.train), seed=self.seed, **self._ranks())
        return EpochBatchSampler(sampler, self.batch_size, self.multigrid)

    def _check_batch_size(self, num_videos: int) -> None:
        if num_videos < self.batch_size:
            raise ValueError(
                f"batch_size is {self.batch_size} but there are only {num_videos} training videos "
                f"per process, so an epoch would be empty; lower batch_size to {num_videos} or less"
            )
        factor = 1 if self.multigrid is None else self.multigrid.largest_factor
        if num_videos < factor * self.batch_size:
            raise ValueError(
                f"multigrid has batches of {factor} x batch_size = {factor * self.batch_size} videos "
                f"but there are only {num_videos} training videos per process, so an epoch would be "
                "empty; lower batch_size, or train without multigrid"
            )

    def val_dataloader(self) -> DataLoader[VideoItem]:
        # In order, because the loss is a sum, and a limited validation uses the first videos.
        return self._shared(self.val_videos(), batch_size=self.batch_size, persistent=True)

    def test_dataloader(self) -> DataLoader[VideoItem]:
        # Results are kept by video, so a slow file need not delay those after it.
        limit = None if self.trainer is None else self.trainer.limit_test_batches
        is_whole = limit is None or (isinstance(limit, float) and limit == 1)  # 1 is one batch
        return self._shared(
            self.test_videos(), batch_size=self.test_batch_size, in_order=not is_whole
        )

    def _shared(self, videos: EvaluationVideos, **options: Any) -> DataLoader[VideoItem]:
        """Every video once over all ranks, in order, without padding: ranks may differ by one video."""
        ranks = self._ranks()
        share = range(ranks["rank"], len(videos), ranks["world_size"])
        return self._loader(videos, sampler=share, **options)

    def val_videos(self) -> EvaluationVideos:
        """The videos of the validation with one centre view."""
        return self._evaluated(self.splits.val, self.protocol.single_view(), cache=self._cache)

    def test_videos(self) -> EvaluationVideos:
        """The videos of the test with all their views."""
        return self._evaluated(self.splits.test, self.protocol)

    def _evaluated(
        self,
        annotations: Annotations,
        protocol: EvaluationProtocol,
        *,
        cache: FrameCache | None = None,
    ) -> EvaluationVideos:
        return EvaluationVideos(
            annotations,
            protocol=protocol,
            index=self.splits.index,
            time_budget_seconds=self.splits.time_budget_seconds,
            cache=cache,
        )

    def _loader(
        self, dataset: Dataset[VideoItem], *, persistent: bool = False, **options: Any
    ) -> DataLoader[VideoItem]:
        return DataLoader(
            dataset,
            persistent_workers=persistent and self.num_workers > 0,
            num_workers=self.num_workers,
            pin_memory=self.pin_memory,
            collate_fn=collate_videos,
            worker_init_fn=_start_worker,
            **options,
        )

    def _ranks(self) -> dict[str, int]:
        if self.trainer is None:
            return {"rank": 0, "world_size": 1}
        return {"rank": self.trainer.global_rank, "world_size": self.trainer.world_size}


def _frame_cache(gigabytes: float, num_workers: int) -> FrameCache | None:
    if gigabytes < 0:
        raise ValueError(f"frame_cache_gb is {gigabytes}; it must be 0 (no cache) or above")
    if gigabytes and num_workers:
        raise ValueError(
            f"frame_cache_gb is {gigabytes} and num_workers is {num_workers}, but each worker would keep "
            "frames of its own; set num_workers=0, because later epochs read no files"
        )
    return FrameCache(int(gigabytes * 1e9)) if gigabytes else None


def _start_worker(worker: int) -> None:
    del worker
    torch.set_num_threads(1)
    # A signal to all processes of a run is for the main one, which needs its workers until it stops. A
    # terminal signals a group of processes; SLURM may signal each.
    if hasattr(os, "setpgrp"):
        os.setpgrp()
    for name in ("SIGINT", "SIGUSR1", "SIGUSR2"):
        if hasattr(signal, name):  # Windows has the first alone
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    if hasattr(signal, "sigwaitinfo"):  # macOS and Windows lack it
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        # Which under a fork server is not the process that this one was copied from.
        parent = multiprocessing.parent_process()
        pid = os.getppid() if parent is None else parent.pid
        Thread(target=_end_for, args=(pid,), daemon=True).start()


def _end_for(parent: int) -> None:
    """End this process on a SIGTERM of its parent, by which a loader ends a worker that does not end."""
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent:
        pass
    os._exit(0)
