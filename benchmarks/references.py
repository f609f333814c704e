"""How others read the frames of a clip."""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from importlib import import_module
from importlib.metadata import version
from operator import attrgetter

import av
import numpy as np
from av.video import VideoFrame


@dataclass(frozen=True)
class Clip:
    """Frames of a video to be read.

    Args:
        path: of the file.
        indices: of the frames in display order, ascending.
        fps: frames per second of the file, constant.
    """

    path: str
    indices: np.ndarray
    fps: Fraction

    @property
    def span(self) -> int:
        """Frames of the video from the first of the clip to the last."""
        return int(self.indices[-1] - self.indices[0]) + 1

    @property
    def window(self) -> tuple[Fraction, Fraction]:
        """Seconds from the first frame to the end of the last one."""
        return int(self.indices[0]) / self.fps, (int(self.indices[-1]) + 1) / self.fps

    def thin(self, frames: list) -> list:
        """The frames of the clip from all those of its span.

        Raises:
            ValueError: if it is another number of frames, as in videos of variable rate.
        """
        if len(frames) != self.span:
            raise ValueError(
                f"its window of time has {len(frames)} frames, not {self.span}; the frame rate "
                "must be constant"
            )
        return [frames[index - self.indices[0]] for index in self.indices]


@dataclass(frozen=True)
class Reference:
    """A way of reading clips.

    Args:
        name: with version.
        read: gives the RGB frames of a clip, uint8 (t, h, w, 3) unless the library's own are other;
            None if it cannot be had.
        reason: why it cannot.
        needs_audio: only tells something on files with a sound track.
    """

    name: str
    read: Callable[[Clip], np.ndarray] | None
    reason: str = ""
    needs_audio: bool = False


def all_references() -> list[Reference]:
    """All ways, those that cannot be had here with the reason."""
    return [
        _load("torchcodec", "exact", lambda: _torchcodec("exact")),
        _load("torchcodec", "approximate", lambda: _torchcodec("approximate")),
        _load("decord", "", _decord),
        _load("decord2", "", _decord),
        _load("video-reader-rs", "", _video_reader),
        _load("pytorchvideo", "no audio", lambda: _pytorchvideo(decode_audio=False)),
        _load("pytorchvideo", "default", lambda: _pytorchvideo(decode_audio=True), audio=True),
        Reference("PySlowFast's loop", read_as_slowfast),
        Reference("plain PyAV loop", read_from_start),
    ]


def _load(
    package: str,
    mode: str,
    load: Callable[[], Callable[[Clip], np.ndarray]],
    *,
    audio: bool = False,
) -> Reference:
    details = f" ({mode})" if mode else ""
    try:
        return Reference(f"{package} {version(package)}{details}", load(), needs_audio=audio)
    # A library may fail to load its own libraries with any error.
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        return Reference(f"{package}{details}", None, reason, audio)


def _torchcodec(seek_mode: str) -> Callable[[Clip], np.ndarray]:
    decoders = import_module("torchcodec.decoders")

    def read(clip: Clip) -> np.ndarray:
        decoder = decoders.VideoDecoder(
            clip.path, num_ffmpeg_threads=1, seek_mode=seek_mode, dimension_order="NHWC"
        )
        return decoder.get_frames_at(clip.indices.tolist()).data.numpy()

    return read


def _decord() -> Callable[[Clip], np.ndarray]:
    # decord and decord2 share the name of the module, so that only one of them is installed.
    decord = import_module("decord")

    def read(clip: Clip) -> np.ndarray:
        reader = decord.VideoReader(clip.path, num_threads=1)
        return reader.get_batch(clip.indices.tolist()).asnumpy()

    return read


def _video_reader() -> Callable[[Clip], np.ndarray]:
    video_reader = import_module("video_reader")

    def read(clip: Clip) -> np.ndarray:
        return video_reader.PyVideoReader(clip.path, threads=1).get_batch(clip.indices.tolist())

    return read


def _pytorchvideo(*, decode_audio: bool) -> Callable[[Clip], np.ndarray]:
    encoded_video = import_module("pytorchvideo.data.encoded_video").EncodedVideo

    def read(clip: Clip) -> np.ndarray:
        video = encoded_video.from_path(clip.path, decode_audio=decode_audio, decoder="pyav")
        frames = video.get_clip(*clip.window)["video"]
        video.close()
        if frames is None:
            raise ValueError("it found no frame in the clip's window of time")
        # Views: the float pixels stay as they are.
        return np.stack(clip.thin(list(frames.permute(1, 2, 3, 0).numpy())))

    return read


def read_as_slowfast(clip: Clip) -> np.ndarray:
    """Seek a margin ahead, decode to the end of the span, convert all of it, keep a few.

    Source: PySlowFast, datasets/decoder.py, ``pyav_decode`` and ``temporal_sampling``.
    """
    with av.open(clip.path) as container:
        stream = container.streams.video[0]
        offset = stream.start_time or 0
        start, end = (offset + int(seconds / (stream.time_base or 1)) for seconds in clip.window)
        container.seek(max(start - 1024, 0), any_frame=False, backward=True, stream=stream)
        frames: dict[int, VideoFrame] = {}
        for frame in container.decode(stream):
            if frame.pts is None or frame.pts < start:
                continue
            if frame.pts >= end:
                break
            frames[frame.pts] = frame
        ordered = sorted(frames.values(), key=attrgetter("pts"))
        rgb = np.stack([frame.to_rgb().to_ndarray() for frame in ordered])
        return np.stack(clip.thin(list(rgb)))


def read_from_start(clip: Clip) -> np.ndarray:
    """Decode from the first frame on one thread, convert the wanted ones."""
    wanted = set(clip.indices.tolist())
    with av.open(clip.path) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        frames = []
        for index, frame in enumerate(container.decode(stream)):
            if index in wanted:
                frames.append(frame.to_ndarray(format="rgb24"))
            if len(frames) == len(wanted):
                break
    return np.stack(frames)
