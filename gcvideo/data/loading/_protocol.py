"""How a video is shown, and how its views are scored."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Int64

from gcvideo.data.loading._crop import CropLayout, SlowFastCrops, Window
from gcvideo.data.loading._sampling import ClipSampling, ClipSpec
from gcvideo.data.loading._time_grid import frames_at
from gcvideo.data.video._resizing import DecodeSize, Resizing, TorchvisionResizing, resized
from gcvideo.data.video._timeline import Timeline


@dataclass(frozen=True, kw_only=True)
class EvaluationProtocol:
    """How a video becomes views and how the views' logits become scores.

    One object serves validation, test and prediction and is written into every result, which shows
    whether two numbers can be compared.

    Args:
        name: name in results.
        sampling: rule for the frames of clips, in training (random) and test (uniform).
        num_frames: frames per clip, T.
        sampling_rate: source frames from one sampled frame to the next, tau.
        by_time: whether ``sampling`` counts places on an even grid of the video's mean rate, each with
            the frame shown there, instead of frames. At a constant rate both are the same.
        num_clips: clips per video in the test.
        num_crops: spatial windows per clip in the test: 1 or 3, or 10 if ``crops`` has them.
        square_pixels: whether frames with oblong pixels get square ones, as in players.
        short_side: pixels of the shorter side that frames are resized to (bilinear).
        resizing: rule for the longer side, in training too.
        crop_size: pixels of the square window in the test.
        val_crop_size: pixels of the centre window of the single view in validation and prediction.
        train_crop_size: pixels of the crop in training; the fully-convolutional heads pool over
            windows of a 32nd of it.
        crops: places of the windows.
        head: "adaptive", "fcn_logit" or "fcn_prob".
        average: "prob", "logit" or "max" over views.
        mean: RGB mean on the scale [0, 1].
        std: RGB standard deviation on the scale [0, 1].
        normalization: "constants" for mean and std; "motion" for each pixel less its mean over the clip,
            see :class:`~gcvideo.models.ClipClassifier`.
        antialias: low-pass before shrinking, which PySlowFast, PyTorchVideo and mmaction2 leave out.

    Raises:
        ValueError: for counts below one, a number of crops that ``crops`` lacks, a crop larger than
            the frame, or the motion of a single frame.
    """

    name: str
    sampling: ClipSampling
    num_frames: int
    sampling_rate: int
    num_clips: int = 10
    num_crops: int = 3
    square_pixels: bool = False
    short_side: int = 256
    resizing: Resizing = TorchvisionResizing()
    crop_size: int = 256
    val_crop_size: int = 224
    train_crop_size: int = 224
    crops: CropLayout = SlowFastCrops()
    head: str = "adaptive"
    average: str = "prob"
    mean: Sequence[float] = (0.45, 0.45, 0.45)
    std: Sequence[float] = (0.225, 0.225, 0.225)
    normalization: str = "constants"
    antialias: bool = False
    by_time: bool = False

    def __post_init__(self) -> None:
        if self.num_clips < 1:
            raise ValueError(
                f"num_clips is {self.num_clips}; a test needs at least 1 clip per video"
            )
        for name in ("crop_size", "val_crop_size"):
            size = getattr(self, name)
            if not 1 <= size <= self.short_side:
                raise ValueError(
                    f"{name} is {size} pixels, the short side {self.short_side}; the crop must fit: "
                    f"lower {name} or raise short_side"
                )
        if self.normalization == "motion" and self.num_frames == 1:
            raise ValueError(
                "normalization is 'motion' and num_frames 1, but a single frame does not move; raise "
                "num_frames or set normalization=constants"
            )
        self.windows(self.short_side, self.short_side)  # refuses numbers of crops that it lacks

    @property
    def spec(self) -> ClipSpec:
        return ClipSpec(num_frames=self.num_frames, sampling_rate=self.sampling_rate)

    @property
    def num_views(self) -> int:
        return self.num_clips * self.num_crops

    @property
    def decode_size(self) -> DecodeSize:
        """The size to which much larger sources are reduced while they are decoded."""
        return DecodeSize(self.short_side, self.resizing)

    @property
    def head_pool_size(self) -> int:
        """Window of the fully-convolutional heads in feature cells."""
        return max(1, self.train_crop_size // 32)

    def frame_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width that frames are resized to."""
        return resized(self.resizing, height, width, self.short_side)

    def windows(self, height: int, width: int) -> list[Window]:
        """The ``num_crops`` windows of a resized frame."""
        return self.crops.corners(height, width, self.crop_size, self.num_crops)

    def train_clip(
        self, video: Timeline, rng: np.random.Generator, spec: ClipSpec | None = None
    ) -> Int64[np.ndarray, "t"]:
        """Frame indices of one random clip of a video, with the length and pace of ``spec`` if given."""
        info = video.info
        clip = self.sampling.train(info.num_frames, info.fps, spec or self.spec, rng)
        return self._frames(clip, video)

    def test_clips(self, video: Timeline) -> Int64[np.ndarray, "k t"]:
        """Frame indices of the ``num_clips`` fixed clips of a video."""
        info = video.info
        clips = self.sampling.test(info.num_frames, info.fps, self.spec, self.num_clips)
        return self._frames(clips, video)

    def _frames(self, places: Int64[np.ndarray, "*s"], video: Timeline) -> Int64[np.ndarray, "*s"]:
        if not self.by_time:
            return places
        return frames_at(places / video.info.fps, video.seconds, 1 / video.info.fps)

    def single_view(self) -> "EvaluationProtocol":
        """The same protocol with one centre clip and one centre crop."""
        return replace(self, num_clips=1, num_crops=1, crop_size=self.val_crop_size)

    def with_views(
        self, num_clips: int | None = None, num_crops: int | None = None
    ) -> "EvaluationProtocol":
        """The same protocol with another number of clips or crops; None keeps it."""
        given = {"num_clips": num_clips, "num_crops": num_crops}
        return replace(self, **{name: n for name, n in given.items() if n is not None})

    def for_prediction(self, num_clips: int, num_crops: int) -> "EvaluationProtocol":
        """The single view, with its own crop size, or as many views as requested."""
        if (num_clips, num_crops) == (1, 1):
            return self.single_view()
        return self.with_views(num_clips, num_crops)

    def __str__(self) -> str:
        return (
            f"{self.name}: {self.num_clips} clips x {self.num_crops} crops of {self.num_frames} x "
            f"{self.crop_size} x {self.crop_size}, sampling rate {self.sampling_rate}"
            f"{' by time' if self.by_time else ''}, head {self.head}, average {self.average}"
            f"{', square pixels' if self.square_pixels else ''}"
            f"{', input motion' if self.normalization == 'motion' else ''}"
        )
