"""Videos whose frames come at any times and tell their number, with a tone that starts at any time."""

from fractions import Fraction

import av
import numpy as np

CLOCK = 90000
# 30 frames a second for a while, then 15.
TWO_RATES = [Fraction(i, 30) for i in range(60)] + [2 + Fraction(i, 15) for i in range(30)]


def numbered_picture(number):
    """Two grey halves: the level of the upper one tells ``number % 16``, of the lower ``number // 16``."""
    levels = np.repeat([8 + 16 * (number % 16), 8 + 16 * (number // 16)], 24)
    return np.broadcast_to(levels[:, None, None], (48, 64, 3)).astype(np.uint8)


def numbers_of(view):
    """Numbers of the frames of a clip of shape (3, t, h, w), cut around the middle of the pictures."""
    rows = np.asarray(view, float).mean((0, 3))
    low, high = rows[:, : rows.shape[1] // 4], rows[:, -(rows.shape[1] // 4) :]
    digits = [np.rint((half.mean(1) - 8) / 16).astype(int) for half in (low, high)]
    return (digits[0] + 16 * digits[1]).tolist()


def write_timed_video(path, times, codec="libx264", sound=None, layout="stereo", sound_start=0):
    """Frame i is :func:`numbered_picture` i; the tone of 440 Hz is as long as the pictures."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=30, options={"crf": "10"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.time_base = Fraction(1, CLOCK)
        track = None if sound is None else container.add_stream(sound, rate=48000, layout=layout)
        for i, seconds in enumerate(times):
            frame = av.VideoFrame.from_ndarray(numbered_picture(i), format="rgb24")
            frame.pts, frame.time_base = round(seconds * CLOCK), Fraction(1, CLOCK)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if track is not None:
            for frame in _tone(track.codec_context, float(times[-1] - times[0]), sound_start):
                container.mux(track.encode(frame))
            container.mux(track.encode(None))
    return path


def _tone(encoder, seconds, start):
    wave = np.sin(2 * np.pi * 440 * np.arange(int(48000 * seconds)) / 48000).astype(np.float32) / 2
    size = encoder.frame_size or 1024
    resampler = av.AudioResampler(encoder.format.name, encoder.layout.name, 48000, size)
    for first in range(0, len(wave), 1024):
        part = np.ascontiguousarray(wave[None, first : first + 1024])
        frame = av.AudioFrame.from_ndarray(part, format="fltp", layout="mono")
        frame.sample_rate, frame.time_base = 48000, Fraction(1, 48000)
        frame.pts = round(48000 * start) + first
        yield from resampler.resample(frame)
    yield from resampler.resample(None)


def shown_times(path):
    """Seconds of every frame, by a full decode."""
    with av.open(str(path)) as container:
        return np.array([float(frame.pts * frame.time_base) for frame in container.decode(video=0)])


def sound_of(path):
    """Codec, second of the first loud sample, and samples a second (mono); None without sound."""
    with av.open(str(path)) as container:
        if not container.streams.audio:
            return None
        stream = container.streams.audio[0]
        resampler = av.AudioResampler("fltp", "mono", 48000)
        frames = [r for frame in container.decode(stream) for r in resampler.resample(frame)]
        start = float(frames[0].pts * frames[0].time_base)
        wave = np.concatenate([frame.to_ndarray()[0] for frame in frames])
        loud = np.flatnonzero(np.abs(wave) > 0.1)
        codec = stream.codec_context.codec.canonical_name
        return codec, start + loud[0] / 48000, start + loud[-1] / 48000
