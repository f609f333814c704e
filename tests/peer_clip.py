"""How peers read the frames of a clip, step by step: their loops over the frames of a file.

Written from their conventions alone; imports nothing of the package.
"""

import math
from fractions import Fraction

import torch


def mp4_stamps(num_frames: int, rate: Fraction) -> tuple[list[int], int]:
    """Time stamps of the frames of an MP4 file by FFmpeg, and ticks per second."""
    per_second = rate.numerator
    while per_second < 10_000:
        per_second *= 2
    step = per_second * rate.denominator // rate.numerator
    return list(range(0, num_frames * step, step)), per_second


def microseconds(ticks: int, per_second: int) -> int:
    return math.floor(ticks * 1_000_000 / per_second + 0.5)


def subsample(frames: list[int], start: float, window: float, num_samples: int) -> list[int]:
    points = torch.linspace(start, start + window - 1, num_samples)
    return [frames[i] for i in points.clamp(0, len(frames) - 1).long().tolist()]


def pyav_clip(
    num_frames: int, rate: Fraction, samples: int, tau: int, share: float
) -> list[int] | None:
    """PySlowFast in 2019: a clip that starts at a share of the room that it has; None if it fails."""
    window = tau * samples / 30 * float(rate)
    start = max(num_frames - window, 0) * share
    stamps, _ = mp4_stamps(num_frames, rate)
    ticks = (stamps[-1] + mp4_stamps(2, rate)[0][1]) / num_frames
    begin, end = int(start * ticks), int((start + window - 1) * ticks)
    kept = []
    for frame, stamp in enumerate(stamps):
        if stamp < begin:
            continue
        kept.append(frame)
        if stamp > end:
            break
    return subsample(kept, 0.0, samples * tau * float(rate) / 30, samples) if kept else None


def torchvision_clip(
    num_frames: int, rate: Fraction, samples: int, tau: int, share: float, *, whole: bool = False
) -> list[int]:
    """PySlowFast since 2022, which reads through torchvision; or with the whole video decoded."""
    fps = torch.tensor(float(rate)).item()
    stamps, per_second = mp4_stamps(num_frames, rate)
    duration = float(num_frames * mp4_stamps(2, rate)[0][1]) * (1 / float(per_second))
    window = max(1.0, tau * samples / 30 * fps)
    if not whole and fps * duration > samples * tau:
        start = max(fps * duration - window, 0) * share
        begin, end = (int(i * (per_second / fps)) for i in (start, start + window - 1))
        first, last = microseconds(begin, per_second), microseconds(end, per_second) + 100
        times = [microseconds(stamp, per_second) for stamp in stamps]
        kept = [i for i, time in enumerate(times) if first <= time and (end <= 0 or time <= last)]
        if kept:
            return subsample(kept, 0.0, window, samples)
    return subsample(list(range(num_frames)), max(num_frames - window, 0) * share, window, samples)


def pytorchvideo_clip(
    num_frames: int, rate: Fraction, samples: int, tau: int, share: Fraction
) -> list[int] | None:
    """PyTorchVideo: the frames whose time lies in a window of exact ends; None where there is none."""
    window = Fraction(samples * tau / 30)
    start = max(num_frames / rate - window, Fraction(0)) * share
    stamps, per_second = mp4_stamps(num_frames, rate)
    begin, end = (math.ceil(second * per_second) for second in (start, start + window))
    kept = [i for i, stamp in enumerate(stamps) if begin <= stamp < end]
    return subsample(kept, 0.0, float(len(kept)), samples) if kept else None
