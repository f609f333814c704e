from collections import Counter

import pytest
import torch
from level_net import batches, classifier

from gcvideo.comparison._probe import probe_clips, score_under_probes
from gcvideo.evaluation import average_views

VIDEOS = torch.tensor([3, 8])


def numbered_clips(num_frames, num_views=2):
    """Of two videos; the pixels of a frame tell video, view, channel, frame and place."""
    shape = (2, num_views, 3, num_frames, 2, 2)
    return torch.arange(torch.tensor(shape).prod()).view(shape)


def orders(clips, probed):
    """The frame of ``clips`` that each frame of ``probed`` is, by video and view."""
    same = (clips[:, :, :, None] == probed[:, :, :, :, None]).flatten(5).all(-1).all(2)
    assert (same.sum(-1) == 1).all(), "a frame that is none of the clip, or several"
    return same.int().argmax(-1)


def test_a_shuffled_clip_has_each_frame_once_and_never_all_in_order():
    clips = numbered_clips(2, num_views=50)
    order = orders(clips, probe_clips(clips, "shuffled", seed=0, videos=VIDEOS))
    assert order.unique().tolist() == [0, 1]
    assert (order == torch.tensor([1, 0])).all()
    clips = numbered_clips(8, num_views=50)
    order = orders(clips, probe_clips(clips, "shuffled", seed=0, videos=VIDEOS))
    assert (order.sort(-1).values == torch.arange(8)).all()
    assert not (order == torch.arange(8)).all(-1).any()


def test_all_orders_but_the_identity_are_as_likely():
    clips = numbered_clips(3, num_views=1000)
    order = orders(clips, probe_clips(clips, "shuffled", seed=0, videos=VIDEOS))
    count = Counter(map(tuple, order.flatten(0, 1).tolist()))
    assert len(count) == 5
    # 2000 draws: 400 each, with a standard deviation of 18.
    assert all(abs(number - 400) < 90 for number in count.values())


def test_the_order_of_a_view_depends_on_seed_video_and_view_alone():
    clips = numbered_clips(16)
    order = orders(clips, probe_clips(clips, "shuffled", seed=1, videos=VIDEOS))
    swapped = probe_clips(clips, "shuffled", seed=1, videos=VIDEOS.flip(0))
    assert torch.equal(orders(clips, swapped), order.flip(0))
    alone = probe_clips(clips[1:, :1], "shuffled", seed=1, videos=VIDEOS[1:])
    assert torch.equal(orders(clips[1:, :1], alone), order[1:, :1])
    assert not torch.equal(order[:, 0], order[:, 1])
    other = probe_clips(clips, "shuffled", seed=2, videos=VIDEOS)
    assert not torch.equal(orders(clips, other), order)


def test_reversed_twice_is_as_it_was_and_once_starts_with_the_last_frame():
    clips = numbered_clips(4)
    once = probe_clips(clips, "reversed", seed=0, videos=VIDEOS)
    assert torch.equal(once[:, :, :, 0], clips[:, :, :, 3])
    assert torch.equal(probe_clips(once, "reversed", seed=0, videos=VIDEOS), clips)


@pytest.mark.parametrize(("num_frames", "middle"), [(2, 1), (5, 2), (8, 4)])
def test_all_frames_of_a_frozen_clip_are_the_middle_one(num_frames, middle):
    clips = numbered_clips(num_frames)
    frozen = probe_clips(clips, "frozen", seed=0, videos=VIDEOS)
    assert frozen.shape == clips.shape
    assert (frozen == clips[:, :, :, middle, None]).all()


@pytest.mark.parametrize("kind", ["shuffled", "reversed", "frozen"])
def test_probes_keep_the_type_of_the_views(kind):
    clips = numbered_clips(4)
    as_bytes = probe_clips(clips.byte(), kind, seed=0, videos=VIDEOS)
    as_floats = probe_clips(clips.float(), kind, seed=0, videos=VIDEOS)
    assert (as_bytes.dtype, as_floats.dtype) == (torch.uint8, torch.float32)
    assert torch.equal(as_bytes, as_floats.byte())


def test_clips_of_one_frame_are_refused():
    with pytest.raises(ValueError, match=r"the clips have 1 frame, .* have at least 2"):
        probe_clips(numbered_clips(1), "reversed", seed=0, videos=VIDEOS)


def by_mean(levels):
    return torch.stack([levels.mean(1), levels.amax(1) - levels.mean(1)], 1)


def test_a_net_that_averages_over_the_frames_scores_shuffled_and_reversed_ones_alike():
    data = batches([[10, 200, 30, 90], [250, 3, 8, 60]], [0, 1])
    scores = score_under_probes(classifier(by_mean, num_classes=2), data, average="prob", seed=0)
    assert list(scores) == ["ordered", "shuffled", "reversed", "frozen"]
    ordered = scores["ordered"].scores()
    for kind in ("shuffled", "reversed"):
        torch.testing.assert_close(scores[kind].scores(), ordered)
        assert scores[kind].labels().tolist() == [0, 1]
    assert (scores["frozen"].scores() - ordered).abs().min() > 0.01


def by_ends(levels):
    return torch.stack([levels[:, 0], 2 * levels[:, -1]], 1)


def test_scores_are_those_of_the_probed_views_averaged_as_asked(unchecked):
    model = classifier(by_ends, num_classes=2)
    (batch,) = batches([[10, 200, 30, 90]], [1])
    results = []
    for average in ("prob", "max"):
        scores = score_under_probes(model, [batch], average=average, kinds=["shuffled"], seed=4)
        assert list(scores) == ["ordered", "shuffled"]
        views = probe_clips(batch["views"], "shuffled", seed=4, videos=batch["video"])
        expected = average_views(model(views), average)
        assert torch.equal(scores["shuffled"].scores(), expected)
        results.append(expected)
    assert not torch.allclose(*results)
    assert not model.training
    with pytest.raises(ValueError, match="average is 'median'"):
        score_under_probes(model, [batch], average="median", seed=4)
