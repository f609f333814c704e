"""What is to be predicted, and whether that can be done: settled before a net is loaded."""

from dataclasses import dataclass, fields
from pathlib import Path

from omegaconf import DictConfig

from gcvideo.command._output_check import check_file, check_folder
from gcvideo.command._video_list import FoundVideos, find_all_videos
from gcvideo.data.video._stream import is_stream


@dataclass(frozen=True)
class PredictRequest:
    """Files to classify, or a stream instead; and the keys of ``conf/predict.yaml`` about them."""

    found: FoundVideos
    stream: str | None
    format: str | None
    output: str | None
    annotated: str | None
    contact_sheets: str | None
    top_k: int
    num_clips: int
    num_crops: int
    stride_seconds: float | None
    threshold: float
    batch_size: int | None
    num_workers: int | None
    time_budget_seconds: float | None


def settle_request(cfg: DictConfig) -> PredictRequest:
    """The request of a configuration; ValueError for options that do not go together."""
    if cfg.output is not None and Path(cfg.output).suffix not in (".json", ".csv"):
        raise ValueError(f"output is '{cfg.output}'; give a file ending in .json or .csv")
    sources = [str(cfg.video)] if isinstance(cfg.video, str | int) else list(map(str, cfg.video))
    stream = next((source for source in sources if is_stream(source, cfg.format)), None)
    if stream is not None:
        _check_stream(cfg, stream, len(sources))
    elif cfg.stride_seconds is not None and cfg.num_clips != 1:
        raise ValueError(
            f"num_clips is {cfg.num_clips}, but with stride_seconds every window is one clip; leave "
            "num_clips out"
        )
    found = FoundVideos([], {}) if stream is not None else find_all_videos(sources)
    if cfg.output is not None:
        check_file(cfg.output, "output")
    for key in ("annotated", "contact_sheets"):
        if cfg[key] is not None:
            check_folder(cfg[key], key)
    keys = [field.name for field in fields(PredictRequest) if field.name in cfg]
    return PredictRequest(found=found, stream=stream, **{key: cfg[key] for key in keys})


def _check_stream(cfg: DictConfig, stream: str, num_sources: int) -> None:
    if num_sources > 1:
        raise ValueError(
            f"'{stream}' is read as it comes, so it cannot stand beside other videos; give it alone"
        )
    for option in ("annotated", "contact_sheets"):
        if cfg[option] is not None:
            raise ValueError(
                f"{option} is '{cfg[option]}', but '{stream}' is read as it comes; leave {option} out, or "
                "record the source to a file first"
            )
