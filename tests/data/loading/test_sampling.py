import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gcvideo.data import (
    ClipSpec,
    EvenSampling,
    MMActionDenseSampling,
    MMActionSampling,
    MMActionSegmentSampling,
    MMActionUniformSampling,
    NonLocalSampling,
    PyTorchVideoSampling,
    SlowFastSampling,
    WholeVideoSampling,
)
from gcvideo.data.loading._sampling import torch_linspace

SPEC_8X8 = ClipSpec(num_frames=8, sampling_rate=8)
SAMPLINGS = (
    SlowFastSampling(),
    SlowFastSampling(reader="pyav"),
    SlowFastSampling(reader="torchvision"),
    MMActionSampling(),
    MMActionDenseSampling(),
    MMActionUniformSampling(),
    MMActionSegmentSampling(),
    NonLocalSampling(),
    PyTorchVideoSampling(),
    SlowFastSampling(offset=True),
    SlowFastSampling(offset=True, reader="pyav"),
    SlowFastSampling(offset=True, reader="torchvision"),
    MMActionSampling(out_of_bound="repeat_last"),
    MMActionSampling(target_fps=30.0),
    MMActionSampling(target_fps=30.0, out_of_bound="repeat_last"),
    PyTorchVideoSampling(inclusive=True),
    EvenSampling(),
    EvenSampling(jitter=True),
)
ASCENDING = SlowFastSampling | PyTorchVideoSampling | MMActionUniformSampling | EvenSampling
MONOTONIC = tuple(s for s in SAMPLINGS if isinstance(s, ASCENDING))


# What the peers' own code gave for the usual settings is in test_peer_clip; these are the others.
# (first, last) frame of clips 0, 1 and 9 of 10, for 300 frames at 30 fps, 8x8.
@pytest.mark.parametrize(
    ("sampling", "spans"),
    [
        (SlowFastSampling(offset=True), [(0, 63), (26, 89), (234, 297)]),
        (MMActionSampling(target_fps=30.0), [(0, 63), (26, 89), (234, 297)]),
        # Its window is a double below 64 / 30 seconds, so that the last one starts behind frame 236.
        (PyTorchVideoSampling(inclusive=True), [(0, 63), (27, 90), (237, 299)]),
    ],
)
def test_ten_clips_are_the_published_ones(sampling, spans):
    clips = sampling.test(300, 30.0, SPEC_8X8, 10)
    assert clips.shape == (10, 8)
    assert [(int(clips[k, 0]), int(clips[k, -1])) for k in (0, 1, 9)] == spans


@pytest.mark.parametrize(
    "sampling", [s for s in SAMPLINGS if not isinstance(s, WholeVideoSampling)], ids=repr
)
def test_a_single_clip_is_the_middle_one(sampling):
    (clip,) = sampling.test(300, 30.0, SPEC_8X8, 1)
    assert (clip[0], clip[-1]) == ((121, 177) if clip[1] - clip[0] == 8 else (118, 181))


@pytest.mark.parametrize("reader", ["whole", "pyav", "torchvision"])
def test_the_middle_is_not_lost_to_the_last_bit_of_a_window(reader):
    """31 / 30 * 30 is above 31 in double precision."""
    clip = SlowFastSampling(reader=reader).test(301, 30.0, ClipSpec(31, 1), 1)[0]
    assert clip.tolist() == list(range(135, 166))


def test_a_short_video_may_repeat_its_last_frame_in_mmaction2():
    sampling = MMActionSampling(out_of_bound="repeat_last")
    assert sampling.test(10, 30.0, ClipSpec(4, 6), 1)[0].tolist() == [0, 6, 6, 6]


def test_a_window_follows_the_target_rate():
    sampling = MMActionSampling(target_fps=30.0)
    assert sampling.test(300, 15.0, SPEC_8X8, 10)[0, -1] == 31
    assert SlowFastSampling(target_fps=15.0).test(300, 15.0, SPEC_8X8, 10)[0, -1] == 63


def test_a_window_between_two_frames_takes_the_next_frame():
    clips = PyTorchVideoSampling().test(10, 1.0, ClipSpec(2, 2), 4)
    assert clips.tolist() == [[0, 0], [3, 3], [5, 5], [8, 8]]


def test_frames_of_a_clip_are_the_same_on_every_processor():
    # Frame 8 by exact arithmetic, and by torch where it has no AVX2.
    assert torch_linspace(0, 16, 15).astype(np.int64)[7] == 7


@pytest.mark.skipif(
    torch.backends.cpu.get_cpu_capability() == "DEFAULT", reason="torch rounds twice without AVX2"
)
@given(
    start=st.floats(0, 1000, width=32),
    length=st.floats(0, 300, width=32),
    steps=st.integers(1, 70),
)
def test_linspace_is_torchs(start, length, steps):
    expected = torch.linspace(start, start + length, steps).numpy().astype(np.int64)
    assert np.array_equal(torch_linspace(start, start + length, steps).astype(np.int64), expected)


@given(
    sampling=st.sampled_from(SAMPLINGS),
    num_video_frames=st.integers(1, 400),
    fps=st.floats(0.5, 120),
    spec=st.builds(ClipSpec, st.integers(1, 40), st.integers(1, 40)),
    num_clips=st.integers(1, 12),
    seed=st.integers(0, 2**32),
)
def test_clips_stay_inside_the_video_and_random_ones_follow_the_seed(
    sampling, num_video_frames, fps, spec, num_clips, seed
):
    trained, again = (
        sampling.train(num_video_frames, fps, spec, np.random.default_rng(seed)) for _ in range(2)
    )
    assert np.array_equal(trained, again)
    assert trained.shape == (spec.num_frames,)
    tested = sampling.test(num_video_frames, fps, spec, num_clips)
    assert tested.shape == (num_clips, spec.num_frames)
    for clip in (trained, *tested):
        assert clip.dtype == np.int64
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
def test_train_clips_reach_both_ends_of_the_video(sampling, last_start):
    rng = np.random.default_rng(0)
    starts = {int(sampling.train(66, 30.0, SPEC_8X8, rng)[0]) for _ in range(60)}
    assert starts == set(range(min(starts), last_start + 1))
    assert min(starts) <= 1


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_a_video_without_frames_and_no_clips_are_refused(sampling):
    with pytest.raises(ValueError, match="num_video_frames is 0 but a clip needs at least 1"):
        sampling.test(0, 30.0, SPEC_8X8, 1)
    with pytest.raises(ValueError, match="num_video_frames is -1"):
        sampling.train(-1, 30.0, SPEC_8X8, np.random.default_rng(0))
    with pytest.raises(ValueError, match="num_clips is 0 but must be at least 1"):
        sampling.test(300, 30.0, SPEC_8X8, 0)


@pytest.mark.parametrize("fps", [0.0, -1.0, float("nan")])
def test_a_frame_rate_that_is_not_positive_is_refused(fps):
    with pytest.raises(ValueError, match=r"fps is .* but must be positive"):
        SlowFastSampling().test(300, fps, SPEC_8X8, 1)


def test_even_frames_span_the_whole_video_at_equal_distances():
    clip = EvenSampling().test(24, 12.0, ClipSpec(12, 8), 1)[0]
    assert clip.tolist() == list(range(1, 24, 2))
    assert EvenSampling().test(24, 30.0, ClipSpec(24, 1), 1)[0].tolist() == list(range(24))
    assert EvenSampling().test(3, 30.0, ClipSpec(6, 1), 1)[0].tolist() == [0, 0, 1, 1, 2, 2]
    several = EvenSampling().test(24, 30.0, ClipSpec(6, 1), 4)
    assert several.tolist() == [list(range(k, 24, 4)) for k in range(4)]


def test_even_training_clips_are_drawn_only_with_jitter():
    spec, rng = ClipSpec(6, 1), np.random.default_rng(0)
    still = {tuple(EvenSampling().train(24, 30.0, spec, rng)) for _ in range(50)}
    assert still == {tuple(range(2, 24, 4))}
    drawn = {tuple(EvenSampling(jitter=True).train(24, 30.0, spec, rng)) for _ in range(200)}
    assert drawn == {tuple(range(k, 24, 4)) for k in range(4)}


@pytest.mark.usefixtures("unchecked")
def test_another_reader_is_refused():
    with pytest.raises(ValueError, match="reader is 'decord'; choose whole, pyav, torchvision"):
        SlowFastSampling(reader="decord")


@pytest.mark.parametrize(("num_frames", "sampling_rate"), [(0, 8), (8, 0)])
def test_a_clip_needs_frames_and_a_rate(num_frames, sampling_rate):
    with pytest.raises(ValueError, match=r"(num_frames|sampling_rate) is 0 but must be at least 1"):
        ClipSpec(num_frames, sampling_rate)
