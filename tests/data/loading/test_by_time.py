"""Sampling by time: the published formulas on an even grid of a video's mean rate."""

from fractions import Fraction

import av
import av.error
import numpy as np
import pytest
import torch
from exact_net import SAMPLINGS
from hypothesis import given
from hypothesis import strategies as st
from small_protocol import make_protocol
from timed_video import TWO_RATES, numbers_of, shown_times, write_timed_video
from torchvision.transforms import v2

from gcvideo._construction import construct
from gcvideo.data import (
    ClipSpec,
    EvaluationVideos,
    MMActionSampling,
    NonLocalSampling,
    TrainingVideos,
    TrainTransform,
    read_annotations,
    read_views,
)
from gcvideo.data.loading._time_grid import frames_at
from gcvideo.data.video._timeline import Timeline, VideoInfo
from gcvideo.inference import _contact_sheet as contact_sheet


def make_timeline(stamps, clock=1000):
    stamps = np.array(stamps, np.int64)
    fps = (len(stamps) - 1) * clock / (stamps[-1] - stamps[0])
    info = VideoInfo(len(stamps), float(fps), 64, 48)
    return Timeline(info, stamps, Fraction(1, clock), True, stamps[:1], skips_unwanted=False)


# Six frames in 2.75 seconds, so a place of the grid is 0.55 s: the middles of the places lie at 0.275,
# 0.825, 1.375, 1.925, 2.475 and 3.025 s, where the frames 1, 3, 3, 4, 4 and 5 are on the screen.
VARYING = make_timeline([0, 250, 500, 750, 1750, 2750])


def test_on_a_varying_rate_the_formula_counts_places_of_an_even_grid():
    rng = np.random.default_rng(0)
    # The only clip of three frames, two apart, that NonLocalSampling knows in six: 0, 2, 4.
    by_count = make_protocol(
        sampling=NonLocalSampling(), num_frames=3, sampling_rate=2, num_clips=1
    )
    by_time = make_protocol(
        sampling=NonLocalSampling(), num_frames=3, sampling_rate=2, num_clips=1, by_time=True
    )
    assert by_count.test_clips(VARYING).tolist() == [[0, 2, 4]]
    assert by_time.test_clips(VARYING).tolist() == [[1, 3, 4]]
    assert by_count.train_clip(VARYING, rng).tolist() == [0, 2, 4]
    assert by_time.train_clip(VARYING, rng).tolist() == [1, 3, 4]
    # All six places, then a clip that is longer than the video and starts over.
    every = make_protocol(num_frames=6, sampling_rate=1, num_clips=1, by_time=True)
    assert every.test_clips(VARYING).tolist() == [[1, 3, 3, 4, 4, 5]]
    assert every.train_clip(VARYING, rng, ClipSpec(8, 1)).tolist() == [1, 3, 3, 4, 4, 5, 1, 3]


@pytest.mark.parametrize("sampling", SAMPLINGS, ids=repr)
@pytest.mark.parametrize("fps", [12.5, 30, 30000 / 1001, 120])
@pytest.mark.parametrize("num_frames", [2, 9, 300])
def test_at_a_constant_rate_clips_are_those_of_the_formula(sampling, fps, num_frames):
    # Stamps in milliseconds, as Matroska rounds them.
    video = make_timeline(np.rint(1000 * np.arange(num_frames) / fps))
    plain = make_protocol(sampling=sampling, num_clips=10)
    by_time = make_protocol(sampling=sampling, num_clips=10, by_time=True)
    np.testing.assert_array_equal(by_time.test_clips(video), plain.test_clips(video))
    for seed in range(10):
        clips = [p.train_clip(video, np.random.default_rng(seed)) for p in (plain, by_time)]
        np.testing.assert_array_equal(*clips)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("by_time")
    for name in ("one", "two"):
        (root / name).mkdir()
        write_timed_video(root / name / "rates.mp4", TWO_RATES)
    return root


def grid(path):
    """The frame that is on the screen in the middle of each place of an even grid, one by one."""
    shown = shown_times(path)
    step = shown[-1] / (len(shown) - 1)
    return [max(j for j, time in enumerate(shown) if time < (i + 0.5) * step) for i in range(90)]


def test_training_test_and_prediction_take_clips_by_time(folder):
    annotations = read_annotations(folder, root=folder)
    path = folder / "one" / "rates.mp4"
    expected = grid(path)
    protocol = make_protocol(
        sampling=MMActionSampling(), num_frames=5, sampling_rate=6, num_clips=4, by_time=True
    )
    clips = [[expected[start + 6 * i] for i in range(5)] for start in (0, 22, 43, 65)]
    tested = EvaluationVideos(annotations, protocol=protocol)[0]["views"]
    assert [numbers_of(view) for view in tested] == clips
    assert torch.equal(tested, read_views(str(path), protocol))
    (middle,) = read_views(str(path), protocol.single_view())
    assert numbers_of(middle) == [expected[32 + 6 * i] for i in range(5)]

    trained = TrainingVideos(
        annotations,
        protocol=protocol,
        transform=TrainTransform([v2.CenterCrop(32)]),
        clips_per_video=8,
    )[0, 0]["views"]
    starts = {tuple(expected[start + 6 * i] for i in range(5)): start for start in range(61)}
    assert len({starts[tuple(numbers_of(view))] for view in trained}) > 4


def test_a_sheet_of_views_names_the_frames_by_time(folder, tmp_path, monkeypatch):
    captions = []
    monkeypatch.setattr(
        contact_sheet, "write_contact_sheet", lambda *_, captions: captions_seen(captions)
    )

    def captions_seen(given):
        captions.extend(given)

    path = folder / "two" / "rates.mp4"
    protocol = make_protocol(num_frames=3, sampling_rate=40, num_clips=1, by_time=True)
    contact_sheet.write_view_sheet(tmp_path / "sheet.png", path, protocol)
    shown = [grid(path)[place] for place in (4, 44, 84)]
    assert captions == [f"clip 0 crop 0: frames {' '.join(map(str, shown))} of 90"]


def test_a_protocol_tells_whether_it_goes_by_time_and_old_descriptions_do_not():
    description = {
        "_target_": "gcvideo.data.EvaluationProtocol",
        "name": "old",
        "sampling": {"_target_": "gcvideo.data.SlowFastSampling"},
        "num_frames": 8,
        "sampling_rate": 8,
    }
    old = construct(description)
    new = construct({**description, "by_time": True})
    assert (old.by_time, new.by_time) == (False, True)
    assert new.single_view().by_time
    assert new.with_views(2, 3).by_time
    assert "sampling rate 8 by time, head" in str(new)
    assert "by time" not in str(old)


@given(
    st.integers(1, 300),
    st.sampled_from([1.0, 12.5, 24.0, 25.0, 30000 / 1001, 59.94, 240.0]),
    st.randoms(use_true_random=False),
)
def test_at_a_constant_rate_each_frame_stands_for_its_own_time(num_frames, fps, random):
    # Stamps may be rounded, or tremble, by less than half a step.
    noise = np.array([random.uniform(-0.49, 0.49) for _ in range(num_frames)])
    shown = np.sort(np.arange(num_frames) + noise) / fps
    indices = frames_at(np.arange(num_frames) / fps, shown, 1 / fps)
    np.testing.assert_array_equal(indices, np.arange(num_frames))


def test_frames_are_repeated_and_left_out_where_the_rate_varies():
    # Three frames at 4 a second, then at 1: on a grid of 2 a second.
    shown = np.array([0, 0.25, 0.5, 0.75, 1.75, 2.75])
    wanted = np.arange(7) / 2
    # The middles of the steps lie at 0.25, 0.75, 1.25, ...; what comes in the very middle is late.
    np.testing.assert_array_equal(frames_at(wanted, shown, 0.5), [0, 2, 3, 3, 4, 4, 5])


def filtered_numbers(stamps, fps):
    """Numbers of the frames that FFmpeg's filter ``fps`` gives."""
    graph = av.filter.Graph()
    graph.threads = 1  # others would hang a forked worker that collects them
    source = graph.add_buffer(width=16, height=16, format="gray", time_base=Fraction(1, 1000))
    graph.link_nodes(source, graph.add("fps", f"fps={fps}"), graph.add("buffersink")).configure()
    numbers = []

    def pull():
        while True:
            try:
                numbers.append(int(graph.pull().to_ndarray()[0, 0]))
            except (av.error.BlockingIOError, av.error.EOFError):
                return

    for i, stamp in enumerate(stamps):
        frame = av.VideoFrame.from_ndarray(np.full((16, 16), i, np.uint8), format="gray")
        frame.pts, frame.time_base = stamp, Fraction(1, 1000)
        graph.push(frame)
        pull()
    graph.push(None)
    pull()
    return numbers


@pytest.mark.parametrize("fps", [7, 15, 30])
def test_a_grid_is_what_ffmpeg_makes_of_a_varying_rate(fps):
    steps = np.random.default_rng(0).integers(11, 140, 60)
    stamps = [0, *np.cumsum(steps).tolist()]
    expected = filtered_numbers(stamps, fps)
    wanted = np.arange(len(expected)) / fps
    found = frames_at(wanted, np.array(stamps) / 1000, 1 / fps)
    # The filter also decides how long the last frame stays.
    before_last = len([number for number in expected if number < 60])
    np.testing.assert_array_equal(found[:before_last], expected[:before_last])
