import itertools
import tracemalloc

import numpy as np
import pytest
import torch
from exact_net import SAMPLINGS, make_classifier, make_video

from gcvideo.data import MMActionResizing, SlowFastSampling
from gcvideo.data.video._stream import stream_frames
from gcvideo.inference._live import classify_live
from gcvideo.inference._sliding_window import classify_windows


def dated_frames(times):
    """Grey frames whose level is their time in tenths of a second."""
    for seconds in times:
        yield float(seconds), np.full((48, 64, 3), round(10 * seconds), np.uint8)


def shown_levels(classifier):
    """Grey levels of the frames of each clip that the net sees from now on."""
    levels = []
    classifier.model.register_forward_pre_hook(
        lambda _, inputs: levels.append(inputs[0][0, 0, 0, :, 0, 0].int().tolist())
    )
    return levels


def assert_same(live, windows):
    np.testing.assert_allclose([result.start_seconds for result in live], windows.starts, atol=1e-4)
    np.testing.assert_allclose([result.end_seconds for result in live], windows.ends, atol=1e-4)
    assert torch.equal(torch.stack([result.scores for result in live]), windows.scores)


@pytest.mark.parametrize("sampling", SAMPLINGS, ids=repr)
@pytest.mark.parametrize("fps", [25.0, 30000 / 1001])
def test_a_file_streamed_through_scores_as_its_windows(tmp_path, sampling, fps):
    path = make_video(tmp_path / "clip.mp4", 31, fps)
    classifier = make_classifier(sampling=sampling)
    for stride, num_crops in ((0.01, 1), (0.1, 3), (5.0, 1)):
        arguments = {"stride_seconds": stride, "num_crops": num_crops}
        live = list(classify_live(classifier, stream_frames(str(path)), **arguments))
        assert_same(live, classify_windows(classifier, path, **arguments, batch_size=1))


@pytest.mark.parametrize(("height", "width"), [(60, 80), (120, 90), (300, 200)])
def test_frames_are_resized_as_those_of_a_file(tmp_path, height, width):
    path = make_video(tmp_path / "clip.mp4", 20, height=height, width=width)
    classifier = make_classifier(resizing=MMActionResizing())
    frames = stream_frames(str(path), short_side=classifier.protocol.decode_size)
    live = list(classify_live(classifier, frames, stride_seconds=0.2))
    windows = classify_windows(classifier, path, stride_seconds=0.2, batch_size=1)
    assert_same(live, windows)


@pytest.mark.parametrize("sampling", SAMPLINGS, ids=repr)
@pytest.mark.parametrize("num_frames", [1, 5])
def test_a_short_source_is_one_window_by_the_rule_of_the_protocol(tmp_path, sampling, num_frames):
    path = make_video(tmp_path / "clip.mp4", num_frames)
    classifier = make_classifier(sampling=sampling)
    live = list(classify_live(classifier, stream_frames(str(path)), stride_seconds=1))
    assert_same(live, classify_windows(classifier, path, stride_seconds=1))


def test_a_source_without_frames_has_no_result():
    assert list(classify_live(make_classifier(), [], stride_seconds=1)) == []


def test_a_result_comes_with_the_frame_that_completes_its_window():
    num_sent = itertools.count()
    frames = ((next(num_sent) / 10, np.zeros((48, 64, 3), np.uint8)) for _ in range(20))
    results = classify_live(make_classifier(), frames, stride_seconds=0.5)
    # Seven frames make a window, and each fifth frame starts one.
    for num_needed in (7, 12, 17):
        next(results)
        assert next(num_sent) == num_needed
        num_sent = itertools.count(num_needed)


def test_a_varying_rate_is_evened_out_by_the_stamps():
    # Seven frames make a window: six come at a steady rate and one late.
    times = [0, 0.1, 0.2, 0.3, 0.4, 0.5, 1.1]
    classifier = make_classifier()
    levels = shown_levels(classifier)
    (result,) = classify_live(classifier, dated_frames(times), stride_seconds=1)
    # Evenly over 1.1 seconds, at 0, 0.37, 0.73 and 1.1: the nearest there are.
    assert levels == [[0, 4, 5, 11]]
    assert (result.start_seconds, result.end_seconds) == (0, pytest.approx(1.1 + 1.1 / 6))


def test_a_window_has_the_length_of_the_protocol_when_the_rate_changes():
    # 0.8 seconds whatever the rate, by four frames: at 30 and then at 10 frames a second.
    classifier = make_classifier(sampling=SlowFastSampling(), sampling_rate=6)
    times = np.concatenate([np.arange(60) / 30, 2 + np.arange(30) / 10])
    results = list(classify_live(classifier, dated_frames(times), stride_seconds=0.25))
    lengths = np.array([result.end_seconds - result.start_seconds for result in results])
    assert len(results) > 10
    assert np.abs(lengths - 0.8).max() <= 0.15


def test_no_window_reaches_across_a_long_gap_and_none_is_made_up_for_it():
    times = np.concatenate([np.arange(30) / 10, 20 + np.arange(30) / 10])
    classifier = make_classifier(sampling=SlowFastSampling(), sampling_rate=6)
    results = list(classify_live(classifier, dated_frames(times), stride_seconds=0.5))
    starts = [result.start_seconds for result in results]
    # Eight frames make a window. The last one ends with the source.
    np.testing.assert_allclose(starts, [0, 0.5, 1, 1.5, 2, 20, 20.5, 21, 21.5, 22, 22.2])


def test_frames_that_are_rarer_than_windows_are_windows_each():
    classifier = make_classifier(sampling=SlowFastSampling(), sampling_rate=6)
    levels = shown_levels(classifier)
    results = list(classify_live(classifier, dated_frames([0, 5, 10, 15]), stride_seconds=1))
    # The rate is known from the second frame on.
    assert levels == [[50] * 4, [100] * 4, [150] * 4]
    assert [(r.start_seconds, r.end_seconds) for r in results] == [(5, 10), (10, 15), (15, 20)]


def test_frames_of_the_last_window_alone_are_kept():
    classifier = make_classifier()
    times = np.arange(150) / 30

    def peak(num_frames):
        tracemalloc.start()
        frames = ((seconds, np.zeros((48, 64, 3), np.uint8)) for seconds in times[:num_frames])
        for _ in classify_live(classifier, frames, stride_seconds=10):
            pass
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return size

    peak(20)
    # A frame more has 9 kB.
    assert peak(150) - peak(20) < 20_000


def test_a_source_may_write_its_frames_into_one_array_and_turn_its_colours():
    colours = np.random.default_rng(0).integers(0, 256, (20, 48, 64, 3), np.uint8)
    array = np.empty((48, 64, 3), np.uint8)

    def reused():
        for i in range(20):
            array[:] = colours[i, :, :, ::-1]
            yield i / 30, array[:, :, ::-1]

    classifier = make_classifier()
    results = list(classify_live(classifier, reused(), stride_seconds=0.2))
    plain = ((i / 30, colours[i]) for i in range(20))
    expected = list(classify_live(classifier, plain, stride_seconds=0.2))
    assert len(results) == len(expected) == 4
    for result, other in zip(results, expected, strict=True):
        assert torch.equal(result.scores, other.scores)


def test_unusable_input_is_refused():
    with pytest.raises(ValueError, match="stride_seconds is 0 but must be positive and finite"):
        classify_live(make_classifier(), [], stride_seconds=0.0)
    frames = dated_frames([0, 0.5, 0.5])
    with pytest.raises(ValueError, match=r"a frame at 0\.5 seconds comes after one at 0\.5; pass"):
        list(classify_live(make_classifier(), frames, stride_seconds=1))
