"""The demo set: motions of random textures."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from gcvideo.data.loading._source import VideoSplits
from gcvideo.data.made._generated_set import generated_set

# Velocity of the texture per frame: (right, down) in frame widths, log of the scale, clockwise radians.
_MOTIONS = {
    "anticlockwise": (0.0, 0.0, 0.0, -1.0),
    "clockwise": (0.0, 0.0, 0.0, 1.0),
    "down": (0.0, 1.0, 0.0, 0.0),
    "grow": (0.0, 0.0, 1.0, 0.0),
    "left": (-1.0, 0.0, 0.0, 0.0),
    "right": (1.0, 0.0, 0.0, 0.0),
    "shrink": (0.0, 0.0, -1.0, 0.0),
    "up": (0.0, -1.0, 0.0, 0.0),
}
_FLIP_PAIRS = (("left", "right"), ("clockwise", "anticlockwise"))
_SHIFT_PER_FRAME, _LOG_SCALE_PER_FRAME, _RADIANS_PER_FRAME = 0.02, 0.04, 0.06


def demo_videos(
    *,
    root: str | None = None,
    train_per_class: int = 30,
    val_per_class: int = 12,
    num_frames: int = 32,
    size: int = 72,
    seed: int = 0,
) -> VideoSplits:
    """Eight motions of random textures as h264 files, made on first use.

    A texture moves left, right, up or down, grows, shrinks or turns. Position, angle and scale of a
    frame have the same distribution in every class, so one frame says nothing about the class.

    Args:
        root: folder to keep the set in; None: ``$GCVIDEO_CACHE``, else ``~/.cache/gcvideo``.
        train_per_class: training videos of each motion.
        val_per_class: validation videos of each motion; the test uses them too.
        num_frames: frames per video, at 30 per second.
        size: height and width in pixels; even.
        seed: seed of textures and motions.
    """
    videos = generated_set(
        root,
        name="demo",
        version=2,
        seed=seed,
        classes=sorted(_MOTIONS),
        videos_per_class={"train": train_per_class, "val": val_per_class},
        render=render_motion,
        drawing={"num_frames": num_frames, "size": size, "shake": 1.0},
    )
    return VideoSplits(videos["train"], videos["val"], videos["val"], _FLIP_PAIRS)


def render_motion(
    motion: str, rng: np.random.Generator, *, num_frames: int, size: int, shake: float = 1.0
) -> UInt8[np.ndarray, "t h w 3"]:
    """The frames of one video: a periodic random texture seen through a moving affine window.

    Frame k shows texture(s_k R(angle_k) p + offset_k). Offset and angle are uniform in every frame.
    If the scale is constant, it is drawn like the scale of a zoom in a random frame.

    ``shake`` is the amplitude of a camera shake, relative to what the slowest motion does in two frames.
    Without it, a net that only compares neighbouring frames regardless of their order, such as C2D with
    its temporal pool, could tell turning (a still centre) from zooming and shifting.
    """
    right, down, grow, clockwise = _MOTIONS[motion]
    speed = rng.uniform(0.75, 1.25)
    middle = (num_frames - 1) / 2
    path = (np.arange(num_frames) - middle) * speed
    rest = rng.uniform(-middle, middle) * speed
    shaken = shake * rng.uniform(-2, 2, size=(4, num_frames))
    angle = rng.uniform(0, 2 * math.pi) - _RADIANS_PER_FRAME * (clockwise * path + shaken[0])
    zoom = grow * path if grow else rest
    log_scale = rng.uniform(-0.8, -0.2) - _LOG_SCALE_PER_FRAME * (zoom + shaken[1])
    # affine_grid's unit is half a frame width.
    shift = -2 * _SHIFT_PER_FRAME * (np.outer(path, (right, down)) + shaken[2:].T)
    # The window moves along its own axes, whatever the angle of the texture.
    cos, sin = np.cos(angle), np.sin(angle)
    rotation = np.stack([np.stack([cos, -sin], -1), np.stack([sin, cos], -1)], -2)
    scale = np.exp(log_scale)[:, None, None]
    offset = (scale * rotation @ shift[..., None])[..., 0] + rng.uniform(-1, 1, size=2)
    theta = np.concatenate([scale * rotation, offset[..., None]], axis=-1)
    return _view(_texture(rng), torch.from_numpy(theta.astype(np.float32)), size)


def _texture(rng: np.random.Generator, size: int = 128) -> Float[Tensor, "3 s s"]:
    """Periodic noise with a 1/f spectrum, colours in [0, 1]."""
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None]) * size
    amplitude = np.where((frequency >= 2) & (frequency <= 16), 1 / np.maximum(frequency, 1), 0)
    spectrum = amplitude * np.exp(2j * np.pi * rng.random((3, *amplitude.shape)))
    image = np.fft.irfft2(spectrum, s=(size, size))
    image = 0.5 + 0.22 * image / image.std(axis=(1, 2), keepdims=True)
    return torch.from_numpy(image.clip(0, 1).astype(np.float32))


def _view(
    texture: Float[Tensor, "3 s s"], theta: Float[Tensor, "t 2 3"], size: int
) -> UInt8[np.ndarray, "t h w 3"]:
    grid = F.affine_grid(theta, [len(theta), 3, size, size], align_corners=False)
    # The texture repeats: fold the window's coordinates back into its period of [-1, 1).
    folded = torch.remainder(grid + 1, 2) - 1
    padded = F.pad(texture[None], (1, 1, 1, 1), mode="circular")
    folded = folded * texture.shape[-1] / padded.shape[-1]
    images = F.grid_sample(padded.expand(len(theta), -1, -1, -1), folded, align_corners=False)
    return (images.permute(0, 2, 3, 1) * 255).round().to(torch.uint8).numpy()
