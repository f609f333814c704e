"""What stands beside the maps of a clip: a caption for each, and the times of its frames."""

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Int

from gcvideo.attention._grad_cam import GradCam
from gcvideo.attention._heat_map import HeatMap, cell_of_frames
from gcvideo.attention._map import AttentionMap, Query
from gcvideo.data import EvaluationProtocol, VideoReader


def captioned_maps(
    maps: Sequence[AttentionMap], queries: Sequence[Query], num_frames: int, *, place: str
) -> Iterator[HeatMap]:
    """The maps of a layer, whose ``place`` begins each caption, for the clip of so many frames."""
    for number, attention in enumerate(maps):
        if attention.query is None:
            caption = f"{place} context block ({attention.kind})"
        else:
            _, y, x = queries[number]
            cells = cell_of_frames(num_frames, len(attention.weights))
            frame = int(np.flatnonzero(cells == attention.query[0])[0]) + 1
            caption = (
                f"{place} non-local block ({attention.kind}), query {number + 1} in frame {frame} "
                f"at y={y:g} x={x:g}"
            )
        yield HeatMap(
            caption=caption,
            weights=attention.weights,
            uniform=attention.uniform,
            is_signed=attention.is_signed,
            marked=attention.query,
        )


def captioned_cam(cam: GradCam, class_name: str) -> HeatMap:
    """The Grad-CAM of a class, by its name."""
    caption = f"Grad-CAM of {cam.layer} for '{class_name}' (logit {cam.logit:.2f})"
    return HeatMap(caption=caption, weights=cam.weights)


def clip_times(video: str, protocol: EvaluationProtocol) -> tuple[Int[np.ndarray, " t"], float]:
    """Indices of the frames of a video's single clip, and their number per second."""
    with VideoReader(video) as reader:
        frames = protocol.single_view().test_clips(reader.timeline)[0]
        steps = np.diff(reader.timeline.seconds[frames])
    # A short video is repeated, or its last frame is.
    steps = steps[steps > 0]
    return frames, 1 / float(steps.mean()) if len(steps) else reader.info.fps
