"""Small copies of videos in which seeking is fast."""

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av
import av.error
import numpy as np
from av.video import VideoFrame
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType
from av.video.reformatter import Colorspace, Interpolation, VideoReformatter

from gcvideo._draft import draft_of
from gcvideo.data.video._clock import FrameClock
from gcvideo.data.video._container import DECODE_ERRORS, VideoReadError, decode_packets, open_video
from gcvideo.data.video._conversion import convert_frame
from gcvideo.data.video._deadline import finish_within
from gcvideo.data.video._orientation import AS_STORED, Orientation
from gcvideo.data.video._timeline import sample_aspect_ratio

_SECONDS_A_STEP = 0.5


@dataclass(frozen=True)
class Reencoding:
    """The frames that were written, the broken packets of the source, which gave none, and both sizes."""

    num_frames: int
    num_damaged: int
    bytes_before: int
    bytes_after: int


def reencode_video(
    source: str | Path,
    target: str | Path,
    *,
    short_side: int = 256,
    gop_size: int = 16,
    crf: int = 20,
    preset: str = "fast",
    time_budget_seconds: float | None = None,
    progress: Callable[[], None] | None = None,
) -> Reencoding:
    """Copy the pictures of a video to H.264 in mp4, small and with frequent keyframes.

    All frames keep their times relative to the first; there is no sound. Groups of pictures are closed, so
    a frame is decoded from the keyframe before it, and the index is at the start of the file. Rotation and
    mirroring are applied to the pixels. Frames whose size differs from that of the first are resized to
    it. Colours keep their matrix and range, and pixels their aspect ratio; a matrix that FFmpeg's scaler
    lacks becomes the one it uses instead. Broken packets are left out and counted.

    Args:
        source: file to read.
        target: file to write; its folder is made.
        short_side: even number of pixels to which a larger short side is scaled down.
        gop_size: largest number of frames between keyframes.
        crf: quality of x264, 0 to 51; lower values give better and larger files.
        preset: speed of x264; slower presets give smaller files.
        time_budget_seconds: time without progress after which the video counts as unreadable; None: no limit.
        progress: called after every half second of progress.

    Raises:
        ValueError: if ``short_side`` is odd, or ``gop_size`` or ``short_side`` is not positive.
        VideoReadError: if no frame of the source can be decoded, or none can be encoded, or the time is over.
        OSError: if the target cannot be written.
    """
    if short_side < 2 or short_side % 2:
        raise ValueError(
            f"short_side is {short_side}; 4:2:0 video needs an even number, such as 256"
        )
    if gop_size < 1:
        raise ValueError(f"gop_size is {gop_size}; give at least 1 frame")
    target = Path(target).absolute()
    target.parent.mkdir(parents=True, exist_ok=True)
    options = {"crf": str(crf), "preset": preset, "g": str(gop_size), "x264-params": "open-gop=0"}
    options["flags"] = "+frame_duration"  # of the last frame too
    steps = _copy(str(source), target, short_side, options)
    return finish_within(time_budget_seconds, str(source), steps, progress)


def _copy(
    source: str, target: Path, short_side: int, options: dict[str, str]
) -> Iterator[Reencoding | None]:
    """Yields None regularly while it encodes, and what it has written at the end."""
    pictures = _Pictures(source, short_side)
    # A process that a killed command has left behind may still write its own draft.
    with pictures.container, draft_of(target, several_writers=True) as draft:
        num_frames = yield from _encode(pictures, draft, options)
    yield Reencoding(
        num_frames,
        pictures.num_damaged,
        bytes_before=Path(source).stat().st_size,
        bytes_after=target.stat().st_size,
    )


def _encode(
    pictures: "_Pictures", draft: Path, options: dict[str, str]
) -> Generator[None, None, int]:
    num_frames = 0
    mark = time.monotonic()
    try:
        index_first = {"movflags": "+faststart"}
        with av.open(str(draft), "w", format="mp4", options=index_first) as container:
            stream = None
            for frame in pictures:
                if stream is None:
                    stream = container.add_stream("libx264", rate=pictures.rate, options=options)
                    context = stream.codec_context
                    context.width, context.height = frame.width, frame.height
                    context.pix_fmt = frame.format.name
                    context.time_base = pictures.time_base
                    context.sample_aspect_ratio = pictures.sample_aspect_ratio
                    _copy_colour_tags(frame, context)
                    context.thread_count = 1
                container.mux(stream.encode(frame))
                num_frames += 1
                if time.monotonic() > mark + _SECONDS_A_STEP:
                    yield None
                    mark = time.monotonic()
            if stream is None:
                raise VideoReadError(pictures.path, "no frame can be decoded")
            container.mux(stream.encode(None))
    except av.error.FFmpegError as error:
        if isinstance(error, OSError):  # a full disk is not a fault of the video
            raise
        raise VideoReadError(pictures.path, f"it cannot be encoded ({error.strerror})") from error
    return num_frames


class _Pictures:
    """The frames of a video, small, upright and in 4:2:0, with times that ascend from 0."""

    def __init__(self, path: str, short_side: int) -> None:
        self.path = path
        self.num_damaged = 0
        self.container, self._stream = open_video(path)
        self._short_side = short_side
        self._clock = FrameClock(self.container, self._stream)
        self.rate, self.time_base = self._clock.rate, self._clock.time_base
        self.sample_aspect_ratio = Fraction(1)  # known with the first frame

    def __iter__(self) -> Iterator[VideoFrame]:
        # One context for all frames: PyAV's default of one per frame costs more than decoding.
        reformatter = VideoReformatter()
        size, orientation = None, AS_STORED
        for frame in self._decode():
            if size is None:
                size = _even_size(frame.width, frame.height, self._short_side)
                orientation = Orientation.of_frame(frame)
                ratio = sample_aspect_ratio(self._stream)
                self.sample_aspect_ratio = 1 / ratio if orientation.swaps_sides else ratio
            small = convert_frame(
                reformatter,
                frame,
                *size,
                format="yuv420p",
                dst_colorspace=Colorspace.ITU601 if frame.format.is_rgb else None,
                interpolation=Interpolation.BICUBIC,
            )
            upright = small if orientation == AS_STORED else _turn(small, orientation)
            upright.pts = self._clock.place(self._clock.stamps_of(frame))
            upright.time_base = self.time_base
            upright.duration = self._clock.duration_of(frame)
            # Otherwise, the encoder would repeat those of the source.
            upright.pict_type = PictureType.NONE
            yield upright

    def _decode(self) -> Iterator[VideoFrame]:
        try:
            packets = self.container.demux(self._stream)
            yield from chain.from_iterable(decode_packets(packets, self._note_damage))
        except av.error.InvalidDataError as error:
            self._note_damage(error)
            with suppress(*DECODE_ERRORS):
                yield from self._stream.codec_context.decode(None)
        except av.error.FFmpegError as error:
            raise VideoReadError(self.path, f"reading failed ({error.strerror})") from error

    def _note_damage(self, _: Exception) -> None:
        self.num_damaged += 1


def _even_size(width: int, height: int, short_side: int) -> tuple[int, int]:
    scale = min(Fraction(short_side, min(width, height)), Fraction(1))
    if scale == 1:
        return max(width // 2 * 2, 2), max(height // 2 * 2, 2)
    return 2 * round(width * scale / 2), 2 * round(height * scale / 2)


def _turn(frame: VideoFrame, orientation: Orientation) -> VideoFrame:
    height, width = frame.height, frame.width
    samples = frame.to_ndarray().astype(np.uint8, copy=False).ravel()
    luma, *chroma = np.split(samples, [height * width, height * width * 5 // 4])
    planes = [luma.reshape(height, width), *(c.reshape(height // 2, width // 2) for c in chroma)]
    turned = [orientation.apply(plane) for plane in planes]
    stacked = np.concatenate([plane.ravel() for plane in turned]).reshape(-1, turned[0].shape[1])
    result = VideoFrame.from_ndarray(stacked, format="yuv420p")
    _copy_colour_tags(frame, result)
    return result


def _copy_colour_tags(frame: VideoFrame, target: VideoFrame | VideoCodecContext) -> None:
    target.colorspace, target.color_range = frame.colorspace, frame.color_range
    target.color_trc, target.color_primaries = frame.color_trc, frame.color_primaries
