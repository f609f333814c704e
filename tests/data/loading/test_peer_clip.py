"""Clips against those of the peers: what their own code gave, and loops over the frames of a file."""

import csv
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from peer_clip import pyav_clip, pytorchvideo_clip, torchvision_clip

from gcvideo.data import (
    ClipSpec,
    MMActionDenseSampling,
    MMActionSampling,
    MMActionSegmentSampling,
    MMActionUniformSampling,
    NonLocalSampling,
    PyTorchVideoSampling,
    SlowFastSampling,
)

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
