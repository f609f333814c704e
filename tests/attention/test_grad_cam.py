import functools

import numpy as np
import pytest
import torch

from gcvideo.attention._grad_cam import grad_cam
from gcvideo.models import ClipClassifier, Placement, slow_resnet, stages_of
from gcvideo.nn import global_context

SIZE, NUM_FRAMES = 64, 3


def make_model(head="adaptive", pool_size=2):
    block = functools.partial(global_context, ratio=1 / 4)
    net = slow_resnet(num_classes=3, width=4, placement=Placement(block=block, res4=[1]))
    net.blocks[-1].configure(head, pool_size)
    # At the start the last residual gammas and the logits are almost zero.
    for name, parameter in net.named_parameters():
        if name.endswith("norm_c.weight") or "proj" in name:
            torch.nn.init.normal_(parameter, std=0.5)
    return ClipClassifier(net, mean=(0.45,) * 3, std=(0.225,) * 3).eval()


def make_view(size=SIZE):
    return torch.randint(0, 256, (3, NUM_FRAMES, size, size), dtype=torch.uint8)


@torch.no_grad()
def output_of(model, module, view):
    kept = []
    handle = module.register_forward_hook(lambda _, inputs, output: kept.append(output))
    model(view[None, None])
    handle.remove()
    return kept[0][0]


def test_behind_average_pooling_it_equals_the_class_activation_map_over_the_positions():
    model, view = make_model(), make_view()
    features = output_of(model, stages_of(model.net)["res5"], view)
    for label, weight in enumerate(model.net.blocks[-1].proj.weight.detach()):
        expected = torch.einsum("c,cthw->thw", weight, features).relu() / features[0].numel()
        found = grad_cam(model, view, label=label)
        assert (found.layer, found.label) == ("res5", label)
        np.testing.assert_allclose(found.weights, expected.numpy(), rtol=1e-4, atol=1e-7)
    assert grad_cam(model, view).weights.max() > 0


@pytest.mark.slow
def test_the_weights_of_channels_equal_finite_differences_of_the_logit():
    model, view = make_model().double(), make_view(32)
    res4 = stages_of(model.net)["res4"]
    features = output_of(model, res4, view)
    num_channels, num_positions, step = len(features), features[0].numel(), 1e-6

    @torch.no_grad()
    def logit(channel, shift):
        def shifted(module, inputs, output):
            return output.index_add(
                1, torch.tensor([channel]), torch.full_like(output[:, :1], shift)
            )

        handle = res4.register_forward_hook(shifted)
        value = model(view[None, None])[0, 0, 1].item()
        handle.remove()
        return value

    slopes = [(logit(c, step) - logit(c, -step)) / (2 * step) for c in range(num_channels)]
    alpha = torch.tensor(slopes, dtype=torch.float64) / num_positions
    expected = torch.einsum("c,cthw->thw", alpha, features).relu()
    found = grad_cam(model, view, label=1, layer="res4")
    assert found.weights.max() > 0
    np.testing.assert_allclose(found.weights, expected.numpy(), rtol=1e-4, atol=1e-8)


def test_the_predicted_class_is_explained_with_its_logit():
    model, view = make_model(), make_view()
    with torch.no_grad():
        logits = model(view[None, None])[0, 0]
    found = grad_cam(model, view)
    assert found.label == int(logits.argmax())
    assert found.logit == pytest.approx(logits.max().item(), rel=1e-5)


def test_a_head_that_ends_with_a_softmax_is_read_before_it_and_left_as_it_was():
    view = make_view(96)
    model = make_model("fcn_prob")
    found = grad_cam(model, view, label=0)
    head = model.net.blocks[-1]
    assert (head.mode, head.pool_size) == ("fcn_prob", 2)
    head.configure("fcn_logit", 2)
    expected = grad_cam(model, view, label=0)
    np.testing.assert_array_equal(found.weights, expected.weights)
    assert found.logit == expected.logit


def test_any_module_with_a_feature_map_can_be_the_layer_even_before_work_in_place():
    model, view = make_model(), make_view()
    name = "blocks.2.res_blocks.0.branch2.norm_a"
    found = grad_cam(model, view, layer=name)
    assert found.layer == name
    assert found.weights.shape == output_of(model, model.net.get_submodule(name), view).shape[1:]


def test_the_model_is_left_as_it_was_and_may_be_frozen():
    model, view = make_model().requires_grad_(False), make_view()
    before = model(view[None, None])
    with torch.no_grad():
        grad_cam(model, view)
    torch.testing.assert_close(model(view[None, None]), before, rtol=0, atol=0)
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"label": 3}, "there is no class 3; the net has 0 to 2"),
        ({"label": -1}, "there is no class -1; the net has 0 to 2"),
        ({"layer": "res6"}, "no layer is called 'res6'; choose one of res2, res3, res4, res5 or a"),
        ({"layer": "blocks.5"}, r"the output of 'blocks\.5' is not a feature map over \(t, h, w\)"),
    ],
)
def test_what_cannot_be_explained_is_refused(arguments, message):
    model = make_model()
    with pytest.raises(ValueError, match=message):
        grad_cam(model, make_view(), **arguments)
    assert not any(module._forward_hooks for module in model.modules())


def test_a_net_in_training_is_refused():
    with pytest.raises(ValueError, match=r"the net is in training mode.*call model\.eval\(\)"):
        grad_cam(make_model().train(), make_view())
