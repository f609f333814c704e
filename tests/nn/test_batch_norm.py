import copy

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.func import grad, jvp, vmap

from gcvideo.nn._batch_norm import GroupBatchNorm1d, GroupBatchNorm3d, group_batch_norm

INPUTS = {nn.BatchNorm1d: (8, 5), nn.BatchNorm3d: (8, 5, 2, 3, 4)}
GROUPED = {nn.BatchNorm1d: GroupBatchNorm1d, nn.BatchNorm3d: GroupBatchNorm3d}
both_norms = pytest.mark.parametrize("kind", INPUTS)


@pytest.fixture
def alone(tmp_path):
    """A process group whose only rank is this one."""
    store = dist.FileStore(str(tmp_path / "store"), 1)
    dist.init_process_group("gloo", store=store, rank=0, world_size=1)
    yield dist.group.WORLD
    dist.destroy_process_group()


def make_norm(kind=nn.BatchNorm3d, **options):
    norm = kind(5, **options)
    for tensor in (norm.weight, norm.bias, norm.running_mean):
        if tensor is not None:
            nn.init.normal_(tensor)
    if norm.running_var is not None:
        nn.init.uniform_(norm.running_var, 0.5, 2.0)
    return norm


def clips(kind=nn.BatchNorm3d):
    return torch.randn(INPUTS[kind]).mul(2.0).add(3.0).requires_grad_()


def grouped_copy(norm, **groups):
    copied = copy.deepcopy(norm)
    group_batch_norm(copied, **groups)
    return copied


def step(norm, x):
    """Output and gradients of an uneven loss."""
    y = norm(x)
    loss = (y * torch.linspace(-1, 1, y.numel()).view_as(y)).sum() + y.pow(3).sum()
    return y, torch.autograd.grad(loss, [x, *norm.parameters()])


@both_norms
def test_one_split_equals_torch_bit_for_bit(kind):
    plain = make_norm(kind)
    grouped = grouped_copy(plain)
    assert type(grouped) is GROUPED[kind]
    x = clips(kind)
    for wanted, got in zip(step(plain, x), step(grouped, x), strict=True):
        torch.testing.assert_close(got, wanted, rtol=0, atol=0)
    assert list(grouped.state_dict()) == list(plain.state_dict())
    torch.testing.assert_close(grouped.state_dict(), plain.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize("over", ["splits", "ranks"])
@pytest.mark.parametrize("affine", [True, False])
def test_evaluation_equals_torch_bit_for_bit(over, affine, alone):
    plain = make_norm(affine=affine)
    groups = {"num_splits": 4} if over == "splits" else {"process_group": alone}
    grouped = grouped_copy(plain, **groups).eval()
    before = copy.deepcopy(grouped.state_dict())
    x = clips()
    torch.testing.assert_close(grouped(x), plain.eval()(x), rtol=0, atol=0)
    torch.testing.assert_close(grouped.state_dict(), before, rtol=0, atol=0)


@both_norms
def test_splits_are_separate_batches_of_neighbouring_clips(kind):
    plain = make_norm(kind)
    grouped = grouped_copy(plain, num_splits=4)
    x = clips(kind)
    output, gradients = step(grouped, x)
    separate = [copy.deepcopy(plain)(part) for part in x.chunk(4)]
    torch.testing.assert_close(output, torch.cat(separate), rtol=0, atol=0)

    class Separate(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = copy.deepcopy(plain)

        def forward(self, x):
            return torch.cat([self.norm(part) for part in x.chunk(4)])

    torch.testing.assert_close(gradients, step(Separate(), x)[1])


@pytest.mark.parametrize("momentum", [0.1, 0.7, None])
@pytest.mark.parametrize("over", ["splits", "ranks"])
def test_running_statistics_are_those_of_the_whole_batch(momentum, over, alone):
    plain = make_norm(momentum=momentum)
    groups = {"num_splits": 4} if over == "splits" else {"process_group": alone}
    grouped = grouped_copy(plain, **groups)
    for _ in range(3):
        x = clips()
        plain(x)
        grouped(x)
    torch.testing.assert_close(grouped.state_dict(), plain.state_dict(), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("over", ["splits", "ranks"])
def test_without_tracking_nothing_is_kept(over, alone):
    groups = {"num_splits": 4} if over == "splits" else {"process_group": alone}
    stateless = grouped_copy(make_norm(track_running_stats=False), **groups)
    paused = grouped_copy(make_norm(), **groups)
    paused.track_running_stats = False
    before = copy.deepcopy(paused.state_dict())
    stateless(clips())
    paused(clips())
    assert not set(stateless.state_dict()) - {"weight", "bias"}
    torch.testing.assert_close(paused.state_dict(), before, rtol=0, atol=0)


@both_norms
@pytest.mark.parametrize("affine", [True, False])
def test_one_rank_equals_torch(kind, affine, alone):
    plain = make_norm(kind, affine=affine)
    x = clips(kind)
    wanted = step(plain, x)
    torch.testing.assert_close(step(grouped_copy(plain, process_group=alone), x), wanted)


@pytest.mark.parametrize("over", ["splits", "ranks"])
def test_bfloat16_clips_get_float32_statistics(over, alone):
    groups = {"num_splits": 2} if over == "splits" else {"process_group": alone}
    grouped = grouped_copy(nn.BatchNorm3d(5, momentum=1.0), **groups)
    exact = nn.BatchNorm3d(5, momentum=1.0).double()
    x = torch.randn(16, 5, 4, 16, 16).add(8.0).bfloat16()
    output = grouped(x)
    exact(x.double())
    assert output.dtype == torch.bfloat16
    assert grouped.running_var.dtype == torch.float32
    torch.testing.assert_close(grouped.running_mean.double(), exact.running_mean, rtol=1e-6, atol=0)
    torch.testing.assert_close(grouped.running_var.double(), exact.running_var, rtol=1e-5, atol=0)


def test_the_variance_of_large_values_is_not_lost(alone):
    grouped = grouped_copy(nn.BatchNorm3d(5), process_group=alone)
    x = torch.randn(8, 5, 4, 16, 16).add(3000.0)
    wanted = nn.BatchNorm3d(5).double()(x.double())
    torch.testing.assert_close(grouped(x).double(), wanted, rtol=0, atol=2e-3)


def test_gradients_are_those_of_the_function(alone):
    x = torch.randn(4, 2, 1, 2, 2, dtype=torch.float64, requires_grad=True)
    norm = nn.BatchNorm3d(2).double()
    for groups in ({"process_group": alone}, {"num_splits": 2}):
        assert torch.autograd.gradcheck(grouped_copy(norm, **groups), x)


def test_sums_over_ranks_have_all_derivatives(alone):
    norm = grouped_copy(nn.BatchNorm3d(5, track_running_stats=False), process_group=alone)
    plain = nn.BatchNorm3d(5, track_running_stats=False)
    x, v = torch.randn(2, 3, 5, 2, 2, 2), torch.randn(2, 3, 5, 2, 2, 2)
    for function in (
        lambda norm: vmap(norm)(x),
        lambda norm: jvp(norm, (x[0],), (v[0],)),
        lambda norm: vmap(lambda x, v: jvp(norm, (x,), (v,)))(x, v),
        lambda norm: vmap(grad(lambda x: norm(x).pow(3).sum()))(x),
        lambda norm: jvp(grad(lambda x: norm(x).pow(3).sum()), (x[0],), (v[0],)),
    ):
        torch.testing.assert_close(function(norm), function(plain), atol=1e-4, rtol=1e-4)


def test_a_norm_that_changes_its_groups_stays_the_same_object():
    norm = make_norm()
    weight, keys = norm.weight, list(norm.state_dict())
    group_batch_norm(norm, num_splits=2)
    group_batch_norm(norm, num_splits=4)
    assert type(norm) is GroupBatchNorm3d
    assert "num_splits=4" in repr(norm)
    assert norm.weight is weight
    assert list(norm.state_dict()) == keys
    assert isinstance(norm, nn.BatchNorm3d)


def test_a_split_must_divide_the_batch():
    norm = grouped_copy(make_norm(), num_splits=3)
    with pytest.raises(ValueError, match=r"num_splits is 3 but the batch holds 8 .* that divides"):
        norm(clips())


def test_wrong_groups_are_refused(alone):
    with pytest.raises(ValueError, match=r"num_splits is 0; it must be at least 1"):
        group_batch_norm(make_norm(), num_splits=0)
    with pytest.raises(ValueError, match=r"num_splits is 2 in a batch norm over ranks; .* choose"):
        group_batch_norm(make_norm(), num_splits=2, process_group=alone)
    with pytest.raises(TypeError, match=r"the norm is a LayerNorm; pass an nn.BatchNorm1d or"):
        group_batch_norm(nn.LayerNorm(3))


@pytest.mark.parametrize("groups", [{"num_splits": 2}, {}])
def test_clips_need_all_their_axes(groups, alone):
    norm = grouped_copy(make_norm(), **(groups or {"process_group": alone}))
    with pytest.raises(ValueError, match="expected 5D input"):
        norm(torch.randn(8, 5))


@pytest.mark.gpu
def test_cuda_equals_the_cpu(tmp_path):
    store = dist.FileStore(str(tmp_path / "store"), 1)
    dist.init_process_group("nccl", store=store, rank=0, world_size=1)
    try:
        for groups in ({"process_group": dist.group.WORLD}, {"num_splits": 4}):
            plain, x = make_norm(), clips()
            wanted = step(grouped_copy(plain, num_splits=groups.get("num_splits", 1)), x)
            device = grouped_copy(plain, **groups).cuda()
            got = step(device, x.detach().cuda().requires_grad_())
            torch.testing.assert_close(got[0].cpu(), wanted[0], rtol=1e-4, atol=1e-4)
            for ours, theirs in zip(got[1], wanted[1], strict=True):
                torch.testing.assert_close(ours.cpu(), theirs, rtol=1e-3, atol=1e-3)
    finally:
        dist.destroy_process_group()
