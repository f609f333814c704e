import numpy as np
import pytest
import torch
from exact_net import SAMPLINGS, make_classifier, make_video
from small_protocol import make_protocol
from timed_video import TWO_RATES, numbers_of, shown_times, write_timed_video

from gcvideo._console import Console
from gcvideo.data import (
    MMActionSegmentSampling,
    MMActionUniformSampling,
    PyTorchVideoSampling,
    SlowFastSampling,
    VideoReader,
    VideoReadError,
    read_frames,
    read_views,
)
from gcvideo.inference import _sliding_window as sliding_window
from gcvideo.inference import merge_segments
from gcvideo.inference._sliding_window import WindowScores, classify_windows, window_offsets


def seen_views(classifier):
    views = []
    classifier.model.register_forward_pre_hook(lambda _, inputs: views.append(inputs[0]))
    return views


@pytest.mark.parametrize("sampling", SAMPLINGS, ids=repr)
@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv"])
def test_a_window_scores_as_the_video_that_is_cut_out_of_it(tmp_path, name, sampling):
    path = make_video(tmp_path / name, 50)
    classifier = make_classifier(sampling=sampling)
    windows = classify_windows(classifier, path, stride_seconds=0.3, batch_size=2)
    frames = read_frames(path, range(50))
    for i, (start, end) in enumerate(zip(windows.starts, windows.ends, strict=True)):
        cut = frames[round(start * 30) : round(end * 30)]
        torch.testing.assert_close(windows.scores[i], classifier.scores(cut))
    assert len(windows.scores.unique(dim=0)) == len(windows.scores) >= 4


@pytest.mark.parametrize("sampling", SAMPLINGS, ids=repr)
def test_the_window_that_lies_where_the_protocol_looks_has_its_views_bit_for_bit(
    tmp_path, sampling
):
    path = make_video(tmp_path / "clip.mp4", 41)
    classifier = make_classifier(sampling=sampling)
    protocol = classifier.protocol
    first = int(sampling.test(41, 30.0, protocol.spec, 1).min())
    views = seen_views(classifier)
    windows = classify_windows(classifier, path, stride_seconds=first / 30, batch_size=1)
    assert torch.equal(views[1][0], read_views(str(path), protocol.single_view()))
    assert torch.equal(windows.scores[1], classifier.scores(path))


@pytest.mark.parametrize("sampling", SAMPLINGS, ids=repr)
@pytest.mark.parametrize("fps", [24.0, 25.0, 30000 / 1001, 30.0, 60.0])
@pytest.mark.parametrize(("num_frames", "sampling_rate"), [(4, 16), (8, 8), (32, 2), (1, 1)])
def test_offsets_are_those_of_the_protocols_own_clip(sampling, fps, num_frames, sampling_rate):
    protocol = make_protocol(sampling=sampling, num_frames=num_frames, sampling_rate=sampling_rate)
    offsets = window_offsets(protocol, fps)
    span = offsets.max() + 1
    num_equal = 0
    for length in range(span, span + 40):
        clip = sampling.test(length, fps, protocol.spec, 1)[0]
        missing = span - (clip.max() - clip.min() + 1)
        assert abs(missing) <= (1 if isinstance(sampling, PyTorchVideoSampling) else 0)
        if not missing:
            np.testing.assert_array_equal(clip - clip.min(), offsets)
            num_equal += 1
    assert num_equal >= 10


def test_a_window_of_rules_for_the_whole_video_is_tau_times_as_long_as_the_clip():
    for sampling in (MMActionUniformSampling(), MMActionSegmentSampling()):
        protocol = make_protocol(sampling=sampling, num_frames=8, sampling_rate=4)
        for fps in (15.0, 60.0):
            offsets = window_offsets(protocol, fps)
            clip = sampling.test(32, fps, protocol.spec, 1)[0]
            assert offsets.tolist() == (clip - clip.min()).tolist()
            assert 24 <= offsets.max() < 32


def test_offsets_follow_the_rate_of_the_video_where_the_protocol_does():
    slowfast = make_protocol(sampling=SlowFastSampling(), num_frames=8, sampling_rate=8)
    assert window_offsets(slowfast, 30.0).tolist() == [0, 9, 18, 27, 36, 45, 54, 63]
    assert window_offsets(slowfast, 15.0).tolist() == [0, 4, 8, 13, 17, 22, 26, 31]
    every_8th = make_protocol(num_frames=4, sampling_rate=8)
    assert window_offsets(every_8th, 15.0).tolist() == [0, 8, 16, 24]


def test_windows_start_with_the_stride_and_the_last_ends_with_the_video(tmp_path):
    path = make_video(tmp_path / "clip.mp4", 100, fps=25)
    windows = classify_windows(make_classifier(), path, stride_seconds=0.5)
    # Every 12.5th frame, or the one after; a window spans 7 frames.
    firsts = np.array([0, 13, 25, 38, 50, 63, 75, 88, 93])
    np.testing.assert_allclose(windows.starts, firsts / 25)
    np.testing.assert_allclose(windows.ends, (firsts + 7) / 25)
    assert windows.ends[-1] == 4.0


def test_a_stride_below_a_frame_gives_each_window_once(tmp_path):
    path = make_video(tmp_path / "clip.mp4", 20)
    windows = classify_windows(make_classifier(), path, stride_seconds=1e-9)
    np.testing.assert_allclose(windows.starts, np.arange(14) / 30)


@pytest.mark.parametrize("sampling", SAMPLINGS, ids=repr)
@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv"])
def test_a_short_video_is_one_window_by_the_rule_of_the_protocol(tmp_path, name, sampling):
    path = make_video(tmp_path / name, 5)
    classifier = make_classifier(sampling=sampling)
    windows = classify_windows(classifier, path, stride_seconds=0.01)
    assert (windows.starts.tolist(), windows.ends.tolist()) == ([0.0], [5 / 30])
    assert torch.equal(windows.scores[0], classifier.scores(path))


def test_three_crops_are_averaged(tmp_path):
    path = make_video(tmp_path / "clip.mp4", 20)
    classifier = make_classifier()
    windows = classify_windows(classifier, path, stride_seconds=0.2, num_crops=3, batch_size=2)
    expected = classifier.scores(read_frames(path, range(6, 13)), num_crops=3)
    torch.testing.assert_close(windows.scores[1], expected)
    one = classify_windows(classifier, path, stride_seconds=0.2)
    assert not torch.allclose(one.scores, windows.scores)


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv"])
@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_a_batch_holds_its_own_frames_once_and_no_others(tmp_path, monkeypatch, name, batch_size):
    held = []
    classify = sliding_window.classify_clips

    def spy(classifier, frames, clips, *more):
        held.append((len(clips), len(frames)))
        return classify(classifier, frames, clips, *more)

    monkeypatch.setattr(sliding_window, "classify_clips", spy)
    path = make_video(tmp_path / name, 26)
    classifier = make_classifier()
    # Ten windows of frames f, f + 2, f + 4, f + 6 with f = 0, 2, ..., 18, and the last with f = 19.
    windows = classify_windows(classifier, path, stride_seconds=2 / 30, batch_size=batch_size)
    expected = {
        1: [(1, 4)] * 11,
        3: [(3, 6), (3, 6), (3, 6), (2, 8)],
        100: [(11, 17)],
    }
    assert held == expected[batch_size]
    cut = read_frames(path, range(19, 26))
    torch.testing.assert_close(windows.scores[-1], classifier.scores(cut))


def test_a_file_that_must_be_counted_is_read_once_from_its_start(tmp_path, monkeypatch):
    path = make_video(tmp_path / "clip.mkv", 40)
    monkeypatch.delattr(VideoReader, "read")
    windows = classify_windows(make_classifier(), path, stride_seconds=0.1, batch_size=1)
    assert len(windows.starts) == 12


@pytest.fixture(scope="module")
def two_rates(tmp_path_factory):
    return write_timed_video(tmp_path_factory.mktemp("timed") / "two_rates.mp4", TWO_RATES)


@pytest.mark.parametrize("sampling", SAMPLINGS, ids=repr)
def test_windows_of_a_varying_rate_start_and_end_with_the_presentation_of_frames(
    two_rates, sampling
):
    shown = shown_times(two_rates)
    classifier = make_classifier(sampling=sampling)
    views = seen_views(classifier)
    windows = classify_windows(classifier, two_rates, stride_seconds=0.4, batch_size=1)
    assert len(windows.starts) == len(views) >= 9
    gone = [*shown[1:], shown[-1] + shown[-1] / (len(shown) - 1)]
    length = windows.ends[0]
    for i, (start, end, seen) in enumerate(zip(windows.starts, windows.ends, views, strict=True)):
        numbers = numbers_of(seen[0][0])
        assert start == pytest.approx(shown[numbers[0]], abs=1e-6)
        assert end == pytest.approx(gone[numbers[-1]], abs=1e-6)
        assert end - start == pytest.approx(length, abs=1 / 15)
        if i < len(views) - 1:
            assert -1e-6 <= start - 0.4 * i < 1 / 15
        # Even in time, up to a frame.
        steps = np.diff(shown[numbers])
        assert np.ptp(steps) <= 2 / 15
    assert windows.ends[-1] == pytest.approx(gone[-1], abs=1e-6)


def test_segments_of_a_varying_rate_meet_where_the_pictures_change(two_rates):
    windows = classify_windows(make_classifier(), two_rates, stride_seconds=0.2)
    # What is seen changes with the rate, at 2 seconds.
    scores = torch.tensor(
        [[1.0, 0.0] if c < 2 else [0.0, 1.0] for c in (windows.starts + windows.ends) / 2]
    )
    seen = WindowScores(windows.starts, windows.ends, scores)
    first, second = merge_segments(seen, ["fast", "slow"], threshold=0.5)
    assert first.end_seconds == second.start_seconds == pytest.approx(2, abs=0.1)
    assert second.end_seconds == pytest.approx(4, abs=0.05)


def test_every_stride_down_to_nothing_can_be_merged_at_a_varying_rate(two_rates):
    windows = classify_windows(make_classifier(), two_rates, stride_seconds=1e-9)
    assert len(windows.starts) > 75
    assert (np.diff(windows.starts) > 0).all()
    assert (np.diff(windows.ends) > 0).all()
    assert merge_segments(windows, "abc", threshold=0)[-1].end_seconds == windows.ends[-1]


def test_a_picture_that_stays_is_seen_again_and_again(tmp_path):
    # 30 frames a second for two seconds, one that stays for ten, and another two.
    times = [*np.arange(61) / 30, *(12 + np.arange(61) / 30)]
    path = write_timed_video(tmp_path / "still.mp4", times)
    classifier = make_classifier(sampling=SlowFastSampling(), sampling_rate=6)
    views = seen_views(classifier)
    windows = classify_windows(classifier, path, stride_seconds=0.5, batch_size=1)
    numbers = [numbers_of(seen[0][0]) for seen in views]
    length = np.median(windows.ends - windows.starts)
    still = [i for i, shown in enumerate(numbers) if set(shown) == {60}]
    assert len(still) >= 10 / length - 2
    assert windows.starts[still[0]] == pytest.approx(2)
    assert windows.ends[still[-1]] == pytest.approx(12)
    assert (windows.starts[1:] <= windows.ends[:-1]).all()
    assert numbers[windows.nearest(7)] == [60] * 4
    merge_segments(windows, "abc", threshold=0)


def test_a_terminal_is_told_beside_the_output_how_far_the_work_has_come(
    tmp_path, monkeypatch, capsys
):
    path = make_video(tmp_path / "clip.mp4", 60)
    classify_windows(make_classifier(), path, stride_seconds=0.5)
    monkeypatch.setattr(Console, "is_terminal", property(lambda _: True))
    classify_windows(make_classifier(), path, stride_seconds=0.5, progress=False)
    assert "".join(capsys.readouterr()).strip() == ""
    classify_windows(make_classifier(), path, stride_seconds=0.5)
    printed, told = capsys.readouterr()
    assert "0:02.0 of 0:02.0" in told
    assert printed == ""


def test_the_scores_of_a_second_are_those_of_the_nearest_centre():
    scores = torch.eye(3)
    windows = WindowScores(np.array([0.0, 1.0, 2.0]), np.array([2.0, 3.0, 4.0]), scores)
    nearest = {-1: 0, 0: 0, 1.4: 0, 1.5: 0, 1.6: 1, 2.4: 1, 2.6: 2, 99: 2}
    for seconds, window in nearest.items():
        assert torch.equal(windows.at(seconds), scores[window]), seconds


@pytest.mark.parametrize("stride", [0.0, -1.0, float("inf"), float("nan")])
def test_a_stride_must_be_positive(stride):
    message = rf"stride_seconds is {stride:g} but must be positive and finite; 1 gives a result"
    with pytest.raises(ValueError, match=message):
        classify_windows(make_classifier(), "none.mp4", stride_seconds=stride)


def test_a_batch_has_a_window():
    with pytest.raises(ValueError, match="batch_size is 0; classify at least 1 window"):
        classify_windows(make_classifier(), "none.mp4", stride_seconds=1, batch_size=0)


def test_an_unreadable_file_is_named():
    with pytest.raises(VideoReadError, match=r"'none\.mp4': there is no such file"):
        classify_windows(make_classifier(), "none.mp4", stride_seconds=1)
