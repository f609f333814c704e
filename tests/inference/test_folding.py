import pytest
import torch
from random_net import randomize
from torch import nn

from gcvideo.inference._folding import fold_batch_norms, for_inference
from gcvideo.models import Placement, c2d_resnet, i3d_resnet, slow_resnet
from gcvideo.nn import NonLocalBlock, global_context


@pytest.mark.parametrize("build", [slow_resnet, i3d_resnet, c2d_resnet])
@torch.no_grad()
def test_folding_leaves_no_batch_norm_and_the_same_logits(build):
    placement = Placement(block=NonLocalBlock, res3=[1], res4=[0], position="after_relu")
    net = randomize(build(num_classes=3, width=4, placement=placement))
    clips = torch.randn(2, 3, 4, 32, 32)
    wanted, weights = net(clips), net.state_dict()
    folded = fold_batch_norms(net)
    assert not [m for m in folded.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm3d)]
    torch.testing.assert_close(folded(clips), wanted, atol=1e-4, rtol=0)
    assert wanted.std() > 0.1
    assert net.state_dict().keys() == weights.keys()


@torch.no_grad()
def test_a_batch_norm_before_its_convolution_is_left_alone():
    net = randomize(nn.Sequential(nn.BatchNorm3d(3), nn.Conv3d(3, 2, 1)))
    clips = torch.randn(2, 3, 2, 4, 4)
    torch.testing.assert_close(fold_batch_norms(net)(clips), net(clips))


@pytest.mark.parametrize("position", ["after_conv3", "after_relu"])
def test_a_net_made_for_inference_keeps_its_logits_and_leaves_the_net_as_it_was(position):
    placement = Placement(block=global_context, res3=[1], position=position)
    net = randomize(slow_resnet(num_classes=3, width=4, placement=placement))
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    prepared = for_inference(net)
    # Three in each of 16 residual blocks; the one in front of a block stays as it is.
    num_in_place = sum(m.inplace for m in prepared.modules() if isinstance(m, nn.ReLU))
    assert num_in_place == (48 if position == "after_conv3" else 47)
    clips = torch.randn(1, 3, 4, 64, 64)
    with torch.no_grad():
        expected = net(clips)
        for _ in range(2):
            torch.testing.assert_close(prepared(clips), expected, atol=1e-5, rtol=1e-4)
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
