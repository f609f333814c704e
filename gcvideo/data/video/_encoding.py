from collections.abc import Iterable, Iterator
from fractions import Fraction
from heapq import merge
from itertools import chain, zip_longest
from pathlib import Path
from typing import cast

import av
import numpy as np
from av import Packet
from av.container import OutputContainer
from av.video import VideoStream
from jaxtyping import Int64, UInt8

from gcvideo.data.video._clock import exact
from gcvideo.data.video._sound import Sound
from gcvideo.data.video._timeline import Timeline


def write_video(
    path: str | Path,
    frames: Iterable[UInt8[np.ndarray, "h w 3"]],
    *,
    fps: float = 30,
    codec: str = "libx264",
    options: dict[str, str] | None = None,
) -> None:
    """Encode RGB frames to a video file; the container follows from the suffix.

    Args:
        path: file to write.
        frames: uint8 RGB images of one size; h264 in 4:2:0 needs an even height and width.
        fps: frames per second.
        codec: an encoder of FFmpeg.
        options: encoder options, such as ``{"crf": "18", "g": "16"}``.

    Raises:
        ValueError: if there is no frame.
    """
    with av.open(str(path), "w") as container:
        images, stream = _begin(container, path, frames, fps, codec, options or {})
        for image in images:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))


def rewrite_video(
    source: str | Path,
    target: str | Path,
    frames: Iterable[UInt8[np.ndarray, "h w 3"]],
    *,
    timeline: Timeline,
    options: dict[str, str] | None = None,
) -> None:
    """Encode other pictures in the place of those of a video, as H.264 in mp4: same times, same sound.

    Whichever of pictures and sound starts first starts at 0, the other as much later as in the source.
    For sound that mp4 players do not know see :class:`~gcvideo.data.video._sound.Sound`.

    Args:
        source: file whose times and sound are kept.
        target: file to write, ``*.mp4``.
        frames: uint8 RGB images of one size, even in height and width; one for each of the source.
        timeline: of the source.
        options: of x264, such as ``{"crf": "18"}``.

    Raises:
        VideoReadError: if the sound cannot be read to its end.
        ValueError: if there are more or fewer frames than in the source.
    """
    start = int(timeline.stamps[0]) * timeline.time_base
    with Sound(str(source)) as sound, av.open(str(target), "w", format="mp4") as container:
        # Stamps are whole units of the time base: what is left over moves the sound.
        lead = (
            0 if sound.start is None else max(round((start - sound.start) / timeline.time_base), 0)
        )
        stamps = timeline.stamps - timeline.stamps[0] + lead
        options = {**(options or {}), "flags": "+frame_duration"}  # of the last frame too
        images, stream = _begin(container, target, frames, timeline.info.fps, "libx264", options)
        stream.codec_context.time_base = timeline.time_base
        pictures = _encoded(stream, images, stamps, timeline)
        sounds = sound.packets_for(container, lead * timeline.time_base - start)
        for packet in merge(pictures, sounds, key=_seconds):
            container.mux(packet)


def _begin(
    container: OutputContainer,
    path: str | Path,
    frames: Iterable[UInt8[np.ndarray, "h w 3"]],
    fps: float,
    codec: str,
    options: dict[str, str],
) -> tuple[Iterator[UInt8[np.ndarray, "h w 3"]], VideoStream]:
    """All the frames, and a stream for frames of the size of the first one."""
    images = iter(frames)
    first = next(images, None)
    if first is None:
        raise ValueError(f"no frame to write to '{path}'; pass at least one image")
    rate = Fraction(fps).limit_denominator(1001)
    stream = cast(VideoStream, container.add_stream(codec, rate=rate, options=options))
    stream.height, stream.width = first.shape[:2]
    stream.pix_fmt = "yuv420p"
    stream.thread_count = 1
    return chain([first], images), stream


def _encoded(
    stream: VideoStream,
    images: Iterator[UInt8[np.ndarray, "h w 3"]],
    stamps: Int64[np.ndarray, "n"],
    timeline: Timeline,
) -> Iterator[Packet]:
    mean_step = max(round(1 / (timeline.info.fps * timeline.time_base)), 1)
    durations = np.append(np.diff(stamps), mean_step)
    for image, stamp, duration in zip_longest(images, stamps.tolist(), durations.tolist()):
        if image is None or stamp is None:
            raise ValueError(
                f"there are {'fewer' if image is None else 'more'} frames than the {len(stamps)} of the "
                "source; pass one for each of them"
            )
        frame = av.VideoFrame.from_ndarray(image, format="rgb24")
        frame.pts, frame.time_base, frame.duration = stamp, timeline.time_base, duration
        yield from stream.encode(frame)
    yield from stream.encode(None)


def _seconds(packet: Packet) -> float:
    return float((packet.dts or 0) * exact(packet.time_base))
