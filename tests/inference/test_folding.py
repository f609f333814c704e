import pytest
import torch
from random_net import randomize
from torch import nn

from gcvideo.inference._folding import fold_batch_norms
from gcvideo.models import Placement, c2d_resnet, i3d_resnet, slow_resnet
from gcvideo.nn import NonLocalBlock


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
