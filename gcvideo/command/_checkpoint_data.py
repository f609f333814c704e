"""The views and the videos that a checkpoint is tested on."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from gcvideo._console import Console
from gcvideo._construction import construct
from gcvideo.command._readability import bad_videos_error, unreadable_videos
from gcvideo.data import EvaluationProtocol, VideoDataModule, VideoReadError, VideoSplits
from gcvideo.data.listing._video_folder import held_out_source
from gcvideo.inference import Checkpoint

_CONSOLE = Console()
_GEOMETRY = ("num_clips", "num_crops", "num_frames", "sampling_rate", "short_side", "crop_size")


def checkpoint_protocol(cfg: DictConfig, checkpoint: Checkpoint) -> EvaluationProtocol:
    """The protocol that a configuration names, or else that of the checkpoint.

    Pixels are made square where the data, the protocol or the training of the checkpoint asks for it.

    Args:
        cfg: has ``protocol``, ``packages``, and the geometry of the views: ``num_clips``,
            ``num_crops``, ``num_frames``, ``sampling_rate``, ``short_side`` and ``crop_size``. What
            of it is None is filled in from the training.
        checkpoint: that the views are for.
    """
    for name in _GEOMETRY:
        if cfg[name] is None:
            cfg[name] = checkpoint.config[name]
    if cfg.protocol is None:
        built = checkpoint.build_protocol(list(cfg.packages))
    else:
        built = cast(EvaluationProtocol, instantiate(cfg.protocol, _convert_="all"))
    square_pixels = (
        built.square_pixels
        or checkpoint.protocol.get("square_pixels", False)
        or OmegaConf.select(cfg, "data.square_pixels", default=False)
    )
    return replace(
        built.with_views(cfg.num_clips, cfg.num_crops), square_pixels=bool(square_pixels)
    )


def checkpoint_splits(cfg: DictConfig, checkpoint: Checkpoint, split: str = "test") -> VideoSplits:
    """The videos that a configuration names, or else those that the checkpoint was trained on.

    Args:
        cfg: has ``data``, which may be None, and ``packages``.
        checkpoint: gives its classes to data that names none.
        split: that is wanted. The test split of a root of class folders, of which ``data`` names no
            split, is its folder test, else val, else all of it.

    Raises:
        ValueError: if nobody names videos, or their classes are not those of the checkpoint.
    """
    if cfg.data is None and "data" not in checkpoint.config:
        raise ValueError(
            f"'{checkpoint.path}' was not trained here, so it names no videos to test on; give data=..., "
            "such as data=kinetics400 data.root=/data/k400"
        )
    if cfg.data is None:
        splits = cast(
            VideoSplits, construct(checkpoint.config["data"], packages=list(cfg.packages))
        )
    else:
        if "classes" in cfg.data and cfg.data.classes is None:
            cfg.data.classes = list(checkpoint.classes)
        if split == "test":
            _test_on_all(cfg.data, checkpoint)
        splits = cast(VideoSplits, instantiate(cfg.data, _convert_="all"))
    if splits.classes != checkpoint.classes:
        raise ValueError(
            f"the checkpoint knows {len(checkpoint.classes)} classes ({_some(checkpoint.classes)}), the "
            f"data has {len(splits.classes)} ({_some(splits.classes)}); the labels would not mean the "
            "same: test on data with the same classes in the same order"
        )
    return splits


def _test_on_all(data: DictConfig, checkpoint: Checkpoint) -> None:
    if not {"train", "val", "test"} <= data.keys() or any((data.train, data.val, data.test)):
        return
    root = Path(data.root)
    if not root.is_dir():
        return
    data.test = held_out_source(root, checkpoint.classes)
    trained = checkpoint.config.get("data", {}).get("root")
    is_same = trained is not None and Path(trained).resolve() == root.resolve()
    if is_same and Path(data.test) == root.absolute():
        _CONSOLE.print(
            f"warning: the checkpoint was trained on videos of '{root}', and all of '{data.test}' is "
            "scored; leave data= out to score the split that it was not trained on",
            soft_wrap=True,
        )


def announce_evaluation(path: str, protocol: EvaluationProtocol, precision: str) -> None:
    """Print which checkpoint is looked at, in which views, and the type that its net computes in."""
    lines = f"checkpoint {path}\nprotocol   {protocol}\nprecision  {precision}"
    _CONSOLE.print(lines, soft_wrap=True)


def origin(cfg: DictConfig, checkpoint: Checkpoint, protocol: EvaluationProtocol) -> dict[str, Any]:
    """What results of a checkpoint come from, as they tell in ``results.json``."""
    return {
        "checkpoint": checkpoint.path,
        "model": checkpoint.config["model"]["name"],
        "protocol": str(protocol),
        "views_per_video": protocol.num_views,
        "precision": cfg.precision,
        "data": None if cfg.data is None else OmegaConf.to_container(cfg.data, resolve=True),
    }


@contextmanager
def naming_bad_videos(data: VideoDataModule, folder: Path) -> Iterator[None]:
    """Within, the error of a test video that cannot be read becomes one that names all such videos.

    Args:
        data: whose test is read.
        folder: of the run, which gets ``bad_videos.csv``.

    Raises:
        BadVideosError: if listed videos cannot be read.
    """
    try:
        yield
    except Exception as error:
        is_read_error = _is_read_error(error)
        bad = unreadable_videos(data.test_videos(), data.num_workers) if is_read_error else []
        if not bad:
            raise
        # Without a cause: the message of a worker quotes the first video alone.
        raise bad_videos_error(bad, len(data.splits.test), "test", folder) from None


def _is_read_error(error: Exception) -> bool:
    # The exception of a loader's worker arrives as a RuntimeError that quotes it.
    return isinstance(error, VideoReadError) or VideoReadError.__name__ in str(error)


def _some(names: tuple[str, ...]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
