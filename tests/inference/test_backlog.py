import math

import numpy as np
import pytest
from exact_net import make_classifier

from gcvideo.inference import Backlog, classify_live


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def times(num_windows):
    """Times of frames of which seven make a window, of which one starts each second."""
    return np.arange(5 * (num_windows - 1) + 7) / 5


def sent(times):
    for seconds in times:
        yield float(seconds), np.zeros((48, 64, 3), np.uint8)


def followed(clock, backlog, num_windows, window_seconds):
    """Starts of the windows that are classified in so many seconds each, and how late they come."""
    starts, delays = [], []
    for window in classify_live(
        make_classifier(), sent(times(num_windows)), stride_seconds=1.0, backlog=backlog
    ):
        starts.append(window.start_seconds)
        delays.append(clock.now - window.start_seconds)
        clock.now += window_seconds
    assert len(starts) + backlog.num_left_out == num_windows
    return starts, delays


@pytest.mark.parametrize("limit", [0.0, 5.0, None])
def test_a_net_that_is_faster_than_the_stride_leaves_nothing_out(clock, limit):
    backlog = Backlog(1.0, limit, clock)
    starts, _ = followed(clock, backlog, 40, 0.03)
    np.testing.assert_allclose(starts, np.arange(40))
    assert backlog.num_classified == 40
    assert backlog.window_seconds == pytest.approx(0.03, rel=0.05)  # the last is still in use


def test_a_slow_net_leaves_out_the_share_that_it_cannot_do_and_stays_within_the_limit(clock):
    backlog = Backlog(1.0, 5.0, clock)
    starts, delays = followed(clock, backlog, 120, 1.6)
    # The time of the source has room for 75 windows, and that of the delay for three.
    assert len(starts) == pytest.approx(120 / 1.6 + 5 / 1.6, abs=2)
    assert max(delays) <= 5 + 1.6
    assert backlog.window_seconds == pytest.approx(1.6, rel=0.05)


def test_without_a_limit_every_window_is_classified_however_late(clock):
    backlog = Backlog(1.0, None, clock)
    starts, delays = followed(clock, backlog, 60, 1.6)
    np.testing.assert_allclose(starts, np.arange(60))
    assert max(delays) == pytest.approx(0.6 * 60, abs=2)


def test_a_single_slow_window_is_caught_up_with(clock):
    backlog = Backlog(1.0, 2.0, clock)
    starts = []
    frames = sent(times(60))
    for window in classify_live(make_classifier(), frames, stride_seconds=1.0, backlog=backlog):
        starts.append(window.start_seconds)
        clock.now += 6.0 if len(starts) == 10 else 0.1
    # The tenth starts at 9; those of 10, 11 and 12 would come more than two seconds late.
    missing = sorted(set(range(60)) - {round(start) for start in starts})
    assert missing == [10, 11, 12]
    assert backlog.num_left_out == 3


def test_waiting_is_not_being_late(clock):
    """A source that sends six seconds at once, and then nothing for as long."""

    def bursts():
        for number, (seconds, frame) in enumerate(sent(times(60))):
            if number % 30 == 0:
                clock.now = max(clock.now, seconds + 6)
            yield seconds, frame

    backlog = Backlog(1.0, 0.5, clock)
    num_windows = 0
    for _ in classify_live(make_classifier(), bursts(), stride_seconds=1.0, backlog=backlog):
        num_windows += 1
        clock.now += 0.4
    assert num_windows == 60
    assert backlog.num_left_out == 0


def test_frames_that_a_camera_drops_while_the_net_is_busy_are_counted_as_windows(clock):
    """Between two reads, the camera keeps four frames and drops the others."""

    def camera():
        step, sent_until = 0.2, -1
        for _ in range(400):
            due = math.floor(clock.now / step + 1e-9)
            number = max(sent_until + 1, due - 3)
            clock.now = max(clock.now, number * step)  # it waits for the frame
            sent_until = number
            yield number * step, np.zeros((48, 64, 3), np.uint8)

    backlog, starts = Backlog(1.0, 5.0, clock), []
    for window in classify_live(make_classifier(), camera(), stride_seconds=1.0, backlog=backlog):
        starts.append(window.start_seconds)
        clock.now += 2.6
    # The last window ends with the source, whatever the stride.
    missing = set(range(round(starts[-2]))) - {int(start + 0.02) for start in starts}
    assert len(missing) > 50
    assert backlog.num_left_out == pytest.approx(len(missing), rel=0.15)
    assert backlog.delay_seconds <= 5


@pytest.mark.parametrize("seconds_between", [1.0, 7.0])
def test_rare_frames_are_no_loss(clock, seconds_between):
    backlog, num_windows = Backlog(0.4, 5.0, clock), 0
    frames = sent(seconds_between * np.arange(50))
    for _ in classify_live(make_classifier(), frames, stride_seconds=0.4, backlog=backlog):
        num_windows += 1
        clock.now += 0.9 * seconds_between
    assert num_windows > 40
    assert backlog.num_left_out == 0


@pytest.mark.parametrize(
    ("limit", "window_seconds", "num_left_out"), [(5.0, 0.9, 0), (None, 3.5, 0), (math.inf, 3.5, 3)]
)
def test_a_pause_of_the_source_is_a_loss_of_a_slow_net_alone(
    clock, limit, window_seconds, num_left_out
):
    backlog, frames = Backlog(1.0, limit, clock), [*times(10), *(times(10) + 100)]
    for _ in classify_live(make_classifier(), sent(frames), stride_seconds=1.0, backlog=backlog):
        clock.now += window_seconds
    assert backlog.num_left_out == num_left_out


def test_a_new_connection_is_behind_nothing(clock):
    backlog = Backlog(1.0, 1.0, clock)
    for _ in backlog.frames(sent([0, 0.1, 0.2])):
        clock.now += 5
    assert not backlog.admits_window()
    for _ in backlog.frames(sent([100])):
        assert backlog.admits_window()


@pytest.mark.parametrize("limit", [-1.0, math.nan])
def test_the_limit_is_not_negative(limit):
    with pytest.raises(
        ValueError, match=f"max_delay_seconds is {limit:g} but must be at least 0; 5 leaves"
    ):
        Backlog(1.0, limit)
