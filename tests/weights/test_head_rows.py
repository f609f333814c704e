"""Which rows of a head are taken over: those of classes by the same name."""

import pytest
import torch

from gcvideo.models import slow_resnet
from gcvideo.weights import Weights, WeightsError, load_weights
from gcvideo.weights._weights import HEAD

OLD, NEW = ("run", "jump", "sit"), ("sit", "swim", "run")


def named_weights(**arguments):
    """Of a net whose last layer tells the classes ``OLD`` apart."""
    state = slow_resnet(num_classes=3, width=4).state_dict()
    arguments = {"fresh": HEAD, "classes": OLD} | arguments
    return state, Weights(name="test", read=lambda: state, **arguments)


def test_rows_of_the_head_go_by_class_name_and_new_names_start_fresh():
    state, weights = named_weights()
    net = slow_resnet(num_classes=3, width=4)
    before = net.blocks[5].proj.weight.detach().clone()
    report = load_weights(net, weights, NEW)
    head = net.blocks[5].proj
    theirs = state["blocks.5.proj.weight"]
    assert torch.equal(head.weight, torch.stack([theirs[2], before[1], theirs[0]]))
    assert str(report).endswith("; the head has 2 of 3 classes by name, the others start fresh")
    assert report.fresh == ()


@pytest.mark.parametrize(
    ("classes", "given", "is_kept"),
    [
        (("a", "b", "c"), OLD, False),  # no name in common
        (OLD, None, False),  # names that nobody knows
        ((*OLD, "swim"), OLD, True),
        (OLD, OLD, True),
    ],
)
def test_a_head_without_a_common_name_starts_fresh(classes, given, is_kept):
    state, weights = named_weights(classes=given)
    net = slow_resnet(num_classes=len(classes), width=4)
    before = net.blocks[5].proj.weight.detach().clone()
    report = load_weights(net, weights, classes)
    expected = before.clone()
    if is_kept:
        expected[:3] = state["blocks.5.proj.weight"]
    assert torch.equal(net.blocks[5].proj.weight, expected)
    assert ("blocks.5.proj.weight" in report.fresh) != is_kept


def test_a_head_that_may_not_be_fresh_has_all_its_classes_or_is_refused():
    _, weights = named_weights(fresh=())
    load_weights(slow_resnet(num_classes=3, width=4), weights, OLD[::-1])
    with pytest.raises(WeightsError, match=r"2 missing \(blocks\.5\.proj"):
        load_weights(slow_resnet(num_classes=3, width=4), weights, NEW)
    state, unnamed = named_weights(fresh=(), classes=None)
    net = slow_resnet(num_classes=3, width=4)
    load_weights(net, unnamed, NEW)
    assert torch.equal(net.blocks[5].proj.weight, state["blocks.5.proj.weight"])


def test_names_that_are_not_those_of_the_rows_are_refused():
    _, weights = named_weights(classes=("run", "jump"))
    with pytest.raises(WeightsError, match="a head of 3 classes, but 2 names for them"):
        load_weights(slow_resnet(num_classes=3, width=4), weights, NEW)
