"""Files where readers differ in which frames there are, and which of them an index means."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from av import Packet
from coded_video import X264, Coding, copy_packets, cut_by_edit_list, encode
from reader_case import CLOSED_GOP, COUNT, RATE, Case, plain

_SIDE = "log-level=none:pools=1:frame-threads=1"
# The frame in the middle is a leading picture of the second keyframe: shown before, coded after it.
_HEVC_GOP = "scenecut=0:keyint=31:min-keyint=31:bframes=3:b-adapt=0:open-gop=1"


def frame_cases() -> list[Case]:
    """Rows of the table."""
    open_gop = {**X264, "g": "31", "bf": "3", "x264-params": "open-gop=1"}
    fragments = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
    return [
        Case("H.264 mp4", plain(), "The plain case."),
        Case(
            "open GOP, H.264",
            plain(Coding(options=open_gop)),
            "Some pictures that are shown before a keyframe are coded after it and refer to the "
            "previous group, so a seek to the keyframe does not return them. The middle frame is "
            "one of them.",
        ),
        Case(
            "open GOP, HEVC",
            plain(_hevc()),
            "The same in HEVC: a decoder that starts at a CRA picture drops its leading (RASL) "
            "pictures.",
        ),
        Case(
            "temporal layers, HEVC",
            plain(_hevc("temporal-layers=3")),
            "The headers of pictures mark layers, and all layers belong to the video.",
        ),
        Case(
            "fragmented mp4",
            plain(replace(CLOSED_GOP, container=fragments)),
            "The header lists no samples; each fragment lists its own.",
        ),
        Case(
            "edit list cuts the start",
            _edited,
            "The list says that the film begins 7 frames later. The frames before are needed only "
            "for decoding.",
            COUNT[7:],
        ),
        Case(
            "cut by stream copy, mp4",
            _cut_behind_keyframe,
            "The file has packets from the keyframe on. Those before the cut have negative times, "
            "and the edit list hides them.",
            COUNT[25:],
        ),
        Case(
            "cut by stream copy, mkv",
            _cut_between_keyframes,
            "The packets before the first keyframe cannot be decoded, so the video begins with "
            "that keyframe.",
            COUNT[40:],
        ),
        Case(
            "cut at an open GOP, HEVC",
            _cut_at_open_gop,
            "The leading pictures of the first keyframe refer to pictures that were cut off, so "
            "they are not shown.",
            COUNT[31:],
        ),
        Case(
            "MPEG-TS with B-frames",
            plain(CLOSED_GOP, name="a.ts"),
            "The file has no index and no count of frames. Seeking is a search by bytes, which "
            "lands after keyframes.",
        ),
        Case(
            "MPEG-TS, wrap of 33 bits",
            plain(replace(CLOSED_GOP, container={"output_ts_offset": "95442.5"}), name="a.ts"),
            "The time stamps restart in the middle of the file.",
        ),
        Case(
            "intra refresh, H.264",
            _refreshed,
            "Keyframes are recovery points: a picture is complete only when the refresh has "
            "passed over all of it. The last frame of this file shows this.",
            range(100),
            size=_REFRESHED_SIZE,
        ),
    ]


_REFRESHED_SIZE = (112, 64)


def _refreshed(folder: Path) -> Path:
    options = {"crf": "12", "g": "20", "bf": "0", "x264-params": "intra-refresh=1"}
    coding = Coding(options=options, grain=10.0)
    return encode(folder / "a.mp4", range(100), coding, size=_REFRESHED_SIZE)


def _hevc(more: str = "b-pyramid=1") -> Coding:
    parameters = ":".join([_SIDE, _HEVC_GOP, more])
    return Coding("libx265", {"preset": "ultrafast", "crf": "12", "x265-params": parameters})


def _edited(folder: Path) -> Path:
    path = encode(folder / "a.mp4", COUNT, CLOSED_GOP)
    return cut_by_edit_list(path, 7, RATE)


def _cut_behind_keyframe(folder: Path) -> Path:
    source = encode(folder / "whole.mp4", COUNT, CLOSED_GOP)
    return copy_packets(source, folder / "cut.mp4", _from_frame(20), zero=25 / RATE)


def _cut_between_keyframes(folder: Path) -> Path:
    no_b_frames = replace(CLOSED_GOP, options={**CLOSED_GOP.options, "bf": "0"})
    source = encode(folder / "whole.mp4", COUNT, no_b_frames)
    return copy_packets(source, folder / "cut.mkv", _from_frame(30), zero=30 / RATE)


def _from_frame(index: int) -> Callable[[Packet], bool]:
    return lambda packet: (packet.pts or 0) * packet.time_base >= index / RATE


def _cut_at_open_gop(folder: Path) -> Path:
    source = encode(folder / "whole.mp4", COUNT, _hevc())
    taken: list[bool] = []

    def choose(packet: Packet) -> bool:
        if taken or (packet.is_keyframe and packet.pts):
            taken.append(True)
        return bool(taken)

    return copy_packets(source, folder / "cut.ts", choose)
