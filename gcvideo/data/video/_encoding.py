"""Writing of video files: pictures, and with them the sound of another file."""

import warnings
from collections.abc import Iterable, Iterator
from fractions import Fraction
from heapq import merge
from itertools import chain, zip_longest
from pathlib import Path
from typing import cast

import av
import av.error
import numpy as np
from av import Packet
from av.audio import AudioFrame, AudioStream
from av.container import OutputContainer
from av.filter import Graph
from av.stream import Discard
from av.video import VideoStream
from jaxtyping import Int64, UInt8

from gcvideo.data.video._clock import exact
from gcvideo.data.video._container import DECODE_ERRORS, VideoReadError, open_video
from gcvideo.data.video._timeline import Timeline

# The codecs that players expect in mp4; few of them play the others that it may contain.
_COPIED = frozenset({"aac", "ac3", "alac", "eac3", "flac", "mp3", "opus"})

_SAMPLE_RATE, _FRAME_SAMPLES = 48000, 1024


def write_video(
    path: str | Path,
    frames: Iterable[UInt8[np.ndarray, "h w 3"]],
    *,
    fps: float = 30,
    codec: str = "libx264",
    options: dict[str, str] | None = None,
) -> None:
    """Encode RGB frames of one size to a video file; the suffix determines the container.

    H.264 in 4:2:0 needs an even height and width. ``codec`` is the name of an FFmpeg encoder, with
    ``options`` such as ``{"crf": "18", "g": "16"}``. Raises ValueError if there is no frame.
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
    """Replace the pictures of a video by others with the same times and sound, as H.264 in mp4.

    The earlier of pictures and sound starts at 0, and the other follows as in the source. Sound that mp4
    players cannot play becomes AAC; a track that FFmpeg cannot decode is left out with a warning.

    Frames have one size, even in height and width. ``timeline`` is that of the source, ``options`` are those
    of x264, such as ``{"crf": "18"}``.

    Raises:
        VideoReadError: if the sound cannot be read to its end.
        ValueError: if there are more or fewer frames than in the source.
    """
    start = int(timeline.stamps[0]) * timeline.time_base
    with _Sound(str(source)) as sound, av.open(str(target), "w", format="mp4") as container:
        # Stamps are whole units of the time base; the remainder shifts the sound.
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
    """All frames, and a stream for frames of the size of the first one."""
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


class _Sound:
    """The default sound track of a video, to be written with other pictures.

    Packets are copied if mp4 players support the codec; other sound becomes AAC, stereo or mono, with
    silence for missing or broken parts. ``start`` is in seconds on the file's clock; None without sound.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._container, pictures = open_video(path)
        pictures.discard = Discard.all
        self._stream = cast(AudioStream | None, self._container.streams.best("audio"))
        self.start: Fraction | None = None
        if self._stream is None:
            return
        if self._stream.codec_context is None:
            warnings.warn(
                f"FFmpeg has no decoder for the sound of '{path}', so the copy has none",
                stacklevel=2,
            )
            self._stream = None
            return
        self._stream.discard = Discard.default
        self.start = (self._stream.start_time or 0) * exact(self._stream.time_base)

    def __enter__(self) -> "_Sound":
        return self

    def __exit__(self, *_: object) -> None:
        self._container.close()

    def packets_for(self, target: OutputContainer, delay: Fraction) -> Iterator[Packet]:
        """Add a sound track to an mp4, and give its packets in order, ``delay`` seconds later."""
        if self._stream is None:
            return iter(())
        if self._stream.codec_context.codec.canonical_name in _COPIED:
            return self._copied(target.add_stream_from_template(self._stream), delay)
        encoder = target.add_stream("aac", rate=_SAMPLE_RATE)
        encoder.layout = "mono" if self._stream.codec_context.channels == 1 else "stereo"
        return self._encoded(encoder, delay)

    def _copied(self, target: AudioStream, delay: Fraction) -> Iterator[Packet]:
        last, step = None, 1
        for packet in self._packets():
            own = packet.dts if packet.pts is None else packet.pts
            if own is not None:
                own += round(delay / exact(packet.time_base))
            # If the clock stops or jumps back, packets follow each other directly.
            if own is None or (last is not None and own <= last):
                own = 0 if last is None else last + step
            packet.pts = packet.dts = own
            packet.stream = target
            last, step = own, max(packet.duration or 0, 1)
            yield packet

    def _encoded(self, target: AudioStream, delay: Fraction) -> Iterator[Packet]:
        graph = None
        for decoded in chain(self._decode(), [None]):
            if decoded is not None and graph is None:
                graph = _resampling(decoded, target.layout.name)
            if graph is None:
                break
            graph.push(decoded)
            for frame in _pulled(graph):
                if frame.pts is not None:
                    frame.pts += round(delay / exact(frame.time_base))
                yield from target.encode(frame)
        yield from target.encode(None)

    def _decode(self) -> Iterator[AudioFrame]:
        assert self._stream is not None
        for packet in (*self._packets(), None):
            try:
                yield from self._stream.codec_context.decode(packet)
            except DECODE_ERRORS:
                continue

    def _packets(self) -> Iterator[Packet]:
        try:
            for packet in self._container.demux(self._stream):
                if packet.size:
                    yield packet
        except av.error.FFmpegError as error:
            raise VideoReadError(self._path, f"its sound breaks off ({error.strerror})") from error


def _resampling(frame: AudioFrame, layout: str) -> Graph:
    """A filter that gives sound without gaps, at the encoder's rate and frame length."""
    graph = Graph()
    graph.threads = 1  # others do not survive a fork
    graph.link_nodes(
        graph.add_abuffer(
            sample_rate=frame.sample_rate,
            format=frame.format.name,
            layout=frame.layout.name,
            time_base=frame.time_base,
        ),
        graph.add("aresample", "async=1"),
        graph.add(
            "aformat", f"sample_fmts=fltp:sample_rates={_SAMPLE_RATE}:channel_layouts={layout}"
        ),
        graph.add("abuffersink"),
    ).configure()
    graph.set_audio_frame_size(_FRAME_SAMPLES)
    return graph


def _pulled(graph: Graph) -> Iterator[AudioFrame]:
    while True:
        try:
            yield cast(AudioFrame, graph.pull())
        except (av.error.BlockingIOError, av.error.EOFError):
            return
