import copy
import functools

import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks

from gcvideo.models import Placement, count_cost, inserted_blocks, slow_resnet
from gcvideo.models._activation_checkpoint import checkpoint_activations
from gcvideo.nn import NonLocalBlock, global_context
from gcvideo.nn._batch_norm import group_batch_norm

GC = Placement(block=functools.partial(global_context, ratio=1 / 4), res3=[1], res4=[1])
NL = Placement(block=NonLocalBlock, res4=[1])


def pair(placement=GC, dropout=0.0):
    """The same net twice, the second with recomputation."""
    torch.manual_seed(0)
    net = slow_resnet(num_classes=5, width=4, dropout=dropout, placement=placement)
    other = copy.deepcopy(net)
    checkpoint_activations(other)
    return net, other


def step(net, clips):
    torch.manual_seed(1)
    loss = net(clips).square().mean()
    loss.backward()
    return loss


def assert_equal_after_a_step(net, other):
    clips = torch.randn(4, 3, 2, 32, 32)
    assert torch.equal(step(net, clips), step(other, clips))
    gradients = {name: parameter.grad for name, parameter in other.named_parameters()}
    for name, parameter in net.named_parameters():
        if parameter.grad is None:
            assert gradients[name] is None
        else:
            assert torch.equal(parameter.grad, gradients[name]), name
    state = other.state_dict()
    for name, tensor in net.state_dict().items():
        assert torch.equal(tensor, state[name]), name


@pytest.mark.parametrize("placement", [GC, NL, Placement()], ids=["gc", "nl", "bare"])
def test_gradients_and_batch_statistics_are_bit_for_bit_those_without(placement):
    net, other = pair(placement, dropout=0.5)
    assert_equal_after_a_step(net, other)
    counts = {int(v) for k, v in other.state_dict().items() if k.endswith("num_batches_tracked")}
    assert counts == {1}


def test_batch_norms_that_are_frozen_or_split_are_recomputed_as_they_were():
    net, other = pair()
    for each in (net, other):
        norms = [m for m in each.modules() if isinstance(m, torch.nn.BatchNorm3d)]
        norms[3].eval()
        group_batch_norm(norms[5], num_splits=2)
    assert_equal_after_a_step(net, other)


def test_dropout_within_a_block_is_drawn_once():
    net, other = pair()
    for each in (net, other):
        block = inserted_blocks(each)[0].module
        block.register_forward_hook(lambda *call: torch.nn.functional.dropout(call[2]))
    assert_equal_after_a_step(net, other)


def test_a_step_keeps_less_than_half_of_the_bytes():
    def kept(net):
        storages = {}

        def keep(tensor):
            storage = tensor.untyped_storage()
            storages[storage.data_ptr()] = storage
            return tensor

        with saved_tensors_hooks(keep, lambda tensor: tensor):
            net(clips)
        own = {p.untyped_storage().data_ptr() for p in [*net.parameters(), *net.buffers()]}
        return sum(s.nbytes() for address, s in storages.items() if address not in own)

    net, other = pair()
    clips = torch.randn(4, 3, 2, 64, 64)
    assert kept(other) < kept(net) / 2


def test_keys_blocks_cost_and_evaluation_stay():
    net, other = pair()
    assert list(net.state_dict()) == list(other.state_dict())
    assert [b.name for b in inserted_blocks(net)] == [b.name for b in inserted_blocks(other)]
    assert count_cost(net, 2, 32) == count_cost(other, 2, 32)
    clips = torch.randn(1, 3, 2, 32, 32)
    with torch.no_grad():
        assert torch.equal(net.eval()(clips), other.eval()(clips))


def test_a_copy_recomputes_with_its_own_weights():
    _, net = pair()
    twin = copy.deepcopy(net)
    step(twin, torch.randn(2, 3, 2, 32, 32))
    assert all(parameter.grad is None for parameter in net.parameters())
    assert all(int(v) == 0 for k, v in net.state_dict().items() if k.endswith("batches_tracked"))


def test_a_second_call_is_refused():
    _, net = pair()
    with pytest.raises(ValueError, match="already recompute their activations; call checkpoint_"):
        checkpoint_activations(net)
