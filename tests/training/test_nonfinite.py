from types import SimpleNamespace

import pytest
import torch
from torch import nn

from gcvideo.training import FiniteLoss, NonFiniteLossError

pytestmark = pytest.mark.usefixtures("unchecked")  # stand-ins for trainer and module


def started(accumulated=1):
    """The callback in the middle of a batch whose forward pass has moved the running statistics."""
    net = nn.Sequential(nn.BatchNorm3d(2), nn.ReLU())
    listed = SimpleNamespace(path=lambda video: f"videos/{video}.mp4")
    trainer = SimpleNamespace(
        global_step=7,
        current_epoch=1,
        accumulate_grad_batches=accumulated,
        datamodule=SimpleNamespace(splits=SimpleNamespace(train=listed)),
    )
    callback = FiniteLoss()
    callback.on_train_start(trainer, net)
    return callback, trainer, net


def pass_batch(callback, trainer, net, index=0, value=1.0):
    callback.on_train_batch_start(trainer, net, {"video": torch.tensor([3, 5])}, index)
    net(torch.full((2, 2, 1, 2, 2), value))


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_stops_before_its_step_and_names_the_videos(loss):
    callback, trainer, net = started()
    pass_batch(callback, trainer, net, value=float("nan"))
    with pytest.raises(NonFiniteLossError) as caught:
        callback.on_before_backward(trainer, net, torch.tensor(loss))
    assert "step 7 of epoch 2" in str(caught.value)
    assert "['videos/3.mp4', 'videos/5.mp4']" in str(caught.value)
    assert "gradient_clip_val" in str(caught.value)
    assert torch.equal(net[0].running_mean, torch.zeros(2))
    assert torch.equal(net[0].running_var, torch.ones(2))


def test_a_finite_loss_passes_and_leaves_the_statistics():
    callback, trainer, net = started()
    pass_batch(callback, trainer, net)
    callback.on_before_backward(trainer, net, torch.tensor(2.0))
    assert torch.allclose(net[0].running_mean, torch.full((2,), 0.1))


def test_the_statistics_go_back_to_the_first_of_the_accumulated_batches():
    callback, trainer, net = started(accumulated=2)
    pass_batch(callback, trainer, net, 0)
    callback.on_before_backward(trainer, net, torch.tensor(1.0))
    pass_batch(callback, trainer, net, 1)
    with pytest.raises(NonFiniteLossError):
        callback.on_before_backward(trainer, net, torch.tensor(float("nan")))
    assert torch.equal(net[0].running_mean, torch.zeros(2))
