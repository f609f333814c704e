from copy import deepcopy
from fractions import Fraction
from functools import partial

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stamped_video import write_stamped

from gcvideo.data.video._clock import FrameClock, frame_rate

MILLISECOND = Fraction(1, 1000)
STAMP = st.none() | st.integers(-(10**12), 10**12)


@pytest.fixture(scope="module")
def make_clock(tmp_path_factory):
    """Clocks of a stream in milliseconds whose header states 25 frames a second."""
    path = write_stamped(tmp_path_factory.mktemp("clock") / "a.mkv", [Fraction(0)], rate=25)
    with av.open(str(path)) as container:
        clock = FrameClock(container, container.streams.video[0])
    assert (clock.rate, clock.time_base) == (25, MILLISECOND)
    return partial(deepcopy, clock)


@pytest.fixture
def placed(make_clock):
    """Where a clock places frames of these stamps."""

    def place(*stamps):
        clock = make_clock()
        return [clock.place((stamp, None)) for stamp in stamps]

    return place


@given(st.lists(st.tuples(STAMP, STAMP), min_size=1))
def test_time_ascends_whatever_the_stamps(make_clock, frames):
    for ticks in (make_clock().place_all(frames), np.array([*map(make_clock().place, frames)])):
        assert ticks[0] == 0
        assert (np.diff(ticks) > 0).all()


@given(st.lists(st.integers(1, 10**9), min_size=1, max_size=50), st.integers(-(10**9), 10**9))
def test_stamps_that_ascend_are_the_times(make_clock, steps, start):
    stamps = [start, *(start + np.cumsum(steps)).tolist()]
    clock = make_clock()
    ticks = clock.place_all([(stamp, None) for stamp in stamps])
    assert (clock.origin + ticks).tolist() == stamps


def test_a_missing_stamp_comes_one_mean_step_after_the_last(placed):
    assert placed(None, None, None) == [0, 40, 80]  # of the stated rate
    assert placed(100, 150, None, None, 310) == [0, 50, 100, 150, 210]
    assert placed(None, None, 100, 150) == [0, 40, 80, 130]


def test_sparse_stamps_tell_the_rate_between_them(placed):
    stamps = [i * 100 if i % 4 == 0 else None for i in range(41)]
    assert placed(*stamps)[-1] == 4000
    assert np.diff(placed(*stamps)[8:]).tolist() == [100] * 32


def test_a_clock_that_starts_anew_goes_on(placed):
    assert placed(0, 40, 80, 120, 160, 200, 0, 40, 90) == [0, 40, 80, 120, 160, 200, 240, 280, 330]


def test_a_frame_too_early_lets_the_next_ones_catch_up(placed):
    assert placed(0, 40, 120, 80, 160, 200, 240)[-2:] == [200, 240]


def test_stamps_in_the_order_of_decoding_give_way_to_those_in_order(make_clock):
    shown = [0, 40, 80, 120, 160, 200]
    decoded = [0, 120, 40, 80, 200, 160]
    clock = make_clock()
    ticks = clock.place_all([*zip(decoded, [7 + time for time in shown], strict=True)])
    assert ticks.tolist() == shown


def rate_of(seconds, time_base, *stated):
    stamps = np.array([round(second / time_base) for second in seconds], dtype=np.int64)
    return frame_rate(stamps, time_base, stated)


@pytest.mark.parametrize("num_frames", [2, 3, 30, 1000])
@pytest.mark.parametrize("rate", [Fraction(24000, 1001), Fraction(25), Fraction(30000, 1001)])
def test_the_stated_rate_is_exact_where_rounded_stamps_allow_it(num_frames, rate):
    times = np.arange(num_frames) / float(rate)
    assert rate_of(times, MILLISECOND, Fraction(1, 2), rate) == float(rate)
    mean = rate_of(times, Fraction(1, 90000))
    assert mean == pytest.approx(float(rate), rel=1e-4 if num_frames > 3 else 0.02)


def test_a_stated_rate_that_the_stamps_deny_is_not_taken():
    times = np.arange(100) / 12.3
    assert rate_of(times, Fraction(1, 90000), Fraction(25)) == pytest.approx(12.3, rel=1e-4)


def test_one_frame_has_the_stated_rate():
    assert rate_of([5.0], MILLISECOND, Fraction(30), Fraction(50)) == 30
    assert rate_of([5.0], MILLISECOND) == 25
