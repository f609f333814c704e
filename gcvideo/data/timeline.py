from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from av import Packet
from av.container import InputContainer
from av.video import VideoFrame, VideoStream
from jaxtyping import Int64

from gcvideo.data.orientation import AS_STORED, Orientation

# Where every packet is one shown frame with its own time stamp. Elsewhere (avi, mpg, raw streams;
# MPEG-4 part 2, VP8) packets may be hidden, empty, packed or stamped in decoding order.
_INDEXED_CONTAINERS = frozenset({"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm"})
_INDEXED_CODECS = frozenset({"h264", "hevc", "av1", "vp9"})

_MAX_ASPECT = 16  # of a pixel

_DEFAULT_FPS = 25.0  # FFmpeg's own assumption for streams that state no rate


@dataclass(frozen=True)
class VideoInfo:
    """What a video shows, as decoded: headers are not believed where they are known to lie.

    Args:
        num_frames: frames that a full decode gives.
        fps: average frames per second, always positive.
        width: of a frame in pixels as it is shown, whatever the shape of a pixel.
        height: of a frame in pixels as it is shown.
        orientation: how the stored frames are laid out.
        sample_aspect_ratio: width of a pixel of the stored frames over its height.
    """

    num_frames: int
    fps: float
    width: int
    height: int
    orientation: Orientation = AS_STORED
    sample_aspect_ratio: Fraction = Fraction(1)

    @property
    def duration_seconds(self) -> float:
        """``num_frames / fps``: the pictures alone, however long the sound lasts."""
        return self.num_frames / self.fps

    @property
    def stored_size(self) -> tuple[int, int]:
        """Width and height of a stored frame."""
        swapped = self.orientation.swaps_sides
        return (self.height, self.width) if swapped else (self.width, self.height)


@dataclass(frozen=True, eq=False)
class Timeline:
    """Where the frames of a video lie in its file; made once, enough to read any frame directly.

    Args:
        info: number, rate and size of the frames.
        times: presentation time of each frame, ascending, in units of the stream's time base; None
            where packets do not tell and frames must be counted by decoding.
        keyframes: presentation times of the packets where decoding can start, ascending.
        skips_unwanted: whether frames that no other frame refers to may be left undecoded.
    """

    info: VideoInfo
    times: Int64[np.ndarray, "n"] | None
    keyframes: Int64[np.ndarray, "m"]
    skips_unwanted: bool


class _Stamp(NamedTuple):
    """What the container says about one packet; times in units of the stream's time base."""

    time: int | None
    is_keyframe: bool
    is_hidden: bool
    is_corrupt: bool


def scan_packets(container: InputContainer, stream: VideoStream) -> Timeline | None:
    """The timeline from packets and one decoded frame; None where only decoding all can tell."""
    codec = stream.codec_context.codec.canonical_name
    if container.format.name not in _INDEXED_CONTAINERS or codec not in _INDEXED_CODECS:
        return None
    stamps: list[_Stamp] = []
    first: VideoFrame | None = None
    skips_unwanted = codec in ("h264", "hevc")
    for packet in container.demux(stream):
        if not packet.size:
            continue
        if not stamps:
            frames = [*packet.decode(), *stream.codec_context.decode(None)]
            first = frames[0] if frames else None
        flags = packet.is_keyframe, packet.is_discard, packet.is_corrupt
        stamps.append(_Stamp(packet.pts, *flags))
        # In HEVC, "not referred to" holds within a temporal layer only.
        if codec == "hevc" and skips_unwanted:
            skips_unwanted = _temporal_layer(packet, stream) == 0
    if first is None or not _is_consistent(stamps):
        return None
    times = sorted(s.time for s in stamps if s.time is not None and not s.is_hidden)
    keyframes = sorted(s.time for s in stamps if s.time is not None and s.is_keyframe)
    return Timeline(
        frame_info(container, stream, first, len(times)),
        np.array(times, dtype=np.int64),
        np.array(keyframes, dtype=np.int64),
        skips_unwanted,
    )


def frame_info(
    container: InputContainer, stream: VideoStream, first: VideoFrame, num_frames: int
) -> VideoInfo:
    """Size and orientation from the first frame, rate from the container."""
    orientation = Orientation.of_frame(first)
    width, height = first.width, first.height
    if orientation.swaps_sides:
        width, height = height, width
    fps = _frames_per_second(container, stream, num_frames)
    ratio = sample_aspect_ratio(stream)
    return VideoInfo(num_frames, fps, width, height, orientation, ratio)


def sample_aspect_ratio(stream: VideoStream) -> Fraction:
    """Width of a pixel over its height: the container's word before the codec's, as players have it.

    1 where neither says, or a pixel would be more than 16 times as long as it is wide: such headers
    are broken.
    """
    given = stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio
    if not given:
        return Fraction(1)
    ratio = Fraction(given.numerator, given.denominator)
    return ratio if 1 / _MAX_ASPECT <= ratio <= _MAX_ASPECT else Fraction(1)


def _is_consistent(stamps: list[_Stamp]) -> bool:
    """Whether frame i must be the packet with the i-th smallest time stamp."""
    times = [stamp.time for stamp in stamps if stamp.time is not None]
    if len(set(times)) < len(stamps) or any(stamp.is_corrupt for stamp in stamps):
        return False
    # Frames shown before the first keyframe lack their references: decoders drop them.
    starts_clean = stamps[0].is_keyframe and stamps[0].time == min(times)
    return starts_clean and not all(stamp.is_hidden for stamp in stamps)


def _temporal_layer(packet: Packet, stream: VideoStream) -> int:
    """Temporal layer of the first slice of an HEVC packet; 1 where it cannot be told."""
    extradata = stream.codec_context.extradata or b""
    if len(extradata) < 23 or extradata[0] != 1:
        return 1
    length_size = (extradata[21] & 3) + 1
    data = memoryview(packet)
    start = 0
    while start + length_size + 2 <= len(data):
        size = int.from_bytes(data[start : start + length_size], "big")
        header = data[start + length_size : start + length_size + 2]
        if header[0] >> 1 & 0x3F < 32:
            return (header[1] & 7) - 1
        start += length_size + size
    return 1


def _frames_per_second(container: InputContainer, stream: VideoStream, num_frames: int) -> float:
    rate = stream.average_rate or stream.guessed_rate  # unset: None, from PyAV 19 on 0/1
    if rate:
        return rate.numerator / rate.denominator
    if container.duration:
        return num_frames * 1_000_000 / container.duration
    return _DEFAULT_FPS
