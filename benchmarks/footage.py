"""Videos to measure with, made from FFmpeg's own sources."""

import heapq
from collections.abc import Iterator
from itertools import takewhile
from operator import attrgetter
from pathlib import Path

import av
from av.audio import AudioFrame, AudioStream
from av.video import VideoFrame, VideoStream
from av.video.reformatter import VideoReformatter


def make_video(
    path: Path,
    *,
    size: tuple[int, int],
    seconds: float,
    gop_size: int,
    b_frames: bool = True,
    has_audio: bool = False,
) -> None:
    """Encode a zoom into the Mandelbrot set, 30 frames per second, as H.264 with x264's defaults.

    Args:
        path: of the mp4 file to write.
        size: width and height in pixels, even.
        seconds: length.
        gop_size: most frames from one keyframe to the next.
        b_frames: whether x264 may use them.
        has_audio: add noise as an AAC track, as files from the web have one.
    """
    width, height = size
    options = {"g": str(gop_size), "crf": "23"} | ({} if b_frames else {"bf": "0"})
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=30, options=options)
        assert isinstance(video, VideoStream)
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        video.thread_count = 1
        audio = container.add_stream("aac", rate=44100) if has_audio else None
        pictures = _frames(f"mandelbrot=size={width}x{height}:rate=30", seconds)
        sound = _frames("anoisesrc=sample_rate=44100:amplitude=0.1", seconds) if audio else ()
        reformatter = VideoReformatter()
        for frame in heapq.merge(pictures, sound, key=attrgetter("time")):
            if isinstance(frame, VideoFrame):
                frame = reformatter.reformat(frame, format="yuv420p", threads=1)
                container.mux(video.encode(frame))
            elif isinstance(audio, AudioStream):
                container.mux(audio.encode(frame))
        container.mux(video.encode(None))
        if isinstance(audio, AudioStream):
            container.mux(audio.encode(None))


def _frames(source: str, seconds: float) -> Iterator[VideoFrame | AudioFrame]:
    with av.open(source, format="lavfi") as container:
        frames = (f for f in container.decode() if isinstance(f, VideoFrame | AudioFrame))
        yield from takewhile(lambda frame: (frame.time or 0) < seconds, frames)
