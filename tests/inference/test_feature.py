import numpy as np
import pytest
import torch
from exact_net import make_classifier as make_flat_classifier
from random_net import make_classifier

from gcvideo.inference import feature_maps, features
from gcvideo.models import Placement, c2d_resnet, i3d_resnet, slow_resnet
from gcvideo.nn import global_context

HEADS = ["adaptive", "fcn_logit", "fcn_prob"]
# Two by two windows of the head at a crop of 64 pixels, one at the 48 of a single view.
VIEWS = {"num_clips": 2, "num_crops": 3}


def video():
    return np.random.default_rng(0).integers(0, 256, (20, 64, 80, 3), np.uint8)


def make_net(build=i3d_resnet):
    placement = Placement(block=global_context, res3=[1], position="after_relu")
    return build(num_classes=3, width=4, placement=placement)


def hooked(classifier, module, **views):
    """Inputs and outputs of a module, while a video is scored."""
    seen = []
    handle = module.register_forward_hook(lambda _, inputs, y: seen.append((inputs[0], y)))
    classifier.scores(video(), **views)
    handle.remove()
    return [torch.cat(tensors) for tensors in zip(*seen, strict=True)]


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("views", [{}, VIEWS])
def test_features_are_the_mean_of_what_the_linear_layer_sees(head, views):
    classifier = make_classifier(make_net(), head=head)
    seen, _ = hooked(classifier, classifier.model.net.blocks[-1].proj, **views)
    vector = classifier.features(video(), **views)
    assert (vector.dtype, vector.device.type) == (torch.float32, "cpu")
    torch.testing.assert_close(vector, seen.flatten(0, -2).mean(0))
    assert vector.std() > 0.01


@pytest.mark.parametrize("head", ["adaptive", "fcn_logit"])
def test_the_linear_layer_makes_the_logits_of_the_features(head):
    net = make_classifier(make_net(), head=head).model.net
    clips = torch.randn(2, 3, 4, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(net.blocks[-1].proj(features(net, clips)), net(clips))


@pytest.mark.parametrize("build", [slow_resnet, i3d_resnet, c2d_resnet])
@pytest.mark.parametrize("is_prepared", [False, True])
def test_maps_are_the_outputs_of_the_stages(build, is_prepared):
    classifier = make_classifier(make_net(build))
    # I3D and C2D have a pool behind res2.
    blocks = [b for b in classifier.model.net.blocks if hasattr(b, "res_blocks")]
    expected = {f"res{i}": hooked(classifier, b, **VIEWS)[1] for i, b in enumerate(blocks, 2)}
    if is_prepared:
        classifier = classifier.for_inference()
    maps = classifier.feature_maps(video(), ["res5", "res2", "res5", "res3", "res4"], **VIEWS)
    assert list(maps) == ["res5", "res2", "res3", "res4"]
    for stage, found in maps.items():
        torch.testing.assert_close(found, expected[stage], atol=1e-3, rtol=1e-3)
    assert len(maps["res2"]) == 6


def test_nothing_behind_the_last_stage_is_computed():
    net, seen = make_net().eval(), []
    net.blocks[-2].register_forward_hook(lambda *_: seen.append(1))
    assert list(feature_maps(net, torch.randn(1, 3, 4, 32, 32), ["res3"])) == ["res3"]
    assert seen == []


def test_a_compiled_classifier_has_features_without_compiling():
    classifier = make_classifier(make_net())
    prepared = classifier.for_inference(compile=True)
    expected = classifier.features(video())
    torch.testing.assert_close(prepared.features(video()), expected, atol=1e-3, rtol=1e-3)


@pytest.mark.usefixtures("unchecked")
def test_what_has_no_features_is_refused():
    with pytest.raises(ValueError, match=r"a Sequential has no features by name; build .* slow_"):
        make_flat_classifier().features(video())
    with pytest.raises(ValueError, match="there is no stage 'res6'; choose from res2, res3, res4"):
        make_classifier(make_net()).feature_maps(video(), ["res6"])
