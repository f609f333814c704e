"""The check that decoders of the codecs of Kinetics give the frames that were encoded."""

import os
import tempfile
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from gcvideo._invocation import command_line
from gcvideo.data import VideoReader, write_video
from gcvideo.doctor import Finding, fail, ok, warn

_NUM_FRAMES, _SIZE, _STEP = 24, 64, 8
# Adjacent frames differ by _STEP; with errors below half of it, none is mistaken for another.
_MAX_ERROR = _STEP / 2
# Encoders to try in turn, suffix of the container, and options: a keyframe every 12 frames and, if the
# encoder supports it, reordered frames in between.
_CODECS = {
    "h264": (("libx264", "libopenh264"), ".mp4", {"g": "12", "bf": "2"}),
    "mpeg4": (("mpeg4",), ".avi", {"g": "12", "b": "4M"}),
    "vp8": (("libvpx",), ".webm", {"g": "12"}),
    "vp9": (("libvpx-vp9",), ".webm", {"g": "12"}),
    "hevc": (("libx265",), ".mp4", {"x265-params": "log-level=none:keyint=12"}),
    "av1": (("libsvtav1", "libaom-av1"), ".mp4", {"g": "12"}),
}
_REMEDY = "install PyAV's wheel, which brings its own FFmpeg: `pip install --force-reinstall av`"


def check_decoder(codec: str) -> Finding:
    """Write a clip, read its frames in random order, and compare them with the originals."""
    written = _clip()
    encoders, suffix, options = _CODECS[codec]
    # SVT-AV1 ignores the log level of FFmpeg.
    os.environ.setdefault("SVT_LOG", "0")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"clip{suffix}"
        for encoder in encoders:
            try:
                write_video(path, written, codec=encoder, options=options)
                break
            except ValueError:  # PyAV's UnknownCodecError
                continue
        else:
            return warn(
                f"not tested: this FFmpeg has no encoder ({' or '.join(encoders)}) to make a clip",
                f"decode your own videos with `{command_line('check')}`, or " + _REMEDY,
            )
        order = np.random.default_rng(0).permutation(_NUM_FRAMES)
        with VideoReader(path) as reader:
            num_frames = reader.info.num_frames
            if num_frames != _NUM_FRAMES:
                return fail(f"{num_frames} frames of {_NUM_FRAMES} that were written", _REMEDY)
            read = reader.read(order)
    errors = np.abs(read[:, None].astype(np.float32) - written).mean((2, 3, 4))
    wrong = np.flatnonzero(errors.argmin(1) != order)
    if len(wrong):
        first = wrong[0]
        return fail(
            f"asked for frame {order[first]}, the decoder gave frame {errors[first].argmin()}",
            _REMEDY,
        )
    error = errors[np.arange(_NUM_FRAMES), order].max()
    if error > _MAX_ERROR:
        return fail(
            f"frames differ by {error:.1f} of 255 on average from those that were written; "
            f"{_MAX_ERROR:.1f} is the limit",
            _REMEDY,
        )
    return ok(f"{_NUM_FRAMES} frames by {encoder} read back in any order")


def _clip() -> UInt8[np.ndarray, "t h w 3"]:
    """Frames whose grey level is 20 + 8 k on the left and its negative on the right."""
    level = (20 + _STEP * np.arange(_NUM_FRAMES, dtype=np.uint8))[:, None, None, None]
    frames = np.empty((_NUM_FRAMES, _SIZE, _SIZE, 3), np.uint8)
    frames[:, :, : _SIZE // 2] = level
    frames[:, :, _SIZE // 2 :] = 255 - level
    return frames
