"""Videos that readers are compared on."""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from footage import make_video
from references import Clip

from gcvideo.data import VideoReader
from gcvideo.data.video._timeline import Timeline

NUM_FRAMES, SAMPLING_RATE = 8, 8


@dataclass(frozen=True)
class Subject:
    """A video, and the random clips that everybody reads of it."""

    kind: str
    path: str
    timeline: Timeline
    has_audio: bool
    clips: tuple[Clip, ...]

    @classmethod
    def of(cls, kind: str, path: str, rounds: int) -> "Subject":
        """A file with 8x8 clips, one a round; in short files the frames lie closer.

        Raises:
            ValueError: if it has too few frames for one.
        """
        with VideoReader(path) as reader:
            timeline = reader.timeline
        num_frames = timeline.info.num_frames
        rate = min(SAMPLING_RATE, (num_frames - 1) // (NUM_FRAMES - 1))
        if rate < 1:
            raise ValueError(
                f"'{path}' has {num_frames} frames; a clip takes at least {NUM_FRAMES}"
            )
        steps = np.arange(NUM_FRAMES) * rate
        starts = np.random.default_rng(0).integers(num_frames - steps[-1], size=rounds)
        fps = Fraction(timeline.info.fps).limit_denominator(1001)
        with av.open(path) as container:
            has_audio = bool(container.streams.audio)
        clips = tuple(Clip(path, start + steps, fps) for start in starts)
        return cls(kind, path, timeline, has_audio, clips)

    def read(self, clip: Clip) -> np.ndarray:
        """As in training, where an index tells where the frames lie."""
        with VideoReader(self.path, timeline=self.timeline) as reader:
            return reader.read(clip.indices)

    def scan_and_read(self, clip: Clip) -> np.ndarray:
        """As in prediction, where the packets are scanned first."""
        with VideoReader(self.path) as reader:
            return reader.read(clip.indices)


def made_subjects(
    folder: Path, size: tuple[int, int], seconds: float, rounds: int
) -> list[Subject]:
    """Videos of the same pictures that differ in where keyframes lie.

    Args:
        folder: to write them to.
        size: width and height in pixels.
        seconds: length.
        rounds: clips to draw of each.
    """
    kinds = {
        "GOP 250": {"gop_size": 250},
        "GOP 250, no B-frames": {"gop_size": 250, "b_frames": False},
        "GOP 16": {"gop_size": 16},
        "GOP 250, AAC": {"gop_size": 250, "has_audio": True},
    }
    subjects = []
    for number, (kind, settings) in enumerate(kinds.items()):
        path = folder / f"{number}.mp4"
        make_video(path, size=size, seconds=seconds, **settings)
        subjects.append(Subject.of(kind, str(path), rounds))
    return subjects
