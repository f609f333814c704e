import math

import pytest
import torch

from gcvideo.evaluation import average_views

# One video, two views, two classes; the softmax of (log a, log b) is (a, b) / (a + b).
LOGITS = torch.tensor([[[math.log(9), math.log(1)], [math.log(1), math.log(4)]]])


@pytest.mark.parametrize(
    ("average", "expected"),
    [
        ("prob", [(0.9 + 0.2) / 2, (0.1 + 0.8) / 2]),
        ("logit", [3 / 5, 2 / 5]),  # means (log 9 + log 1) / 2 = log 3 and log 2
        ("max", [0.9 / 1.7, 0.8 / 1.7]),
    ],
)
def test_averages_equal_those_by_hand(average, expected):
    torch.testing.assert_close(average_views(LOGITS, average), torch.tensor([expected]))


def test_probabilities_are_averaged_by_default():
    assert torch.equal(average_views(LOGITS), average_views(LOGITS, "prob"))


@pytest.mark.parametrize("average", ["prob", "logit", "max"])
def test_scores_sum_to_one_and_ignore_the_order_of_views(average):
    logits = 5 * torch.randn(3, 7, 11)
    scores = average_views(logits, average)
    torch.testing.assert_close(scores.sum(dim=1), torch.ones(3))
    torch.testing.assert_close(average_views(logits[:, torch.randperm(7)], average), scores)


@pytest.mark.parametrize("average", ["prob", "logit", "max"])
def test_one_view_gives_its_softmax(average):
    logits = torch.randn(3, 1, 11)
    torch.testing.assert_close(average_views(logits, average), logits[:, 0].softmax(dim=1))


@pytest.mark.parametrize("average", ["prob", "logit", "max"])
def test_scores_of_bf16_logits_are_computed_in_float32(average):
    logits = torch.randn(3, 7, 400).bfloat16()
    scores = average_views(logits, average)
    assert scores.dtype == torch.float32
    assert torch.equal(scores, average_views(logits.float(), average))


def test_scores_stay_float32_under_autocast():
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert average_views(LOGITS.bfloat16()).dtype == torch.float32


def test_an_unknown_average_is_refused(unchecked):
    with pytest.raises(ValueError, match="average is 'mean'; choose one of prob, logit, max"):
        average_views(LOGITS, "mean")
