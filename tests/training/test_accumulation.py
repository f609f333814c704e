import copy
import math

import pytest
import torch
import torch.nn.functional as F
from lightning import Callback
from quiet_trainer import make_trainer
from small_fit import make_batch, make_module
from torch.utils.data import DataLoader, IterableDataset

from gcvideo.training._accumulation import BatchGroups

pytestmark = [
    pytest.mark.filterwarnings("ignore:The '.*_dataloader' does not have many workers"),
    pytest.mark.filterwarnings("ignore:You defined a `validation_step` but have no"),
]
FEWER, PARTIAL, UNEQUAL = (4, [4, 4, 4]), (2, [4, 4, 4]), (3, [2, 4, 6, 4, 2])


def make_batches(sizes):
    return [make_batch(seed, size) for seed, size in enumerate(sizes)]


class Gradients(Callback):
    """Those of each optimizer step, and its rate."""

    def __init__(self):
        self.steps, self.rates = [], []

    def on_before_optimizer_step(self, trainer, pl_module, optimizer):
        self.steps.append([p.grad.clone() for p in pl_module.model.parameters()])
        self.rates.append(optimizer.param_groups[0]["lr"])


def fit(module, loader, folder, **options):
    make_trainer(folder, **options).fit(module, loader)


def plain_steps(model, batches, accumulated, rates):
    """Gradients of SGD on the mean over all clips of each group, without Lightning."""
    parameters, steps = list(model.train().parameters()), []
    groups = [batches[i : i + accumulated] for i in range(0, len(batches), accumulated)]
    for group, rate in zip(groups, rates, strict=True):
        losses = [
            F.cross_entropy(
                model(b["views"]).flatten(0, 1), b["labels"].flatten(), reduction="none"
            )
            for b in group
        ]
        steps.append(torch.autograd.grad(torch.cat(losses).mean(), parameters))
        with torch.no_grad():
            for parameter, gradient in zip(parameters, steps[-1], strict=True):
                parameter -= rate * gradient
    return steps


@pytest.mark.parametrize(
    ("accumulated", "sizes", "in_group"),
    [(*FEWER, [3]), (*PARTIAL, [2, 1]), (*UNEQUAL, [3, 2]), (1, [4, 2], [1, 1])],
)
def test_a_step_learns_from_the_mean_over_the_clips_of_its_own_batches(
    accumulated, sizes, in_group, tmp_path
):
    module = make_module("plain", weight_decay=0.0, lr=0.05, base_batch_size=16)
    plain, batches, seen = copy.deepcopy(module.model), make_batches(sizes), Gradients()
    fit(
        module,
        DataLoader(batches, batch_size=None),
        tmp_path,
        accumulate_grad_batches=accumulated,
        callbacks=[seen],
    )
    # Four views per batch, of which 16 have a rate of 0.05.
    assert seen.rates == pytest.approx([0.05 * 4 * count / 16 for count in in_group])
    assert module.total_batch_size == 4 * max(in_group)
    assert module.learning_rate == pytest.approx(max(seen.rates))
    expected = plain_steps(plain, batches, accumulated, seen.rates)
    assert len(seen.steps) == len(expected) == len(in_group)
    for step, wanted in zip(seen.steps, expected, strict=True):
        torch.testing.assert_close(step, list(wanted), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(
        list(module.model.parameters()), list(plain.parameters()), rtol=1e-4, atol=1e-6
    )


def test_groups_are_counted_over_epochs_of_other_lengths():
    groups = BatchGroups(3, [4, 2, 6])
    assert groups.steps_per_epoch == [2, 1, 2]
    assert [groups.size(step) for step in range(5)] == [3, 1, 2, 3, 3]
    assert (groups.largest, groups.smallest) == (3, 1)
    assert groups.size(5) == 3  # behind the run, where nothing is learnt


def test_an_epoch_shorter_than_a_group_is_a_group():
    groups = BatchGroups(8, [2, 2])
    assert (groups.largest, groups.smallest) == (2, 2)
    assert [groups.size(step) for step in range(2)] == [2, 2]


def test_a_loader_without_a_length_is_refused(tmp_path):
    class Endless(IterableDataset):
        def __iter__(self):
            yield from make_batches([4])

    loader = DataLoader(Endless(), batch_size=None)
    with pytest.raises(ValueError, match=r"the training loader has no length, .*limit_train"):
        fit(make_module("sgd"), loader, tmp_path)
    assert BatchGroups(2, [math.inf]).largest == 2
