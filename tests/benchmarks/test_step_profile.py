import pytest
from step_profile import PARTS, StepProfile, StepRecorder


class Clock:
    def __init__(self):
        self.now = 10.0

    def __call__(self):
        return self.now

    def wait(self, seconds):
        self.now += seconds


def test_each_moment_belongs_to_the_innermost_open_part():
    clock = Clock()
    recorder = StepRecorder(clock)
    recorder.enter("forward")
    clock.wait(100)
    recorder.leave()
    recorder.begin()  # what was before does not count
    clock.wait(1)
    recorder.enter("optimizer")
    clock.wait(2)
    recorder.enter("forward")
    clock.wait(4)
    recorder.leave()
    clock.wait(8)
    recorder.leave()
    clock.wait(16)
    recorder.end()
    assert recorder.seconds == {"optimizer": 2 + 8, "forward": 4}
    assert recorder.total == 1 + 2 + 4 + 8 + 16


def test_seconds_move_from_the_part_that_held_them():
    clock = Clock()
    recorder = StepRecorder(clock)
    recorder.begin()
    recorder.enter("loading")
    clock.wait(5)
    recorder.leave()
    recorder.move("loading", "decode", 3)
    recorder.move("loading", "transform", 1)
    assert recorder.seconds == {"loading": 1, "decode": 3, "transform": 1}


def test_parts_and_what_they_do_not_cover_sum_to_the_step():
    seconds = {"decode": 2.0, "forward": 6.0, "backward": 8.0, "loading": 1.0}
    profile = StepProfile(seconds, total=20.0, num_steps=4, num_clips=2)
    parts = profile.parts()
    assert list(parts) == [*PARTS, "other"]
    assert parts["backward"] == 2.0
    assert parts["transfer"] == 0.0
    assert parts["other"] == 1.0  # (20 - 16) / 4: the loading is not a part
    assert sum(parts.values()) == pytest.approx(20 / 4)
    assert profile.shares()["backward"] == pytest.approx(0.4)
    assert sum(profile.shares().values()) == pytest.approx(1)
