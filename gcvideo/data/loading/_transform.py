"""Augmentation of training clips, and the fixed views of an evaluation."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Int, UInt8
from torch import Tensor
from torchvision.transforms import v2
from torchvision.tv_tensors import Video

from gcvideo.data.loading._protocol import EvaluationProtocol
from gcvideo.data.video._resizing import Resizing, resized


class TrainTransform:
    """Random views for training: torchvision v2 steps on a clip, then a label-safe flip.

    All frames of a clip share one draw. The result is a pure function of clip, label and ``seed``.

    Args:
        steps: torchvision v2 transforms of a uint8 (t, c, h, w) video, in order; together they must
            give a fixed size.
        flip_prob: probability of a horizontal flip.
        swapped_labels: label of the mirrored video if it is another one, such as "left" and "right"; in
            both directions. Empty: a flip keeps the label. If flips are not safe and labels cannot be
            swapped, set ``flip_prob`` to 0.

    Raises:
        ValueError: if ``flip_prob`` is not a probability.
    """

    def __init__(
        self,
        steps: Sequence[Callable[[Tensor], Tensor]],
        *,
        flip_prob: float = 0.5,
        swapped_labels: Mapping[int, int] | None = None,
    ) -> None:
        if not 0 <= flip_prob <= 1:
            raise ValueError(f"flip_prob is {flip_prob}; a probability lies in [0, 1]")
        self.steps = list(steps)
        self.flip_prob = flip_prob
        self.swapped_labels = dict(swapped_labels or {})

    def __call__(
        self, clip: UInt8[np.ndarray, "t h w 3"], label: int, seed: int
    ) -> tuple[UInt8[Tensor, "3 t height width"], int]:
        # torchvision draws from the global generator: seed it, and restore it.
        with torch.random.fork_rng(devices=[]):
            # torch.manual_seed would take a millisecond to seed devices that are not in use.
            torch.default_generator.manual_seed(seed)
            video: Tensor = Video(torch.from_numpy(clip).permute(0, 3, 1, 2))
            for step in self.steps:
                video = step(video)
            if torch.rand(()) < self.flip_prob:
                video = v2.functional.horizontal_flip(video)
                label = self.swapped_labels.get(label, label)
        return video.as_subclass(Tensor).permute(1, 0, 2, 3).contiguous(), label


class ShortSideResize:
    """A step of training: the shorter side gets a length, and the longer one follows as in the test.

    Args:
        min_size: pixels of the shorter side.
        max_size: end (exclusive) of the range from ``min_size`` from which the length is drawn; None, or
            ``min_size``: the length is ``min_size``.
        resizing: rule of the protocol for the longer side.

    Raises:
        ValueError: if ``max_size`` is below ``min_size``.
    """

    def __init__(self, min_size: int, max_size: int | None = None, *, resizing: Resizing) -> None:
        if max_size is not None and max_size < min_size:
            raise ValueError(
                f"max_size is {max_size}, below min_size of {min_size}; give at least {min_size}"
            )
        self.min_size = min_size
        self.max_size = min_size if max_size is None else max_size
        self.resizing = resizing

    def __call__(self, video: Tensor) -> Tensor:
        size = self.min_size
        if self.max_size > size:
            size = int(torch.randint(size, self.max_size, ()))
        height, width = video.shape[-2:]
        target = resized(self.resizing, height, width, size)
        return v2.functional.resize(video, list(target), antialias=False)


def evaluation_views(
    frames: UInt8[np.ndarray, "u h w 3"],
    clips: Int[np.ndarray, "k t"],
    protocol: EvaluationProtocol,
) -> UInt8[Tensor, "v 3 t s s"]:
    """Views of a video in temporal-major order: view = clip * num_crops + crop.

    Args:
        frames: distinct frames that the clips use, RGB.
        clips: positions in ``frames`` that each clip takes.
        protocol: sizes and windows.
    """
    pictures = resize_frames(torch.from_numpy(frames).permute(0, 3, 1, 2), protocol).numpy()
    size = protocol.crop_size
    windows = protocol.windows(*pictures.shape[2:])
    views = np.empty((len(clips), len(windows), 3, clips.shape[1], size, size), np.uint8)
    for frame, picture in enumerate(pictures):
        # Colours are separated once per frame, not once per view that shows it; then rows are copied.
        planar = np.ascontiguousarray(picture)
        for clip, position in np.argwhere(clips == frame):
            for crop, (y, x, is_mirrored) in enumerate(windows):
                view = planar[:, y : y + size, x : x + size]
                views[clip, crop, :, position] = view[:, :, ::-1] if is_mirrored else view
    return torch.from_numpy(views.reshape(-1, *views.shape[2:]))


def resize_frames(
    frames: UInt8[Tensor, "t 3 h w"], protocol: EvaluationProtocol
) -> UInt8[Tensor, "t 3 height width"]:
    """Frames of the size that a protocol crops from."""
    size = protocol.frame_size(*frames.shape[2:])
    return v2.functional.resize(frames, list(size), antialias=protocol.antialias)
