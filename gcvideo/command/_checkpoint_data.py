"""An evaluation: the checkpoint, its views and videos, and the record of the results."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from gcvideo._console import Console
from gcvideo._construction import construct
from gcvideo.command._class_report import baselines, describe_baselines, describe_source
from gcvideo.command._output_check import make_folder
from gcvideo.command._readability import bad_videos_error, unreadable_videos
from gcvideo.command._record import write_config, write_environment, write_json
from gcvideo.data import EvaluationProtocol, VideoDataModule, VideoReadError, VideoSplits
from gcvideo.data.listing._video_folder import held_out_source
from gcvideo.inference import Checkpoint, read_checkpoint
from gcvideo.models import precision_type

_CONSOLE = Console()
_GEOMETRY = ("num_clips", "num_crops", "num_frames", "sampling_rate", "short_side", "crop_size")


@dataclass(frozen=True)
class Evaluation:
    """A checkpoint to evaluate, with what to evaluate it on, and the run folder."""

    cfg: DictConfig
    checkpoint: Checkpoint
    protocol: EvaluationProtocol
    splits: VideoSplits
    precision: torch.dtype
    folder: Path

    @classmethod
    def settle(cls, cfg: DictConfig) -> "Evaluation":
        """The evaluation described by a configuration; creates its folder."""
        # Only another program than torch, which not every command takes, has int8.
        is_quantized = cfg.precision == "int8" and "engine" in cfg
        precision = precision_type("float32" if is_quantized else cfg.precision or "float32")
        checkpoint = read_checkpoint(cfg.checkpoint)
        protocol = checkpoint_protocol(cfg, checkpoint)
        splits = checkpoint_splits(cfg, checkpoint)
        make_folder(cfg.output_dir, "hydra.run.dir")
        return cls(cfg, checkpoint, protocol, splits, precision, Path(cfg.output_dir))

    @property
    def listed(self) -> list[str]:
        """Paths of the test videos."""
        return [self.splits.test.path(video) for video in range(len(self.splits.test))]

    def begin(self) -> None:
        """Record and print the checkpoint, the protocol and the data."""
        write_config(self.folder / "config.yaml", self.cfg)
        write_environment(self.folder / "environment.json")
        announce_evaluation(self.checkpoint.path, self.protocol, self.cfg.precision)
        _CONSOLE.print(f"data       {describe_source(self.splits.test)}", soft_wrap=True)

    def write_results(self, results: Mapping[str, Any]) -> None:
        """Write ``results.json`` with the origin of the results, and print the baselines without a net."""
        blind = baselines(self.splits.test.labels, self.checkpoint.classes)
        data = self.cfg.data
        origin = {
            "checkpoint": self.checkpoint.path,
            "model": self.checkpoint.config["model"]["name"],
            "protocol": str(self.protocol),
            "views_per_video": self.protocol.num_views,
            "precision": self.cfg.precision,
            "engine": self.cfg.get("engine", "torch"),
            "data": None if data is None else OmegaConf.to_container(data, resolve=True),
        }
        write_json(self.folder / "results.json", {**results, "baselines": blind, **origin})
        _CONSOLE.print(describe_baselines(blind), soft_wrap=True)


def checkpoint_protocol(cfg: DictConfig, checkpoint: Checkpoint) -> EvaluationProtocol:
    """The protocol of a configuration, or else that of the checkpoint.

    The training supplies the geometry that ``cfg`` leaves open, and the normalisation. Pixels are made
    square if the data, the protocol or the training says so.
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
        built.with_views(cfg.num_clips, cfg.num_crops),
        square_pixels=bool(square_pixels),
        normalization=checkpoint.protocol.get("normalization", "constants"),
    )


def checkpoint_splits(cfg: DictConfig, checkpoint: Checkpoint, split: str = "test") -> VideoSplits:
    """The videos of a configuration, or else those that the checkpoint was trained on.

    Data without names of classes gets those of the checkpoint. If ``split`` is "test" and the data is a
    root of class folders without splits, the test split is its folder test, else val, else all of it.
    """
    if cfg.data is None and "data" not in checkpoint.config:
        raise ValueError(
            f"'{checkpoint.path}' was trained elsewhere, so it names no videos to test on; give data=..., "
            "such as data=kinetics400 data.root=/data/k400"
        )
    if cfg.data is None:
        built = construct(checkpoint.config["data"], packages=list(cfg.packages))
    else:
        if "classes" in cfg.data and cfg.data.classes is None:
            cfg.data.classes = list(checkpoint.classes)
        if split == "test":
            _test_on_all(cfg.data, checkpoint)
        built = instantiate(cfg.data, _convert_="all")
    splits = cast(VideoSplits, built)
    if splits.classes != checkpoint.classes:
        raise ValueError(
            f"the checkpoint has {len(checkpoint.classes)} classes ({_some(checkpoint.classes)}), but the "
            f"data has {len(splits.classes)} ({_some(splits.classes)}), so their labels differ; test on "
            "data with the same classes in the same order"
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
            "scored; leave out data= to score the split that it was not trained on",
            soft_wrap=True,
        )


def announce_evaluation(path: str, protocol: EvaluationProtocol, precision: str) -> None:
    """Print the checkpoint, its protocol, and the type in which its net computes."""
    lines = f"checkpoint {path}\nprotocol   {protocol}\nprecision  {precision}"
    _CONSOLE.print(lines, soft_wrap=True)


@contextmanager
def naming_bad_videos(data: VideoDataModule, folder: Path) -> Iterator[None]:
    """Within, the error of an unreadable test video becomes a BadVideosError that names all of them."""
    try:
        yield
    except Exception as error:
        # An exception in a worker of the loader arrives as a RuntimeError that quotes it.
        is_read_error = isinstance(error, VideoReadError) or VideoReadError.__name__ in str(error)
        bad = unreadable_videos(data.test_videos(), data.num_workers) if is_read_error else []
        if not bad:
            raise
        # Not from error: the worker's message quotes only the first video.
        raise bad_videos_error(bad, len(data.splits.test), "test", folder) from None


def _some(names: tuple[str, ...]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
