from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from av import Packet
from av.container import InputContainer
from av.video import VideoFrame, VideoStream
from jaxtyping import Int64

from gcvideo.data.random_access import StartPicture, nal_units, start_picture

# Where every packet is one shown frame with its own time stamp. Elsewhere (avi, mpg, raw streams;
# MPEG-4 part 2, VP8) packets may be hidden, empty, packed or stamped in decoding order.
_INDEXED_CONTAINERS = frozenset({"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm"})
_INDEXED_CODECS = frozenset({"h264", "hevc", "av1", "vp9"})

_DEFAULT_FPS = 25.0  # FFmpeg's own assumption for streams that state no rate


@dataclass(frozen=True)
class VideoInfo:
    """What a video shows, as decoded: headers are not believed where they are known to lie.

    Args:
        num_frames: frames that a full decode gives.
        fps: average frames per second, always positive.
        width: of a frame in pixels, after rotation; the sample aspect ratio is ignored.
        height: of a frame in pixels, after rotation.
        rotation: degrees counterclockwise by which the stored frames are turned: 0, 90, 180, 270.
    """

    num_frames: int
    fps: float
    width: int
    height: int
    rotation: int

    @property
    def duration_seconds(self) -> float:
        """``num_frames / fps``: the pictures alone, however long the sound lasts."""
        return self.num_frames / self.fps

    @property
    def stored_size(self) -> tuple[int, int]:
        """Width and height before rotation."""
        turned = self.rotation % 180 != 0
        return (self.height, self.width) if turned else (self.width, self.height)


@dataclass(frozen=True, eq=False)
class Timeline:
    """Where the frames of a video lie in its file; made once, enough to read any frame directly.

    Args:
        info: number, rate and size of the frames.
        times: presentation time of each frame, ascending, in units of the stream's time base; None
            where packets do not tell and frames must be counted by decoding.
        keyframes: presentation times of the packets where decoding can start and give the same as
            from the first packet on, ascending.
        skips_unwanted: whether frames that no other frame refers to may be left undecoded.
    """

    info: VideoInfo
    times: Int64[np.ndarray, "n"] | None
    keyframes: Int64[np.ndarray, "m"]
    skips_unwanted: bool


class _Stamp(NamedTuple):
    """One packet: its time in units of the stream's time base, and its picture if flagged a keyframe."""

    time: int | None
    start: StartPicture | None
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
    extradata = stream.codec_context.extradata or b""
    for packet in container.demux(stream):
        if not packet.size:
            continue
        if not stamps:
            frames = [*packet.decode(), *stream.codec_context.decode(None)]
            first = frames[0] if frames else None
        start = start_picture(codec, bytes(packet), extradata) if packet.is_keyframe else None
        stamps.append(_Stamp(packet.pts, start, packet.is_discard, packet.is_corrupt))
        # In HEVC, "not referred to" holds within a temporal layer only.
        if codec == "hevc" and skips_unwanted:
            skips_unwanted = _temporal_layer(packet, extradata) == 0
    if first is None or not _is_consistent(stamps):
        return None
    times = sorted(s.time for s in stamps if s.time is not None and not s.is_hidden)
    return Timeline(
        frame_info(container, stream, first, len(times)),
        np.array(times, dtype=np.int64),
        np.array(_clean_starts(stamps), dtype=np.int64),
        skips_unwanted,
    )


def frame_info(
    container: InputContainer, stream: VideoStream, first: VideoFrame, num_frames: int
) -> VideoInfo:
    """Size from the first frame, rate from the container."""
    rotation = round(first.rotation / 90) % 4 * 90
    turned = rotation % 180 != 0
    width, height = (first.height, first.width) if turned else (first.width, first.height)
    fps = _frames_per_second(container, stream, num_frames)
    return VideoInfo(num_frames, fps, width, height, rotation)


def _is_consistent(stamps: list[_Stamp]) -> bool:
    """Whether frame i must be the packet with the i-th smallest time stamp."""
    times = [stamp.time for stamp in stamps if stamp.time is not None]
    if len(set(times)) < len(stamps) or any(stamp.is_corrupt for stamp in stamps):
        return False
    # Decoders drop frames that lack their references: those shown before the first keyframe, and those
    # after it until a gradual refresh is complete.
    first = stamps[0].start
    starts_clean = first is not None and first.is_exact and stamps[0].time == min(times)
    return starts_clean and not all(stamp.is_hidden for stamp in stamps)


def _clean_starts(stamps: list[_Stamp]) -> list[int]:
    exact = [
        (s.time, s.start)
        for s in stamps
        if s.time is not None and s.start is not None and s.start.is_exact
    ]
    # Once sets differ from the header's, a picture without sets depends on what was read before it.
    needs_sets = any(start.has_new_sets for _, start in exact)
    return sorted(time for time, start in exact if start.has_sets or not needs_sets)


def _temporal_layer(packet: Packet, extradata: bytes) -> int:
    """Temporal layer of the first slice of an HEVC packet; 1 where it cannot be told."""
    for unit in nal_units("hevc", bytes(packet), extradata):
        if unit[0] >> 1 & 0x3F < 32 and len(unit) > 1:
            return (unit[1] & 7) - 1
    return 1


def _frames_per_second(container: InputContainer, stream: VideoStream, num_frames: int) -> float:
    rate = stream.average_rate or stream.guessed_rate  # unset: None, from PyAV 19 on 0/1
    if rate:
        return rate.numerator / rate.denominator
    if container.duration:
        return num_frames * 1_000_000 / container.duration
    return _DEFAULT_FPS
