import os
import signal
import threading
from multiprocessing import active_children, get_context

import numpy as np
import pytest
import random_net
import torch
from conftest import numbered_frames
from small_protocol import make_protocol

from gcvideo.data import VideoReadError, read_views, write_video
from gcvideo.inference import classify_videos
from gcvideo.models import ClipClassifier, Placement, i3d_resnet
from gcvideo.nn import global_context


def make_classifier(**changes):
    net = i3d_resnet(num_classes=3, width=4, placement=Placement(block=global_context, res3=[1]))
    classifier = random_net.make_classifier(net, make_protocol(**changes))
    frames = np.random.default_rng(0).integers(30, 100, (17, 48, 80, 3), np.uint8)
    random_net.magnify_differences(classifier, frames)
    return classifier


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Seven videos of different lengths, sizes and brightness."""
    folder = tmp_path_factory.mktemp("varied")
    rng = np.random.default_rng(0)
    paths = []
    for number in range(7):
        height, width = 48 + 16 * (number % 3), 64 + 16 * (number % 2)
        noise = rng.integers(0, 8 + 20 * number, (5 + 4 * number, height, width, 3))
        paths.append(folder / f"{number}.mp4")
        write_video(paths[-1], (noise + 10 * number).astype(np.uint8))
    return paths


def one_by_one(classifier, videos, **views):
    return torch.stack([classifier.scores(video, **views) for video in videos])


def assert_same(results, expected):
    """Results of all videos, in any order, or of those that are left of them."""
    table = dict(results)
    assert len(table) == len(expected)
    scores = torch.stack([table[index] for index in sorted(table)])
    torch.testing.assert_close(scores, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("batch_size", [None, 1, 2, 3, 7, 8])
def test_any_batch_size_gives_the_scores_of_the_videos_one_by_one(videos, batch_size):
    classifier = make_classifier()
    expected = one_by_one(classifier, videos)
    assert expected.std(dim=0).min() > 1e-3  # videos that all score the same would prove nothing
    results = classify_videos(classifier, videos, batch_size=batch_size, num_workers=0)
    assert_same(results, expected)


@pytest.mark.parametrize(("num_workers", "num_threads"), [(1, 1), (2, 1), (None, 1), (2, 3)])
def test_processes_and_threads_give_the_scores_of_the_videos_one_by_one(
    videos, num_workers, num_threads
):
    classifier = make_classifier()
    expected, before = one_by_one(classifier, videos), torch.get_num_threads()
    torch.set_num_threads(num_threads)
    try:
        results = list(classify_videos(classifier, videos, batch_size=2, num_workers=num_workers))
    finally:
        torch.set_num_threads(before)
    assert_same(results, expected)


@pytest.mark.parametrize("average", ["prob", "max"])
@pytest.mark.parametrize("batch_size", [4, 6, 13])
def test_views_are_averaged_within_each_video(videos, average, batch_size):
    classifier = make_classifier(average=average)
    views = {"num_clips": 2, "num_crops": 3}
    results = classify_videos(classifier, videos, batch_size=batch_size, num_workers=0, **views)
    expected = one_by_one(classifier, videos, **views)
    assert_same(results, expected)


def test_no_forward_pass_holds_more_views_than_asked_for(videos, monkeypatch):
    classifier, sizes = make_classifier(), []
    forward = ClipClassifier.forward

    def count(self, views):
        sizes.append(views.shape[:2].numel())
        return forward(self, views)

    monkeypatch.setattr(ClipClassifier, "forward", count)
    views = {"num_clips": 2, "num_crops": 3, "num_workers": 0}
    list(classify_videos(classifier, videos, batch_size=4, **views))
    assert sorted(sizes) == [2] * 7 + [4] * 7
    sizes.clear()
    list(classify_videos(classifier, videos, batch_size=13, **views))
    # The last one is filled up: how a batch rounds depends on its size.
    assert sorted(sizes) == [12, 12, 12, 12]


@pytest.mark.parametrize("num_workers", [0, 2])
def test_an_unreadable_file_costs_only_itself(videos, tmp_path, num_workers):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"noise")
    mixed = [*videos[:3], broken, *videos[3:]]
    classifier = make_classifier()
    table = dict(classify_videos(classifier, mixed, batch_size=2, num_workers=num_workers))
    error = table.pop(3)
    assert isinstance(error, VideoReadError)
    assert error.path == str(broken)
    assert_same(table, one_by_one(classifier, videos))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the crash is only in copies of this process")
def test_a_file_that_kills_its_decoder_costs_only_itself(videos, monkeypatch):
    parent = os.getpid()

    def read(path, protocol):
        if path.endswith("3.mp4") and os.getpid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)
        return read_views(path, protocol)

    monkeypatch.setattr("gcvideo.inference._batch.read_views", read)
    monkeypatch.setattr("gcvideo.data._parallel._PROCESSES", get_context("fork"))
    classifier = make_classifier()
    table = dict(classify_videos(classifier, videos, batch_size=2, num_workers=2))
    message = r"cannot read video '.*3\.mp4': the process .* died twice \(killed by SIGKILL\)"
    with pytest.raises(VideoReadError, match=message):
        raise table.pop(3)
    assert_same(table, one_by_one(classifier, [*videos[:3], *videos[4:]]))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs a file that never ends")
@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_file_that_hangs_costs_only_itself_and_its_time(
    videos, monkeypatch, tmp_path, num_workers
):
    def read(path, protocol):
        if path.endswith("3.mp4"):
            with (tmp_path / "fifo").open("rb"):  # waits for a writer that never comes
                pass
        return read_views(path, protocol)

    os.mkfifo(tmp_path / "fifo")
    monkeypatch.setattr("gcvideo.inference._batch.read_views", read)
    classifier = make_classifier()
    table = dict(
        classify_videos(classifier, videos, num_workers=num_workers, time_budget_seconds=2)
    )
    if num_workers == 0:
        (tmp_path / "fifo").open("wb").close()  # lets the thread left behind go
    with pytest.raises(VideoReadError, match="not read within its budget of 2 seconds"):
        raise table.pop(3)
    assert_same(table, one_by_one(classifier, [*videos[:3], *videos[4:]]))


def test_the_bits_of_a_score_do_not_depend_on_the_other_videos(videos):
    classifier = make_classifier()
    settings = {"batch_size": 4, "num_workers": 0, "progress": False}
    together = dict(classify_videos(classifier, videos, **settings))
    for chosen in ([2], [3, 1], range(len(videos) - 1)):
        some = dict(classify_videos(classifier, [videos[i] for i in chosen], **settings))
        for place, index in enumerate(chosen):
            assert torch.equal(some[place], together[index])


@pytest.mark.parametrize("num_workers", [0, 2])
def test_no_videos_give_no_results(num_workers):
    assert list(classify_videos(make_classifier(), [], num_workers=num_workers)) == []


@pytest.mark.parametrize("num_workers", [0, 2])
def test_torch_gets_its_threads_back_and_nothing_runs_on_after_leaving_early(videos, num_workers):
    before, threads = torch.get_num_threads(), threading.active_count()
    torch.set_num_threads(2)
    try:
        results = classify_videos(make_classifier(), videos, batch_size=1, num_workers=num_workers)
        next(results)
        results.close()
        assert torch.get_num_threads() == 2
        seen = []
        thread = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
        thread.start()
        thread.join()
        assert seen == [2]
    finally:
        torch.set_num_threads(before)
    assert threading.active_count() == threads
    assert active_children() == []


def test_an_error_of_the_net_is_not_taken_for_one_of_a_video(videos, monkeypatch):
    def fail(self, views):
        raise RuntimeError("no memory left on the device")

    classifier = make_classifier()
    monkeypatch.setattr(ClipClassifier, "forward", fail)
    with pytest.raises(RuntimeError, match="no memory left on the device"):
        list(classify_videos(classifier, videos, num_workers=0))


def test_few_videos_are_in_memory_at_a_time(videos, monkeypatch):
    classifier, read, scored, ahead = make_classifier(), [], [], []
    forward = ClipClassifier.forward

    def count_read(path, protocol):
        read.append(path)
        ahead.append(len(read) - len(scored))
        return read_views(path, protocol)

    def count_scored(self, views):
        scored.extend(views[0])
        return forward(self, views)

    monkeypatch.setattr("gcvideo.inference._batch.read_views", count_read)
    monkeypatch.setattr(ClipClassifier, "forward", count_scored)
    list(classify_videos(classifier, videos * 8, batch_size=2, num_workers=0))
    num_threads = torch.get_num_threads()
    assert max(ahead) <= 2 * (2 * num_threads + 2)


def test_a_line_beside_the_output_tells_how_many_videos_were_classified(videos, capsys):
    list(classify_videos(make_classifier(), videos, num_workers=0))
    printed, told = capsys.readouterr()
    # An empty line of rich may come first.
    assert told.strip().startswith("Classifying: 7 of 7 in ")
    list(classify_videos(make_classifier(), videos, num_workers=0, progress=False))
    assert printed + "".join(capsys.readouterr()) == ""


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size is 0; give at least 1 view per forward pass"),
        ({"num_workers": -1}, "num_workers is -1; give 0"),
        ({"time_budget_seconds": 0}, "time_budget_seconds is 0; give a number of seconds above 0"),
    ],
)
def test_unusable_options_are_refused_at_the_call(options, message):
    with pytest.raises(ValueError, match=message):
        classify_videos(make_classifier(), ["a.mp4"], **options)


def test_a_model_in_training_mode_is_refused(tmp_path):
    classifier = make_classifier()
    classifier.model.train()
    write_video(tmp_path / "a.mp4", numbered_frames(20))
    with pytest.raises(ValueError, match=r"in training mode, .*; call classifier\.model\.eval"):
        classify_videos(classifier, [tmp_path / "a.mp4"])
