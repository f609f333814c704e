"""The timeline of a video: times and places of its frames, from its packets or by decoding."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

import av.error
import numpy as np
from av import Packet
from av.container import InputContainer
from av.video import VideoFrame, VideoStream
from jaxtyping import Float64, Int64

from gcvideo.data.video._clock import FrameClock, Stamps, exact, frame_rate, stated_rates
from gcvideo.data.video._orientation import AS_STORED, Orientation
from gcvideo.data.video._random_access import StartPicture, nal_units, start_picture

# Here, every packet is one displayed frame with its own time stamp. In others (avi, mpg, raw streams;
# MPEG-4 part 2, VP8), packets may be hidden, empty, packed or stamped in decoding order.
_INDEXED_CONTAINERS = frozenset({"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm"})
_INDEXED_CODECS = frozenset({"h264", "hevc", "av1", "vp9"})

_NUM_PROBED = 32  # packets that are decoded if they may be fields
_MAX_ASPECT = 16  # of a pixel


@dataclass(frozen=True)
class VideoInfo:
    """The properties of a video as decoded, instead of headers that are known to be wrong.

    Args:
        num_frames: frames of a full decode.
        fps: mean frames per second, always positive; see :func:`~gcvideo.data.video._clock.frame_rate`.
        width, height: pixels of a frame as displayed, of any shape.
        orientation: orientation of the stored frames.
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
        """``num_frames / fps``: the length of the pictures, not of the sound."""
        return self.num_frames / self.fps

    @property
    def stored_size(self) -> tuple[int, int]:
        """Width and height of a stored frame."""
        swapped = self.orientation.swaps_sides
        return (self.height, self.width) if swapped else (self.width, self.height)


@dataclass(frozen=True, eq=False)
class Timeline:
    """The times and places of the frames of a video: everything needed to read any of them."""

    info: VideoInfo
    stamps: Int64[np.ndarray, "n"]  # presentation times, strictly ascending, in units of time_base
    time_base: Fraction  # seconds
    # Whether the packets have these stamps; otherwise, frames must be counted by decoding.
    is_direct: bool
    # Ascending times of packets from which decoding gives the same frames as from the first one.
    keyframes: Int64[np.ndarray, "m"]
    skips_unwanted: bool  # whether frames without references to them may be skipped

    @property
    def seconds(self) -> Float64[np.ndarray, "n"]:
        """The time of each frame in seconds since the first; strictly ascending."""
        since = self.stamps - self.stamps[:1]
        return since * self.time_base.numerator / self.time_base.denominator


class _Stamp(NamedTuple):
    """One packet: its time in units of the stream's time base, and its picture if flagged a keyframe."""

    time: int
    start: StartPicture | None
    is_hidden: bool


def scan_packets(container: InputContainer, stream: VideoStream) -> Timeline | None:
    """The timeline from packets and one decoded frame; None if all frames must be decoded."""
    codec = stream.codec_context.codec.canonical_name
    if container.format.name not in _INDEXED_CONTAINERS or codec not in _INDEXED_CODECS:
        return None
    stamps: list[_Stamp] = []
    probed: list[Packet] = []
    first: VideoFrame | None = None
    skips_unwanted = codec in ("h264", "hevc")
    extradata = stream.codec_context.extradata or b""
    for packet in container.demux(stream):
        if not packet.size:
            continue
        if packet.pts is None or packet.is_corrupt:
            return None
        if len(probed) < _NUM_PROBED:
            probed.append(packet)
        if not stamps:
            frames = [*packet.decode(), *stream.codec_context.decode(None)]
            first = frames[0] if frames else None
        start = start_picture(codec, bytes(packet), extradata) if packet.is_keyframe else None
        stamps.append(_Stamp(packet.pts, start, packet.is_discard))
        # In HEVC, "not referred to" holds only within a temporal layer.
        if codec == "hevc" and skips_unwanted:
            skips_unwanted = _temporal_layer(packet, extradata) == 0
    if first is None or not _is_consistent(stamps):
        return None
    shown = np.array(sorted(s.time for s in stamps if not s.is_hidden), dtype=np.int64)
    time_base = exact(stream.time_base)
    fps = frame_rate(shown, time_base, stated_rates(stream))
    if codec == "h264" and _are_fields(probed, fps, stream):
        return None
    return Timeline(
        frame_info(stream, first, len(shown), fps),
        shown,
        time_base,
        is_direct=True,
        keyframes=np.array(_clean_starts(stamps), dtype=np.int64),
        skips_unwanted=skips_unwanted,
    )


def counted_timeline(
    stream: VideoStream, first: VideoFrame, clock: FrameClock, frame_stamps: Sequence[Stamps]
) -> Timeline:
    """The timeline of decoded frames with these stamps."""
    ticks = clock.place_all(frame_stamps)  # finds the origin
    stamps = clock.origin + ticks
    return Timeline(
        frame_info(stream, first, len(stamps), frame_rate(stamps, clock.time_base, clock.stated)),
        stamps,
        clock.time_base,
        is_direct=False,
        keyframes=np.empty(0, np.int64),
        skips_unwanted=False,
    )


def frame_info(stream: VideoStream, first: VideoFrame, num_frames: int, fps: float) -> VideoInfo:
    """The properties of a video with this first frame."""
    orientation = Orientation.of_frame(first)
    width, height = first.width, first.height
    if orientation.swaps_sides:
        width, height = height, width
    ratio = sample_aspect_ratio(stream)
    return VideoInfo(num_frames, fps, width, height, orientation, ratio)


def sample_aspect_ratio(stream: VideoStream) -> Fraction:
    """Width of a pixel over its height, from the container before the codec, as in players.

    It is 1 if both lack it, or if one side is more than 16 times the other because of a broken header.
    """
    given = stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio
    if not given:
        return Fraction(1)
    ratio = Fraction(given.numerator, given.denominator)
    return ratio if 1 / _MAX_ASPECT <= ratio <= _MAX_ASPECT else Fraction(1)


def _is_consistent(stamps: list[_Stamp]) -> bool:
    """Whether frame i must be the packet with the i-th smallest time stamp."""
    times = {stamp.time for stamp in stamps}
    # Decoders drop frames without their references: those displayed before the first keyframe, and those
    # after it until a gradual refresh is complete.
    first = stamps[0]
    starts_clean = first.start is not None and first.start.is_exact and first.time == min(times)
    is_shown = not all(stamp.is_hidden for stamp in stamps)
    return len(times) == len(stamps) and starts_clean and is_shown


def _are_fields(start: list[Packet], fps: float, stream: VideoStream) -> bool:
    """Whether packets are fields (two per frame), which the header of the codec does not show."""
    context = stream.codec_context
    stated = context.framerate
    if not stated or fps < 1.5 * exact(stated):
        return False
    context.flush_buffers()
    try:
        num_frames = sum(len(packet.decode()) for packet in start)
        return num_frames + len(context.decode(None)) < len(start)
    except av.error.FFmpegError:
        return True  # then all frames must be decoded


def _clean_starts(stamps: list[_Stamp]) -> list[int]:
    exact = [(s.time, s.start) for s in stamps if s.start is not None and s.start.is_exact]
    # If sets differ from those in the header, a picture without sets depends on earlier packets.
    needs_sets = any(start.has_new_sets for _, start in exact)
    return sorted(time for time, start in exact if start.has_sets or not needs_sets)


def _temporal_layer(packet: Packet, extradata: bytes) -> int:
    """Temporal layer of the first slice of an HEVC packet; 1 if it is unknown."""
    for unit in nal_units("hevc", bytes(packet), extradata):
        if unit[0] >> 1 & 0x3F < 32 and len(unit) > 1:
            return (unit[1] & 7) - 1
    return 1
