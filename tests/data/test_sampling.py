import csv
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from peer_clip import pyav_clip, pytorchvideo_clip, torchvision_clip

from gcvideo.data import (
    ClipSampling,
    ClipSpec,
    MMActionDenseSampling,
    MMActionSampling,
    MMActionSegmentSampling,
    MMActionUniformSampling,
    NonLocalSampling,
    PyTorchVideoSampling,
    SlowFastSampling,
)
from gcvideo.data.sampling import torch_linspace

SPEC_8X8 = ClipSpec(num_frames=8, sampling_rate=8)
PUBLISHED = {
    "slowfast": SlowFastSampling(reader="torchvision"),
    "slowfast_pyav": SlowFastSampling(reader="pyav"),
    "slowfast_whole": SlowFastSampling(),
    "mmaction": MMActionSampling(),
    "mmaction_dense": MMActionDenseSampling(),
    "mmaction_uniform": MMActionUniformSampling(),
    "mmaction_segment": MMActionSegmentSampling(),
    "nonlocal": NonLocalSampling(),
    "pytorchvideo": PyTorchVideoSampling(),
}
SAMPLINGS = (
    *PUBLISHED.values(),
    SlowFastSampling(offset=True),
    SlowFastSampling(offset=True, reader="pyav"),
    SlowFastSampling(offset=True, reader="torchvision"),
    MMActionSampling(out_of_bound="repeat_last"),
    MMActionSampling(target_fps=30.0),
    MMActionSampling(target_fps=30.0, out_of_bound="repeat_last"),
    PyTorchVideoSampling(inclusive=True),
)
ASCENDING = SlowFastSampling | PyTorchVideoSampling | MMActionUniformSampling
MONOTONIC = tuple(s for s in SAMPLINGS if isinstance(s, ASCENDING))


def peers_clips():
    """Clips that the peers' own code has chosen: PySlowFast at 287ec00 (at 31d2ea7 with ``pyav``),
    mmaction2 at 4d6c934, video-nonlocal-net at c253ed5 and PyTorchVideo 0.1.5.
    """
    with (Path(__file__).parent / "peer_clips.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("row", peers_clips(), ids=lambda row: "-".join(list(row.values())[:-1]))
def test_clips_are_those_that_the_peers_own_code_takes(row):
    spec = ClipSpec(int(row["num_frames"]), int(row["sampling_rate"]))
    sampling, fps = PUBLISHED[row["protocol"]], float(Fraction(row["fps"]))
    clips = sampling.test(int(row["frames"]), fps, spec, int(row["num_clips"]))
    assert clips[int(row["clip"])].tolist() == [int(index) for index in row["indices"].split()]


class Share(np.random.Generator):
    """Draws the same share of every range."""

    def __init__(self, share):
        super().__init__(np.random.PCG64(0))
        self.share = share

    def uniform(self, low, high):
        return low + (high - low) * self.share


RATES = [Fraction(rate) for rate in (5, 12, 15, 24, 25, 30, 50, 60, 120)] + [
    *(Fraction(rate, 1001) for rate in (15000, 24000, 30000, 60000)),
    *(Fraction(25, 2), Fraction(2997, 100), Fraction(2397, 100)),
]
readings = given(
    num_frames=st.integers(1, 700),
    rate=st.sampled_from(RATES),
    spec=st.builds(ClipSpec, st.integers(1, 40), st.integers(1, 33)),
    num_clips=st.integers(2, 20),
    clip=st.integers(0, 19),
    share=st.floats(0, 1, exclude_max=True),
)


@readings
def test_slowfast_takes_what_its_readers_have_decoded(
    num_frames, rate, spec, num_clips, clip, share
):
    """Against loops over the frames of a file, where the package computes first and last."""
    readers = {
        "pyav": pyav_clip,
        "torchvision": torchvision_clip,
        "whole": lambda *given: torchvision_clip(*given, whole=True),
    }
    clip %= num_clips
    for name, read in readers.items():
        sampling, length = SlowFastSampling(reader=name), spec.num_frames
        # As PySlowFast multiplies: a share would be rounded once more.
        wanted = read(num_frames, rate, length, spec.sampling_rate, _Ratio(clip, num_clips))
        if wanted is not None:
            clips = sampling.test(num_frames, float(rate), spec, num_clips)
            assert clips[clip].tolist() == wanted, name
        drawn = read(num_frames, rate, length, spec.sampling_rate, share)
        if drawn is not None:
            found = sampling.train(num_frames, float(rate), spec, Share(share))
            assert found.tolist() == drawn, name


class _Ratio:
    """Clip k of K: a factor that multiplies first and divides then."""

    def __init__(self, numerator, denominator):
        self.numerator, self.denominator = numerator, denominator

    def __rmul__(self, other):
        return other * self.numerator / self.denominator


@readings
def test_pytorchvideo_takes_the_frames_of_its_window(
    num_frames, rate, spec, num_clips, clip, share
):
    del share
    clip %= num_clips
    for inclusive in (False, True):
        parts = num_clips - 1 if inclusive else num_clips
        given = (num_frames, rate, spec.num_frames, spec.sampling_rate, Fraction(clip, parts))
        wanted = pytorchvideo_clip(*given)
        sampling = PyTorchVideoSampling(inclusive=inclusive)
        if wanted is not None:
            clips = sampling.test(num_frames, float(rate), spec, num_clips)
            assert clips[clip].tolist() == wanted


@given(
    num_frames=st.integers(1, 200),
    length=st.integers(1, 40),
    num_clips=st.integers(1, 12),
    seed=st.integers(0, 99),
)
def test_segments_give_a_frame_each(num_frames, length, num_clips, seed):
    sampling, spec = MMActionSegmentSampling(seed=seed), ClipSpec(length, 1)
    rng = np.random.default_rng(seed)
    for clip in (
        *sampling.test(num_frames, 30.0, spec, num_clips),
        sampling.train(num_frames, 30.0, spec, rng),
    ):
        if num_frames < length:
            assert (np.diff(clip) % num_frames == 1 % num_frames).all()
        elif num_frames < 2 * length:
            assert set(np.diff(clip)) <= {1, 2}
        else:
            part = np.arange(length)
            assert (part * num_frames // length <= clip).all()
            assert (clip < (part + 1) * num_frames // length).all()


def test_segments_are_drawn_anew_for_each_seed_and_not_for_each_video():
    first, again, other = (
        MMActionSegmentSampling(seed=seed).test(300, 30.0, SPEC_8X8, 3).tolist()
        for seed in (255, 255, 256)
    )
    assert first == again != other
    assert first[0] != first[1]


@given(num_frames=st.integers(1, 300), length=st.integers(1, 40), seed=st.integers(0, 99))
def test_uniform_frames_come_from_equal_parts_of_the_video(num_frames, length, seed):
    bounds = [round(i * ((num_frames - 1) / length)) for i in range(length + 1)]
    rng, spec = np.random.default_rng(seed), ClipSpec(length, 1)
    clip = MMActionUniformSampling().train(num_frames, 30.0, spec, rng)
    assert (np.array(bounds[:-1]) <= clip).all()
    assert (clip <= np.array(bounds[1:])).all()


def test_dense_clips_leave_their_range_at_the_end():
    starts = MMActionDenseSampling(sample_range=100).test(300, 30.0, SPEC_8X8, 5)[:, 0]
    assert starts.tolist() == [0, 50, 100, 150, 200]
    rng = np.random.default_rng(0)
    drawn = {int(MMActionDenseSampling().train(70, 30.0, SPEC_8X8, rng)[0]) for _ in range(60)}
    assert drawn == set(range(6))  # the last of 70 - 64 + 1 places is never drawn
    with pytest.raises(ValueError, match="sample_range is 0 but must be at least 1 frame"):
        MMActionDenseSampling(sample_range=0)


def test_clips_of_one_frame_are_the_middles_of_equal_parts_in_mmaction2():
    for target_fps in (None, 30.0):
        clips = MMActionSampling(target_fps=target_fps).test(300, 30.0, ClipSpec(1, 8), 3)
        assert clips.tolist() == [[50], [150], [250]]


# (first, last) frame of clips 0, 1 and 9 of 10, for 300 frames at 30 fps, 8x8.
@pytest.mark.parametrize(
    ("sampling", "spans"),
    [
        (SlowFastSampling(), [(0, 63), (23, 86), (212, 275)]),
        (SlowFastSampling(offset=True), [(0, 63), (26, 89), (234, 297)]),
        (MMActionSampling(), [(0, 56), (27, 83), (243, 299)]),
        (MMActionSampling(target_fps=30.0), [(0, 63), (26, 89), (234, 297)]),
        (NonLocalSampling(), [(0, 56), (30, 86), (270, 26)]),
        (PyTorchVideoSampling(), [(0, 63), (24, 87), (213, 276)]),
        # Its window is a double below 64 / 30 seconds, so that the last one starts behind frame 236.
        (PyTorchVideoSampling(inclusive=True), [(0, 63), (27, 90), (237, 299)]),
    ],
)
def test_ten_clips_are_the_published_ones(
    sampling: ClipSampling, spans: list[tuple[int, int]]
) -> None:
    clips = sampling.test(300, 30.0, SPEC_8X8, 10)
    assert clips.shape == (10, 8)
    assert [(int(clips[k, 0]), int(clips[k, -1])) for k in (0, 1, 9)] == spans


@pytest.mark.parametrize(
    ("sampling", "first", "last"),
    [
        (SlowFastSampling(), 118, 181),
        (SlowFastSampling(offset=True), 118, 181),
        (SlowFastSampling(reader="pyav"), 118, 181),
        (SlowFastSampling(reader="torchvision"), 118, 181),
        (MMActionDenseSampling(), 121, 177),
        (MMActionSampling(), 121, 177),
        (MMActionSampling(target_fps=30.0), 118, 181),
        (NonLocalSampling(), 121, 177),
        (PyTorchVideoSampling(), 118, 181),
        (PyTorchVideoSampling(inclusive=True), 118, 181),
    ],
)
def test_a_single_clip_is_the_middle_one(sampling: ClipSampling, first: int, last: int) -> None:
    (clip,) = sampling.test(300, 30.0, SPEC_8X8, 1)
    assert (clip[0], clip[-1]) == (first, last)


@pytest.mark.parametrize(
    ("sampling", "spec", "clip"),
    [
        (SlowFastSampling(), ClipSpec(8, 8), [0, 9, 18, 27, 36, 45, 54, 63]),
        (SlowFastSampling(), ClipSpec(4, 16), [0, 21, 42, 63]),
        (MMActionSampling(), ClipSpec(4, 16), [0, 16, 32, 48]),
        (NonLocalSampling(), ClipSpec(4, 16), [0, 16, 32, 48]),
        (PyTorchVideoSampling(), ClipSpec(4, 16), [0, 21, 42, 63]),
    ],
)
def test_the_spacing_inside_a_clip_is_the_published_one(
    sampling: ClipSampling, spec: ClipSpec, clip: list[int]
) -> None:
    assert sampling.test(300, 30.0, spec, 10)[0].tolist() == clip


def test_the_last_nonlocal_clip_wraps_to_the_start() -> None:
    assert NonLocalSampling().test(300, 30.0, SPEC_8X8, 10)[9].tolist() == [
        *(270, 278, 286, 294),
        *(2, 10, 18, 26),
    ]


@pytest.mark.parametrize(
    ("sampling", "clip"),
    [
        (SlowFastSampling(), [0, 7, 9, 9]),
        (MMActionSampling(), [0, 6, 2, 8]),
        (MMActionSampling(out_of_bound="repeat_last"), [0, 6, 6, 6]),
        (NonLocalSampling(), [0, 6, 2, 8]),
        (PyTorchVideoSampling(), [0, 3, 6, 9]),
    ],
)
def test_a_short_video_is_filled_by_the_protocols_own_rule(
    sampling: ClipSampling, clip: list[int]
) -> None:
    assert sampling.test(10, 30.0, ClipSpec(4, 6), 1)[0].tolist() == clip


@pytest.mark.parametrize(
    "sampling",
    [SlowFastSampling(), MMActionSampling(target_fps=30.0), PyTorchVideoSampling()],
)
def test_a_video_at_half_the_frame_rate_gives_half_the_window(sampling: ClipSampling) -> None:
    assert sampling.test(300, 15.0, SPEC_8X8, 10)[0, -1] == 31


def test_slowfast_takes_another_target_rate() -> None:
    assert SlowFastSampling(target_fps=15.0).test(300, 15.0, SPEC_8X8, 10)[0, -1] == 63


def test_a_window_between_two_frames_takes_the_next_frame() -> None:
    clips = PyTorchVideoSampling().test(10, 1.0, ClipSpec(2, 2), 4)
    assert clips.tolist() == [[0, 0], [3, 3], [5, 5], [8, 8]]


@given(
    start=st.floats(0, 1000, width=32),
    length=st.floats(0, 300, width=32),
    steps=st.integers(1, 70),
)
def test_linspace_is_torchs(start: float, length: float, steps: int) -> None:
    expected = torch.linspace(start, start + length, steps).numpy().astype(np.int64)
    assert np.array_equal(torch_linspace(start, start + length, steps).astype(np.int64), expected)


videos = {
    "num_video_frames": st.integers(1, 400),
    "fps": st.floats(0.5, 120),
    "spec": st.builds(ClipSpec, st.integers(1, 40), st.integers(1, 40)),
}


@given(sampling=st.sampled_from(SAMPLINGS), num_clips=st.integers(1, 12), **videos)
def test_test_clips_stay_inside_the_video(
    sampling: ClipSampling, num_video_frames: int, fps: float, spec: ClipSpec, num_clips: int
) -> None:
    clips = sampling.test(num_video_frames, fps, spec, num_clips)
    assert clips.shape == (num_clips, spec.num_frames)
    assert clips.dtype == np.int64
    assert clips.min() >= 0
    assert clips.max() < num_video_frames
    if sampling in MONOTONIC:
        assert (np.diff(clips, axis=1) >= 0).all()


@given(sampling=st.sampled_from(SAMPLINGS), seed=st.integers(0, 2**32), **videos)
def test_train_clips_stay_inside_the_video_and_follow_the_seed(
    sampling: ClipSampling, num_video_frames: int, fps: float, spec: ClipSpec, seed: int
) -> None:
    clip = sampling.train(num_video_frames, fps, spec, np.random.default_rng(seed))
    again = sampling.train(num_video_frames, fps, spec, np.random.default_rng(seed))
    assert np.array_equal(clip, again)
    assert clip.shape == (spec.num_frames,)
    assert clip.min() >= 0
    assert clip.max() < num_video_frames
    if sampling in MONOTONIC:
        assert (np.diff(clip) >= 0).all()


@pytest.mark.parametrize(
    ("sampling", "last_start"),
    [
        (SlowFastSampling(), 1),
        (MMActionSampling(), 2),
        (NonLocalSampling(), 2),
        (PyTorchVideoSampling(), 2),
    ],
)
def test_train_clips_reach_both_ends_of_the_video(sampling: ClipSampling, last_start: int) -> None:
    rng = np.random.default_rng(0)
    starts = {int(sampling.train(66, 30.0, SPEC_8X8, rng)[0]) for _ in range(60)}
    assert starts == set(range(min(starts), last_start + 1))
    assert min(starts) <= 1


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_a_video_without_frames_is_refused(sampling: ClipSampling) -> None:
    with pytest.raises(ValueError, match="num_video_frames is 0 but a clip needs at least 1"):
        sampling.test(0, 30.0, SPEC_8X8, 1)
    with pytest.raises(ValueError, match="num_video_frames is -1"):
        sampling.train(-1, 30.0, SPEC_8X8, np.random.default_rng(0))


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_no_clips_are_refused(sampling: ClipSampling) -> None:
    with pytest.raises(ValueError, match="num_clips is 0 but must be at least 1"):
        sampling.test(300, 30.0, SPEC_8X8, 0)


@pytest.mark.parametrize("fps", [0.0, -1.0, float("nan")])
def test_a_frame_rate_that_is_not_positive_is_refused(fps: float) -> None:
    with pytest.raises(ValueError, match=r"fps is .* but must be positive"):
        SlowFastSampling().test(300, fps, SPEC_8X8, 1)


@pytest.mark.usefixtures("unchecked")
def test_another_reader_is_refused():
    with pytest.raises(ValueError, match="reader is 'decord'; choose whole, pyav, torchvision"):
        SlowFastSampling(reader="decord")


@pytest.mark.parametrize(("num_frames", "sampling_rate"), [(0, 8), (8, 0)])
def test_a_clip_needs_frames_and_a_rate(num_frames: int, sampling_rate: int) -> None:
    with pytest.raises(ValueError, match=r"(num_frames|sampling_rate) is 0 but must be at least 1"):
        ClipSpec(num_frames, sampling_rate)
