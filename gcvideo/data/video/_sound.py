"""The sound of a video file, on its way into another."""

import warnings
from collections.abc import Iterator
from fractions import Fraction
from typing import cast

import av.error
from av import Packet
from av.audio import AudioFrame, AudioStream
from av.container import OutputContainer
from av.filter import Graph
from av.stream import Discard

from gcvideo.data.video._clock import exact
from gcvideo.data.video._container import DECODE_ERRORS, VideoReadError, open_video

# What players expect in mp4. It may hold others too, which few of them play.
_COPIED = frozenset({"aac", "ac3", "alac", "eac3", "flac", "mp3", "opus"})

_SAMPLE_RATE, _FRAME_SAMPLES = 48000, 1024


class Sound:
    """The sound track of a video that players choose, to be written beside other pictures.

    Packets are copied where mp4 players know the codec; other sound becomes AAC, stereo or mono, with
    silence for what is missing or broken. ``start`` is when it begins, in seconds on the clock of the
    file; None where there is no sound. A track that FFmpeg cannot decode is left out with a warning.

    Args:
        path: of the video.

    Raises:
        VideoReadError: if the file cannot be opened; later, if it breaks off.
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

    def __enter__(self) -> "Sound":
        return self

    def __exit__(self, *_: object) -> None:
        self._container.close()

    def packets_for(self, target: OutputContainer, delay: Fraction) -> Iterator[Packet]:
        """Add a sound track to an mp4; its packets in order, ``delay`` seconds after their own times."""
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
            # Where the clock stands still or jumps back, one packet follows the other.
            if own is None or (last is not None and own <= last):
                own = 0 if last is None else last + step
            packet.pts = packet.dts = own
            packet.stream = target
            last, step = own, max(packet.duration or 0, 1)
            yield packet

    def _encoded(self, target: AudioStream, delay: Fraction) -> Iterator[Packet]:
        for frame in self._even_frames(target.layout.name):
            if frame.pts is not None:
                frame.pts += round(delay / exact(frame.time_base))
            yield from target.encode(frame)
        yield from target.encode(None)

    def _even_frames(self, layout: str) -> Iterator[AudioFrame]:
        """Sound without gaps, at the encoder's rate and in frames of its length."""
        graph = None
        for frame in self._decode():
            if graph is None:
                graph = _resampling(frame, layout)
            graph.push(frame)
            yield from _pulled(graph)
        if graph is not None:
            graph.push(None)
            yield from _pulled(graph)

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
    graph = Graph()
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
