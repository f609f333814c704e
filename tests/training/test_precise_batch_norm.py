import copy

import pytest
import torch
from batch_norm_ranks import NUM_BATCHES, Data, Fit, fit
from fvcore.nn.precise_bn import update_bn_stats
from lightning import LightningDataModule
from lightning.pytorch.callbacks import EMAWeightAveraging
from torch import nn

from gcvideo.training._batch_norm import freeze_batch_norm, set_num_splits
from gcvideo.training._precise_batch_norm import PreciseBatchNorm


def norms_of(module):
    return [m for m in module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]


def in_statistics_mode(module):
    module = copy.deepcopy(module).eval()
    for norm in norms_of(module):
        norm.train()
    return module


def statistics(module):
    return [(norm.running_mean, norm.running_var) for norm in norms_of(module)]


@torch.no_grad()
def direct_statistics(module, loader):
    """Mean and biased variance of all values that reached each batch norm, in float64."""
    module = in_statistics_mode(module)
    seen = [[] for _ in norms_of(module)]
    for norm, kept in zip(norms_of(module), seen, strict=True):
        norm.register_forward_pre_hook(lambda _, x, kept=kept: kept.append(x[0].double()))
    for batch in loader:
        module(batch["views"])
    found = []
    for kept in seen:
        values = torch.cat(kept).transpose(0, 1).flatten(1)
        found.append((values.mean(1).float(), values.var(1, correction=0).float()))
    return found


def test_statistics_are_those_of_all_activations_of_the_final_weights(tmp_path):
    module, data = Fit(lr=0.1, dropout=0.5), Data()
    fit(module, data, tmp_path, callbacks=[PreciseBatchNorm(5)])
    assert data.asked == [(0, 5), (1, 5)]
    wanted = direct_statistics(module, data.statistics_dataloader(1, 5))
    torch.testing.assert_close(statistics(module), wanted, rtol=1e-5, atol=1e-6)


def test_statistics_equal_fvcores(tmp_path):
    module, data = Fit(lr=0.1), Data()
    fit(module, data, tmp_path, callbacks=[PreciseBatchNorm(5)])
    theirs = in_statistics_mode(module)
    loader = data.statistics_dataloader(1, 5)
    update_bn_stats(theirs, [batch["views"] for batch in loader], num_iters=5)
    torch.testing.assert_close(statistics(module), statistics(theirs), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("num_splits", [1, 2])
def test_training_goes_on_as_if_nothing_had_been_measured(num_splits, tmp_path):
    class Watch(PreciseBatchNorm):
        def on_validation_epoch_start(self, trainer, pl_module):
            before = [copy.deepcopy(norm.state_dict()) for norm in norms_of(pl_module)]
            modes = [m.training for m in pl_module.modules()]
            random = torch.get_rng_state()
            super().on_validation_epoch_start(trainer, pl_module)
            assert torch.equal(torch.get_rng_state(), random)
            assert [m.training for m in pl_module.modules()] == modes
            for norm, old in zip(norms_of(pl_module), before, strict=True):
                changed = {
                    k
                    for k, v in norm.state_dict().items()
                    if not trainer.sanity_checking and not torch.equal(v, old[k])
                }
                assert changed == (
                    set() if trainer.sanity_checking else {"running_mean", "running_var"}
                )
                assert norm.track_running_stats
                assert not norm._forward_pre_hooks

    states = []
    for callbacks in ([], [Watch(5)]):
        torch.manual_seed(0)
        module = Fit(lr=0.1, dropout=0.5)
        set_num_splits(module, num_splits)
        fit(module, Data(), tmp_path, callbacks=callbacks)
        states.append({k: v for k, v in module.state_dict().items() if "running" not in k})
    torch.testing.assert_close(*states, rtol=0, atol=0)


def test_statistics_of_a_split_batch_are_those_of_whole_batches(tmp_path):
    module, data = Fit(lr=0.1), Data()
    set_num_splits(module, 4)
    fit(module, data, tmp_path, callbacks=[PreciseBatchNorm(5)])
    assert {norm.num_splits for norm in norms_of(module)} == {4}
    set_num_splits(module, 1)
    wanted = direct_statistics(module, data.statistics_dataloader(1, 5))
    torch.testing.assert_close(statistics(module), wanted, rtol=1e-5, atol=1e-6)


def test_few_videos_make_fewer_batches(tmp_path):
    class Few(Data):
        def statistics_dataloader(self, epoch, num_batches):
            return super().statistics_dataloader(epoch, min(num_batches, 2))

    module, data = Fit(lr=0.1), Few()
    fit(module, data, tmp_path, callbacks=[PreciseBatchNorm()])
    wanted = direct_statistics(module, data.statistics_dataloader(1, 2))
    torch.testing.assert_close(statistics(module), wanted, rtol=1e-5, atol=1e-6)


def test_frozen_norms_stay_out(tmp_path):
    module, data = Fit(lr=0.1), Data()
    module.on_train_epoch_start = lambda: freeze_batch_norm(module.net[4])
    first, rows, last = norms_of(module)
    before = copy.deepcopy(statistics(module))
    fit(module, data, tmp_path, callbacks=[PreciseBatchNorm(5)])
    torch.testing.assert_close(statistics(rows), before[1:2], rtol=0, atol=0)
    reference = copy.deepcopy(module).eval()
    seen = []
    norms_of(reference)[0].train()
    norms_of(reference)[2].train().register_forward_pre_hook(lambda _, x: seen.append(x[0]))
    for batch in data.statistics_dataloader(1, 5):
        reference(batch["views"])
    torch.testing.assert_close(last.running_mean, torch.cat(seen).mean((0, 2, 3, 4)))
    assert not torch.equal(first.running_mean, before[0][0])


def test_a_net_of_frozen_norms_or_none_asks_for_no_batches(tmp_path):
    frozen, data = Fit(lr=0.1), Data()
    frozen.on_train_epoch_start = lambda: freeze_batch_norm(frozen)
    fit(frozen, data, tmp_path, callbacks=[PreciseBatchNorm(5)])
    bare = Fit(lr=0.1)
    bare.net[1] = bare.net[4].norm = bare.net[6] = nn.Identity()
    fit(bare, data, tmp_path, callbacks=[PreciseBatchNorm(5)])
    assert data.asked == []


def test_a_validation_outside_a_fit_measures_nothing(tmp_path):
    module, data = Fit(lr=0.1), Data()
    trainer = fit(module, data, tmp_path, callbacks=[PreciseBatchNorm(5)])
    trainer.validate(module, datamodule=data, verbose=False)
    assert len(data.asked) == 2


def test_the_sanity_check_of_a_second_fit_measures_nothing(tmp_path):
    callback, data = PreciseBatchNorm(5), Data()
    for _ in range(2):
        fit(Fit(lr=0.1), data, tmp_path, max_epochs=1, callbacks=[callback])
    assert data.asked == [(0, 5), (0, 5)]


def test_a_norm_that_the_net_does_not_use_is_left_alone(tmp_path):
    module = Fit(lr=0.1)
    module.spare = nn.BatchNorm3d(4).requires_grad_(False)
    fit(module, Data(), tmp_path, callbacks=[PreciseBatchNorm(5)])
    torch.testing.assert_close(module.spare.running_mean, torch.zeros(4))
    torch.testing.assert_close(module.spare.running_var, torch.ones(4))


def test_behind_weight_averaging_the_statistics_are_those_of_the_averaged_weights(tmp_path):
    module, data = Fit(lr=0.1), Data()
    averaging = EMAWeightAveraging(decay=0.5)
    fit(module, data, tmp_path, callbacks=[averaging, PreciseBatchNorm(5)])
    plain = Fit(lr=0.1)
    fit(plain, Data(), tmp_path, callbacks=[PreciseBatchNorm(5)])
    assert not torch.allclose(module.net[0].weight, plain.net[0].weight, atol=1e-3)
    wanted = direct_statistics(module, data.statistics_dataloader(1, 5))
    torch.testing.assert_close(statistics(module), wanted, rtol=1e-5, atol=1e-6)


def test_weight_averaging_behind_it_is_refused(tmp_path):
    callbacks = [PreciseBatchNorm(5), EMAWeightAveraging(decay=0.5)]
    with pytest.raises(ValueError, match=r"EMAWeightAveraging comes after PreciseBatchNorm.* list"):
        fit(Fit(lr=0.1), Data(), tmp_path, callbacks=callbacks)


def test_wrong_numbers_of_batches_and_data_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"num_batches is 0; precise batch norm needs at least 1"):
        PreciseBatchNorm(0)

    class Empty(Data):
        def statistics_dataloader(self, epoch, num_batches):
            return super().statistics_dataloader(epoch, 0)

    with pytest.raises(
        ValueError, match=r"num_batches is 5 but statistics_dataloader gave none; .* lower"
    ):
        fit(Fit(lr=0.1), Empty(), tmp_path, callbacks=[PreciseBatchNorm(5)])

    class Plain(LightningDataModule):
        train_dataloader = val_dataloader = lambda _: Data().val_dataloader()

    with pytest.raises(ValueError, match=r"the data come from Plain, .* VideoDataModule or leave"):
        fit(Fit(lr=0.1), Plain(), tmp_path, callbacks=[PreciseBatchNorm(5)])


def test_large_values_keep_their_variance(tmp_path):
    class Shifted(Data):
        def batches(self, seed, num_batches=NUM_BATCHES):
            batches = super().batches(seed, num_batches)
            return [batch | {"views": batch["views"] + 1000} for batch in batches]

    module, data = Fit(lr=0.0), Shifted()
    fit(module, data, tmp_path, max_epochs=1, callbacks=[PreciseBatchNorm(5)])
    first = direct_statistics(module, data.statistics_dataloader(0, 5))[0]
    torch.testing.assert_close(statistics(module)[0], first, rtol=1e-4, atol=0)
