import pytest
import torch
from torchvision.transforms import v2
from torchvision.tv_tensors import Video

from gcvideo.training._mixing import mix_videos

CLASSES = 6
MIXINGS = {
    "mixup": v2.MixUp(alpha=0.8, num_classes=CLASSES),
    "cutmix": v2.CutMix(alpha=1.0, num_classes=CLASSES),
    "either": v2.RandomChoice([v2.MixUp(num_classes=CLASSES), v2.CutMix(num_classes=CLASSES)]),
}


def plain_videos(num_videos, num_views):
    """Video i has the label i, and 2 ** i for all its values, so that a blend tells its parts."""
    labels = torch.arange(num_videos)[:, None].repeat(1, num_views)
    levels = (2**labels).to(torch.uint8)
    return levels[:, :, None, None, None, None].expand(-1, -1, 3, 2, 8, 8).contiguous(), labels


@pytest.mark.parametrize("mixing", MIXINGS)
@pytest.mark.parametrize(("num_videos", "num_views"), [(6, 1), (2, 1), (5, 2), (2, 3), (3, 4)])
def test_every_view_is_mixed_with_one_of_another_video(mixing, num_videos, num_views):
    views, labels = plain_videos(num_videos, num_views)
    num_mixed = 0
    for seed in range(10):
        torch.manual_seed(seed)
        mixed, targets = mix_videos(MIXINGS[mixing], views, labels)
        assert mixed.shape == views.shape
        torch.testing.assert_close(targets.sum(1), torch.ones(num_videos * num_views))
        # What the views hold, which does not depend on how they were paired.
        levels = 2.0 ** torch.arange(CLASSES)
        torch.testing.assert_close(mixed.mean((2, 3, 4, 5)).flatten(), targets @ levels)
        others = targets.clone()
        others[torch.arange(len(others)), labels.flatten()] = 0
        assert ((others > 0).sum(1) <= 1).all()
        share = others.sum(1)
        torch.testing.assert_close(share, share[:1].expand_as(share))
        num_mixed += int(share[0] > 0)
        assert torch.equal(mixed[:, :, :, :1].expand_as(mixed), mixed)  # alike in all frames
    assert num_mixed >= 8  # a window may be empty, or the whole frame


def test_one_view_per_video_is_mixed_as_torchvision_does():
    views, labels = plain_videos(5, 1)
    torch.manual_seed(1)
    mixed, targets = mix_videos(MIXINGS["mixup"], views, labels)
    torch.manual_seed(1)
    frames_first = Video(views[:, 0].transpose(1, 2).float())
    expected, expected_targets = MIXINGS["mixup"](frames_first, labels[:, 0])
    assert torch.equal(mixed[:, 0].transpose(1, 2), expected)
    assert torch.equal(targets, expected_targets)


@pytest.mark.parametrize("num_views", [1, 3])
def test_a_single_video_keeps_its_label(num_views):
    views, labels = plain_videos(1, num_views)
    mixed, targets = mix_videos(MIXINGS["cutmix"], views, labels)
    assert torch.equal(targets, torch.eye(CLASSES)[:1].expand(num_views, -1))
    assert torch.equal(mixed, views.float())
