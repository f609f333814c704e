"""What counts as a video, and its views."""

import io
import os

import numpy as np
from jaxtyping import UInt8
from torch import Tensor

from gcvideo.data import EvaluationProtocol, evaluation_views, read_views
from gcvideo.data.video._container import BinaryFile

_Frames = UInt8[np.ndarray, "n h w 3"] | UInt8[Tensor, "n h w 3"]
Video = str | os.PathLike[str] | BinaryFile | bytes | _Frames


def views_of(video: Video, protocol: EvaluationProtocol) -> UInt8[Tensor, "v 3 t s s"]:
    """The views of a video; ValueError for frames of another shape or type."""
    if isinstance(video, str | os.PathLike):
        return read_views(os.fspath(video), protocol)
    if not isinstance(video, np.ndarray | Tensor):
        file = io.BytesIO(video) if isinstance(video, bytes) else video
        return read_views(file, protocol)
    frames = np.asarray(video)
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3:
        raise ValueError(
            f"frames are {frames.dtype} of shape {frames.shape}; pass uint8 RGB of shape "
            "(frames, height, width, 3)"
        )
    clips = protocol.sampling.test(len(frames), 30.0, protocol.spec, protocol.num_clips)
    return evaluation_views(frames, clips, protocol)
