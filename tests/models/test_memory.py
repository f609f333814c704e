from functools import partial

import pytest
import torch
from torch import nn

from gcvideo.models._memory import count_memory, saved_bytes

T, S = 2, 5
POSITIONS = T * S * S


class Small(nn.Module):
    """Convolution (3 x 4 weights, 4 biases), batch norm (4 + 4, buffers 4 + 4 + 1), ReLU, mean."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv3d(3, 4, 1)
        self.norm = nn.BatchNorm3d(4)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, views):
        return self.relu(self.norm(self.conv(views.flatten(0, 1).float()))).mean((2, 3, 4))


def views(clips):
    return (clips, 1, 3, T, S, S)


# The convolution keeps its input, the norm its input, its means and deviations, the ReLU its output.
FIXED = 2 * 4 * 4
PER_CLIP = (3 + 4 + 4) * POSITIONS * 4


@pytest.mark.parametrize("clips", [1, 2, 7])
def test_activations_are_the_hand_counted_ones_and_linear_in_the_batch(clips):
    assert saved_bytes(Small(), views(clips)) == FIXED + clips * PER_CLIP


def test_bf16_halves_activations_and_keeps_the_cast_weights_once():
    one, three = (saved_bytes(Small(), views(clips), torch.bfloat16) for clips in (1, 3))
    assert three - one == PER_CLIP  # two clips at half the size
    cast_weights = 3 * 4 * 2
    # PyTorch's count without data has the means and deviations in bf16 too.
    assert one - PER_CLIP // 2 - cast_weights in (FIXED, FIXED // 2)


def test_what_is_counted_is_what_a_real_forward_pass_keeps():
    model = nn.Sequential(nn.Flatten(0, 1), nn.Conv3d(3, 4, 3), nn.ReLU(), nn.MaxPool3d((1, 2, 2)))
    kept = {}

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage()
        return tensor

    clip = torch.rand(2, 1, 3, 4, 9, 9)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model(clip)
    for parameter in model.parameters():
        kept.pop(parameter.untyped_storage().data_ptr(), None)
    from_bytes = nn.Sequential(Floating(), *model)
    assert saved_bytes(from_bytes, tuple(clip.shape)) == sum(s.nbytes() for s in kept.values())


class Floating(nn.Module):
    def forward(self, views):
        return views.float()


SGD = partial(torch.optim.SGD, lr=0.1, momentum=0.9)


def counted(model, optimizer=SGD, **values):
    return count_memory(
        model,
        make_optimizer=lambda model: optimizer(p for p in model.parameters() if p.requires_grad),
        num_frames=T,
        crop_size=S,
        **({"num_clips": 6} | values),
    )


def test_weights_gradients_and_momenta_are_counted_exactly():
    memory = counted(Small())
    parameters = 12 + 4 + 4 + 4
    assert memory.weights == 4 * parameters + 4 * 8 + 8  # an int64 counts the batches
    assert memory.gradients == 4 * parameters
    assert memory.optimizer_state == 4 * parameters
    assert memory.activations == FIXED + 6 * PER_CLIP
    assert memory.views == 6 * 3 * POSITIONS
    assert memory.total == memory.weights + 2 * 4 * parameters + FIXED + 6 * (
        PER_CLIP + 3 * POSITIONS
    )


@pytest.mark.parametrize("fused", [None, True])
def test_adam_keeps_two_moments_and_a_step_for_each_tensor(fused):
    adam = partial(torch.optim.AdamW, fused=fused)
    assert counted(Small(), adam).optimizer_state == 2 * 4 * 24 + 4 * 4


def test_ddp_keeps_gradients_twice():
    assert counted(Small(), in_buckets=True).gradients == 2 * counted(Small()).gradients


def test_what_is_frozen_has_no_gradients_and_keeps_less():
    model = Small()
    model.conv.requires_grad_(False)
    memory = counted(model)
    assert memory.gradients == memory.optimizer_state == 4 * 8
    assert memory.activations == FIXED + 6 * (4 + 4) * POSITIONS * 4


def test_counting_leaves_the_model_as_it_was():
    model = Small()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    counted(model)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert all(p.grad is None and p.device.type == "cpu" for p in model.parameters())
