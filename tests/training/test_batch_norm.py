import copy
import math
from types import SimpleNamespace

import pytest
import torch
from batch_norm_ranks import (
    Data,
    Fit,
    fit,
    reference_norm,
    unequal_clips,
    uneven_loss,
)
from torch import nn
from two_ranks import run_in_two

from gcvideo.nn._batch_norm import GroupBatchNorm1d, GroupBatchNorm3d
from gcvideo.training._batch_norm import (
    BatchNormGroups,
    check_group_size,
    clips_per_group,
    freeze_batch_norm,
    set_num_splits,
    small_group_warning,
)
from gcvideo.training._precise_batch_norm import PreciseBatchNorm


def make_net():
    return nn.Sequential(nn.Conv3d(3, 4, 1), nn.BatchNorm3d(4), nn.Flatten(), nn.BatchNorm1d(8))


def norms_of(net):
    return [net[1], net[3]]


@pytest.fixture(scope="module")
def ranks(project, tmp_path_factory):
    """What two processes found, started once."""
    folder = tmp_path_factory.mktemp("ranks")
    run_in_two(project / "tests" / "batch_norm_ranks.py", folder)
    return [torch.load(folder / f"rank{rank}.pt") for rank in range(2)]


@pytest.mark.slow
def test_unequal_batches_of_two_ranks_equal_one_batch(ranks):
    norm = reference_norm()
    x = unequal_clips().requires_grad_()
    norm(x.detach() * 2)
    y = norm(x)
    uneven_loss(y, torch.linspace(-1, 1, x.numel()).view_as(x)).backward()
    first, second = (result["norm"] for result in ranks)
    close = {"rtol": 1e-5, "atol": 1e-5}
    torch.testing.assert_close(torch.cat([first["output"], second["output"]]), y.detach(), **close)
    torch.testing.assert_close(torch.cat([first["input"], second["input"]]), x.grad, **close)
    torch.testing.assert_close(first["weight"] + second["weight"], norm.weight.grad, **close)
    torch.testing.assert_close(first["bias"] + second["bias"], norm.bias.grad, **close)
    for result in (first, second):
        torch.testing.assert_close(result["state"], norm.state_dict(), rtol=1e-6, atol=1e-6)


@pytest.mark.slow
def test_a_fit_on_two_ranks_in_one_group_equals_a_fit_on_one_rank(ranks, tmp_path):
    alone = Fit(lr=0.1)
    fit(alone, Data(), tmp_path, callbacks=[PreciseBatchNorm(2)])
    for result in ranks:
        torch.testing.assert_close(
            result["together"]["state"], alone.state_dict(), rtol=1e-4, atol=1e-5
        )


@pytest.mark.slow
def test_precise_statistics_of_two_ranks_are_those_of_all_batches(ranks, tmp_path):
    class Halves(Data):
        """The two ranks' batches, one after the other."""

        def statistics_dataloader(self, epoch, num_batches):
            shares = [Data(rank, 2).statistics_dataloader(epoch, 2) for rank in range(2)]
            return [batch for share in shares for batch in share]

    alone = Fit(lr=0.0)
    fit(alone, Halves(), tmp_path, callbacks=[PreciseBatchNorm(4)])
    for result in ranks:
        torch.testing.assert_close(
            result["apart"]["state"], alone.state_dict(), rtol=1e-5, atol=1e-5, check_dtype=True
        )


@pytest.mark.slow
def test_norms_are_grouped_during_a_fit_and_torchs_own_behind_it(ranks):
    for result in ranks:
        grouped = ["GroupBatchNorm3d", "GroupBatchNorm1d", "GroupBatchNorm3d"]
        assert result["together"]["during"] == grouped
        assert result["together"]["after"] == ["BatchNorm3d", "BatchNorm1d", "BatchNorm3d"]
        assert result["apart"]["during"] == ["BatchNorm3d", "BatchNorm1d", "BatchNorm3d"]


@pytest.mark.slow
def test_local_statistics_of_two_ranks_are_averaged_before_a_validation(ranks):
    """Those of the weights in training, and those of averaged weights."""
    validations = zip(*(result["averaged"]["seen"] for result in ranks), strict=True)
    for (before, after), (other_before, other_after) in validations:
        assert len(before) == 2
        nets = zip(before, after, other_before, other_after, strict=True)
        for mine, averaged, other, other_averaged in nets:
            assert averaged.keys() >= {"net.1.running_mean", "net.4.norm.running_var"}
            for name, values in averaged.items():
                assert torch.equal(values, other_averaged[name])
                if name.startswith("frozen"):
                    assert torch.equal(values, mine[name])
                else:
                    assert not torch.equal(mine[name], other[name])
                    torch.testing.assert_close(values, (mine[name] + other[name]) / 2)


@pytest.mark.slow
def test_how_often_statistics_are_averaged_makes_no_difference(ranks):
    often, once = (ranks[0][name] for name in ("averaged", "averaged once"))
    assert (len(often["seen"]), len(once["seen"])) == (2, 0)
    torch.testing.assert_close(often["end"], once["end"], rtol=1e-5, atol=1e-6)


@pytest.fixture
def on_two_ranks(monkeypatch, unchecked):
    """What torch answers one of two ranks; no collective is called."""

    def use(backend):
        torch_distributed = SimpleNamespace(
            is_initialized=lambda: True,
            get_world_size=lambda group=None: 2,
            get_backend=lambda group: backend,
            group=SimpleNamespace(WORLD="both ranks"),
        )
        monkeypatch.setattr("gcvideo.training._batch_norm.dist", torch_distributed)

    return use


@pytest.mark.parametrize("backend", ["gloo", "nccl"])
def test_a_conversion_keeps_modules_statistics_and_what_is_frozen(on_two_ranks, backend):
    on_two_ranks(backend)
    net = make_net()
    net(torch.randn(4, 3, 1, 2, 1))
    norm = net[1].eval()
    before = copy.deepcopy(net.state_dict())
    plugin = BatchNormGroups()
    assert plugin.apply(net) is net
    wanted = [nn.SyncBatchNorm] * 2 if backend == "nccl" else [GroupBatchNorm3d, GroupBatchNorm1d]
    assert [type(m) for m in norms_of(net)] == wanted
    assert all(m.process_group == "both ranks" for m in norms_of(net))
    assert net[1] is norm
    assert [m.training for m in norms_of(net)] == [False, True]
    assert plugin.revert(net) is net
    assert [type(m) for m in norms_of(net)] == [nn.BatchNorm3d, nn.BatchNorm1d]
    assert [m.training for m in norms_of(net)] == [False, True]
    assert not hasattr(norm, "process_group")
    torch.testing.assert_close(net.state_dict(), before, rtol=0, atol=0)


def test_what_is_converted_is_what_torch_would_convert(on_two_ranks):
    on_two_ranks("nccl")
    theirs = nn.SyncBatchNorm.convert_sync_batchnorm(make_net(), "both ranks")
    ours = BatchNormGroups().apply(make_net())
    for one, other in zip(norms_of(ours), norms_of(theirs), strict=True):
        kept = [{k: v for k, v in vars(m).items() if not k.startswith("_")} for m in (one, other)]
        assert kept[0] | {"num_splits": 1} == kept[1] | {"num_splits": 1}


def test_a_single_process_has_nothing_to_group():
    net = make_net()
    assert BatchNormGroups().apply(net) is net
    assert [type(m) for m in norms_of(net)] == [nn.BatchNorm3d, nn.BatchNorm1d]


def test_wrong_group_sizes_are_refused(on_two_ranks):
    on_two_ranks("gloo")
    with pytest.raises(ValueError, match=r"batch_norm.group_size is 0; it must be at least 1 rank"):
        BatchNormGroups(0)
    with pytest.raises(ValueError, match=r"group_size is 3 but there are 2 ranks; .* one of 1, 2,"):
        BatchNormGroups(3).apply(make_net())
    check_group_size(4, 8)
    check_group_size(None, 7)


def test_splits_and_ranks_exclude_each_other(on_two_ranks):
    net = make_net()
    set_num_splits(net, 2)
    on_two_ranks("gloo")
    with pytest.raises(ValueError, match=r"num_splits is 2 in a batch norm over ranks"):
        BatchNormGroups().apply(net)
    for backend in ("gloo", "nccl"):
        net = make_net()
        on_two_ranks(backend)
        BatchNormGroups().apply(net)
        set_num_splits(net, 1)
        with pytest.raises(
            ValueError, match=r"num_splits is 4 but .* choose batch_norm.mode=local"
        ):
            set_num_splits(net, 4)


def test_splits_act_in_place_and_can_change_between_batches():
    net, plain = make_net(), make_net()
    plain.load_state_dict(net.state_dict())
    parameters = list(net.parameters())
    x = torch.randn(8, 3, 1, 2, 1)
    for num_splits in (4, 2, 1):
        set_num_splits(net, num_splits)
        wanted = torch.cat([plain[:2](part) for part in x.chunk(num_splits)])
        torch.testing.assert_close(net[:2](x), wanted)
        rows = torch.cat([plain[2:](part) for part in wanted.chunk(num_splits)])
        torch.testing.assert_close(net(x), rows)
    assert all(a is b for a, b in zip(net.parameters(), parameters, strict=True))
    with pytest.raises(ValueError, match=r"num_splits is 0; it must be at least 1"):
        set_num_splits(net, 0)


def test_frozen_norms_keep_their_statistics_and_go_on_learning():
    net = make_net()
    net(torch.randn(4, 3, 1, 2, 1))
    before = copy.deepcopy(net.state_dict())
    freeze_batch_norm(net)
    x = torch.randn(4, 3, 1, 2, 1)
    wanted = copy.deepcopy(net).eval()(x)
    torch.testing.assert_close(net(x), wanted, rtol=0, atol=0)
    net(x).pow(2).sum().backward()
    torch.testing.assert_close(net.state_dict(), before, rtol=0, atol=0)
    assert all(p.grad.abs().sum() > 0 for p in net.parameters())
    assert net.training


@pytest.mark.parametrize(
    ("mode", "settings", "clips"),
    [
        ("local", {}, 16),
        ("local", {"group_size": 2}, 16),
        ("sync", {}, 128),
        ("sync", {"group_size": 2}, 32),
        ("frozen", {}, math.inf),
    ],
)
def test_the_clips_of_a_group_are_counted(mode, settings, clips):
    assert clips_per_group(mode, 16, world_size=8, **settings) == clips


def test_small_groups_are_warned_of():
    assert small_group_warning(8) is None
    assert small_group_warning(math.inf) is None
    text = small_group_warning(7.5)
    assert "7.5 clips, fewer than 8" in text
    for remedy in ("batch_norm.mode=sync", "batch_size", "precise", "mode=frozen"):
        assert remedy in text
