"""Whether a net sees the same in the same frames, whatever file they come in.

python benchmarks/containers.py CHECKPOINT ROOT

ROOT has one folder per class. Each video is classified as it is, and as copies with the same frames: a webm
as browsers record it (no frame rate, times on a clock of milliseconds, jitter), an mp4 with such times and
an mkv that states no frame rate. The exit code is 1 if a number of right answers differs.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import numpy as np
from jaxtyping import Int64

import gcvideo
from gcvideo.data import read_annotations
from gcvideo.inference import TrainedClassifier

MILLISECOND = Fraction(1, 1000)
JITTER = 0.3  # standard deviation of the time between two frames, as a share of its mean
# Matroska's DefaultDuration, and an element of the same length that says nothing.
DURATION, VOID = b"\x23\xe3\x83", 0xEC


def jittered(num_frames: int, fps: Fraction, rng: np.random.Generator) -> Int64[np.ndarray, "n"]:
    """Milliseconds at which a recorder gets the frames of a camera, whose mean rate is ``fps``."""
    steps = (1 + JITTER * rng.standard_normal(num_frames - 1)).clip(0.3, 3)
    times = np.append(0, np.cumsum(steps)) * (num_frames - 1) / steps.sum()
    return np.round(times * float(1000 / fps)).astype(np.int64)


def copy_packets(source: str, target: Path, rng: np.random.Generator | None) -> None:
    """The same packets in another container; with ``rng``, at times that jitter."""
    with av.open(source) as container, av.open(str(target), "w") as out:
        stream = container.streams.video[0]
        added = out.add_stream_from_template(stream)
        packets = [packet for packet in container.demux(stream) if packet.size]
        if rng is not None:
            places = np.argsort(np.argsort([packet.pts or 0 for packet in packets]))
            times = jittered(len(packets), Fraction(str(stream.average_rate)), rng)
            # No frame is shown before it is decoded.
            decoded = times - (times - times[places]).max()
            for packet, pts, dts in zip(packets, times[places], decoded, strict=True):
                packet.pts, packet.dts = int(pts), int(dts)
                packet.time_base, packet.duration = MILLISECOND, 0
        for packet in packets:
            packet.stream = added
            out.mux(packet)


def record(source: str, target: Path, rng: np.random.Generator) -> None:
    """The same frames, without loss, in a webm as a browser's recorder writes it."""
    with av.open(source) as container, av.open(str(target), "w", options={"live": "1"}) as out:
        stream = container.streams.video[0]
        rate = Fraction(str(stream.average_rate))
        added = out.add_stream("libvpx-vp9", rate=round(rate), options={"lossless": "1"})
        added.width, added.height, added.pix_fmt = stream.width, stream.height, "yuv420p"
        added.codec_context.time_base = MILLISECOND
        frames = list(container.decode(stream))
        for frame, time in zip(frames, jittered(len(frames), rate, rng), strict=True):
            frame.pts, frame.time_base, frame.pict_type = int(time), MILLISECOND, 0
            out.mux(added.encode(frame))
        out.mux(added.encode(None))
    without_rate(target)


def without_rate(path: Path) -> None:
    """Take the frame rate out of a Matroska file; all else keeps its place."""
    data = bytearray(path.read_bytes())
    start = data.find(DURATION)
    size = data[start + 3] & 0x7F
    data[start : start + 4 + size] = bytes([VOID, 0x80 | size + 2]) + bytes(size + 2)
    path.write_bytes(data)


def variable_rate(source: str, target: Path, rng: np.random.Generator) -> None:
    """A copy whose frames come as a phone's do."""
    copy_packets(source, target, rng)


def mkv_without_rate(source: str, target: Path, _: np.random.Generator) -> None:
    """A copy in Matroska, whose header says nothing of a rate."""
    copy_packets(source, target, None)
    without_rate(target)


COPIES: dict[str, tuple[str, Callable[[str, Path, np.random.Generator], None] | None]] = {
    "as it is": ("", None),
    "recorder webm": (".webm", record),
    "mp4, variable rate": (".mp4", variable_rate),
    "mkv without a frame rate": (".mkv", mkv_without_rate),
}


def num_right(
    classifier: TrainedClassifier, videos: Sequence[str], labels: Sequence[int], copy: str
) -> int:
    """Videos whose best class is their label."""
    suffix, make = COPIES[copy]
    rng = np.random.default_rng(0)
    right = 0
    with TemporaryDirectory() as folder:
        for number, (video, label) in enumerate(zip(videos, labels, strict=True)):
            file = video
            if make is not None:
                file = str(Path(folder) / f"{number}{suffix}")
                make(video, Path(file), rng)
            right += classifier.classify(file, top_k=1)[0].label == label
    return right


def main(words: Sequence[str] | None = None) -> int:
    """Classify all copies; 1 if they do not agree."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", help="file or run folder of a training")
    parser.add_argument("root", help="folder with one folder of videos per class")
    options = parser.parse_args(words)
    classifier = gcvideo.load(options.checkpoint)
    listed = read_annotations(options.root, root=options.root, classes=classifier.classes)
    videos = [listed.path(i) for i in range(len(listed))]
    labels = listed.labels.tolist()
    counts = {}
    for copy in COPIES:
        counts[copy] = num_right(classifier, videos, labels, copy)
        print(f"{copy:26} {counts[copy]} of {len(videos)} right", flush=True)
    return int(len(set(counts.values())) > 1)


if __name__ == "__main__":
    sys.exit(main())
