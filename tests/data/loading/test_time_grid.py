from fractions import Fraction

import av
import av.error
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gcvideo.data.loading._time_grid import frames_at


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
