import pytest
import torch

from gcvideo.models import ClipClassifier, Head, reset_head, slow_resnet

MODES = ["adaptive", "fcn_logit", "fcn_prob"]


def head_of(mode, pool_size=2, dropout=0.5):
    torch.manual_seed(3)
    head = Head(6, 5, mode=mode, pool_size=pool_size, dropout=dropout)
    torch.nn.init.normal_(head.proj.weight)
    torch.nn.init.normal_(head.proj.bias)
    return head.eval()


def windows_by_hand(x, size):
    """Averages over all frames and each size x size window, one after the other."""
    for top in range(x.shape[3] - size + 1):
        for left in range(x.shape[4] - size + 1):
            yield x[:, :, :, top : top + size, left : left + size].mean(dim=(2, 3, 4))


def test_weights_start_small_and_the_bias_at_zero():
    head = Head(2048, 400)
    assert 0.009 < head.proj.weight.std() < 0.011
    assert not head.proj.bias.any()


def test_modes_agree_at_the_crop_of_training():
    x = torch.randn(2, 6, 4, 2, 2)
    adaptive, logit, prob = (head_of(mode)(x) for mode in MODES)
    torch.testing.assert_close(logit, adaptive)
    torch.testing.assert_close(prob.softmax(dim=1), adaptive.softmax(dim=1))
    torch.testing.assert_close(prob, adaptive.log_softmax(dim=1))


@pytest.mark.parametrize("pool_size", [1, 2, 3])
def test_windowed_modes_equal_a_loop_over_windows_at_a_larger_crop(pool_size):
    x = 3 * torch.randn(2, 6, 4, 3, 5)
    proj = head_of("fcn_logit").proj
    logits = torch.stack([proj(window) for window in windows_by_hand(x, pool_size)])
    torch.testing.assert_close(head_of("fcn_logit", pool_size)(x), logits.mean(dim=0))
    probs = logits.softmax(dim=2).mean(dim=0)
    torch.testing.assert_close(head_of("fcn_prob", pool_size)(x), probs.log())
    assert (probs - logits.mean(dim=0).softmax(dim=1)).abs().max() > 0.01


def test_prob_mode_stays_finite_for_extreme_logits_and_computes_in_float32():
    assert head_of("fcn_prob")(1e4 * torch.randn(2, 6, 1, 3, 3)).isfinite().all()
    probs = head_of("fcn_prob").bfloat16()(torch.randn(1, 6, 1, 2, 2).bfloat16())
    assert probs.dtype == torch.float32


@pytest.mark.parametrize("mode", MODES)
def test_dropout_acts_in_training_only(mode):
    x = torch.rand(2, 6, 4, 2, 2) + 1
    head = head_of(mode, dropout=0.9)
    assert torch.equal(head(x), head(x))
    head.train()
    assert not torch.equal(head(x), head(x))


def test_changing_the_mode_keeps_the_parameters():
    head = head_of("adaptive")
    before = {name: tensor.clone() for name, tensor in head.state_dict().items()}
    head.configure("fcn_prob", 3)
    assert (head.mode, head.pool_size) == ("fcn_prob", 3)
    assert "mode='fcn_prob', pool_size=3" in repr(head)
    torch.testing.assert_close(head.state_dict(), before, rtol=0, atol=0)


@pytest.mark.parametrize("mode", ["fcn_logit", "fcn_prob"])
def test_a_map_smaller_than_the_window_is_refused_with_the_crop_that_would_do(mode):
    message = r"map has 1 x 4 cells, the head's window is 2 x 2; use a crop of at least 64 pixels"
    with pytest.raises(ValueError, match=message):
        head_of(mode)(torch.randn(1, 6, 4, 1, 4))


def test_an_unknown_mode_is_refused(unchecked):
    message = "head mode is 'max'; choose one of adaptive, fcn_logit, fcn_prob"
    with pytest.raises(ValueError, match=message):
        Head(6, 5, mode="max")
    with pytest.raises(ValueError, match=message):
        head_of("adaptive").configure("max", 2)


def test_an_empty_window_is_refused():
    with pytest.raises(ValueError, match="pool_size is 0; it must be at least 1 cell"):
        Head(6, 5, mode="fcn_prob", pool_size=0)


def test_a_reset_head_is_fresh_and_all_else_is_kept():
    net = slow_resnet(num_classes=400, width=16, head="fcn_prob", dropout=0.2).double()
    before = {key: tensor.clone() for key, tensor in net.state_dict().items()}
    model = ClipClassifier(net, mean=[0.5] * 3, std=[0.5] * 3)
    net.requires_grad_(False)
    reset_head(model, 300)
    head = net.blocks[-1]
    assert (head.proj.in_features, head.proj.out_features) == (512, 300)
    assert (head.mode, head.dropout.p, head.proj.weight.dtype) == ("fcn_prob", 0.2, torch.float64)
    assert 0.009 < head.proj.weight.std() < 0.011
    assert not head.proj.bias.any()
    assert head.proj.weight.requires_grad
    after = net.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[key], before[key]) for key in before if ".proj." not in key)


def test_a_head_for_one_class_and_a_net_without_head_are_refused():
    with pytest.raises(ValueError, match="num_classes is 1; a classifier needs at least 2"):
        reset_head(Head(6, 5), 1)
    with pytest.raises(ValueError, match="the Linear has no Head; build the net with slow_resnet"):
        reset_head(torch.nn.Linear(2, 3), 5)
