import functools

import pytest
import torch
from hydra.utils import instantiate

from gcvideo._construction import ConstructionError, construct
from gcvideo.models import Head, Placement, inserted_blocks
from gcvideo.nn import ContextBlock, NonLocalBlock

GC = {"_target_": "gcvideo.nn.global_context", "_partial_": True, "ratio": 0.25, "fusion": ["add"]}
PLACEMENT = {"_target_": "gcvideo.models.Placement", "block": GC, "res3": [1, 3], "res4": "all"}
NET = {
    "_target_": "gcvideo.models.slow_resnet",
    "num_classes": 10,
    "width": 4,
    "placement": PLACEMENT,
}


@pytest.mark.parametrize(
    "value", [None, 3, 0.5, True, "res4", [1, [2, "a"]], {"a": {"b": [1]}}, {}]
)
def test_plain_values_come_back_equal(value):
    assert construct(value) == value


def test_tuples_become_lists():
    assert construct({"a": (1, 2)}) == {"a": [1, 2]}


def test_a_target_is_called_with_the_other_entries():
    head = construct({"_target_": "gcvideo.models.Head", "in_channels": 8, "num_classes": 3})
    assert isinstance(head, Head)
    assert head.proj.weight.shape == (3, 8)


def test_a_partial_awaits_the_rest_of_its_arguments():
    factory = construct(GC)
    assert isinstance(factory, functools.partial)
    assert factory.keywords == {"ratio": 0.25, "fusion": ["add"]}
    assert isinstance(factory(16), ContextBlock)


def test_partial_false_is_a_call():
    description = {"_target_": "gcvideo.nn.NonLocalBlock", "_partial_": False, "in_channels": 8}
    assert isinstance(construct(description), NonLocalBlock)


def test_descriptions_are_built_wherever_they_nest():
    built = construct({"list": [{"of": PLACEMENT}], "plain": 1})
    placement = built["list"][0]["of"]
    assert isinstance(placement, Placement)
    assert placement.indices("res3", 4) == (1, 3)
    assert built["plain"] == 1


def test_a_description_is_not_changed():
    before = repr(NET)
    construct(NET)
    assert repr(NET) == before


def test_the_net_equals_that_of_hydra():
    torch.manual_seed(0)
    net = construct(NET)
    torch.manual_seed(0)
    expected = instantiate(NET, _convert_="all")
    assert str(net) == str(expected)
    torch.testing.assert_close(net.state_dict(), expected.state_dict(), rtol=0, atol=0)
    assert len(inserted_blocks(net)) == 8


@pytest.mark.parametrize("target", ["os.system", "torch.nn.Linear", "gcvideos.models.Head", ""])
def test_other_packages_are_refused(target):
    message = f"names '{target}', but only gcvideo may be imported; .* packages="
    with pytest.raises(ConstructionError, match=message):
        construct({"a": [{"_target_": target, "_partial_": True}]})


def test_a_package_named_by_the_user_is_allowed():
    description = {"_target_": "torch.nn.Linear", "in_features": 2, "out_features": 3}
    assert construct(description, packages=["gcvideo", "torch"]).out_features == 3


@pytest.mark.parametrize(
    "description",
    [
        {"_target_": "gcvideo._construction._import", "target": "os.system", "packages": ["os"]},
        {"_target_": "gcvideo._construction.construct", "description": 1, "packages": ["os"]},
        {"_target_": "gcvideo.data.loading._source.Path"},
        {"_target_": "gcvideo.evaluation._scores.Path"},
        {"_target_": "gcvideo.weights._weights.torch"},
    ],
    ids=lambda description: description["_target_"],
)
def test_what_a_module_only_imports_is_no_way_around_the_packages(description):
    with pytest.raises(
        ConstructionError, match="name a function or class that gcvideo itself defines"
    ):
        construct(description)


@pytest.mark.parametrize(
    "target",
    ["gcvideo.models.vgg", "gcvideo.none.Head", "gcvideo.models.Head.configure", "gcvideo"],
)
def test_a_target_that_does_not_exist_is_named(target):
    with pytest.raises(
        ConstructionError, match=f"'{target}' does not exist in this version of gcvideo"
    ):
        construct({"_target_": target})


@pytest.mark.parametrize("arguments", [{"chanels": 8}, {"_recursive_": False}])
def test_wrong_arguments_are_named(unchecked, arguments):
    (name,) = arguments
    message = rf"gcvideo\.models\.Head does not take the arguments .*'{name}'.* another version"
    with pytest.raises(ConstructionError, match=message):
        construct(
            {"_target_": "gcvideo.models.Head", "in_channels": 8, "num_classes": 3} | arguments
        )


def test_errors_of_the_object_itself_pass_through():
    with pytest.raises(ValueError, match="stages were named but no block"):
        construct({"_target_": "gcvideo.models.Placement", "res3": [1]})
