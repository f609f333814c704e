import pytest
import torch
from peer_layout import C2D, EVEN, I3D, MMACTION2, MMDETECTION, SLOW, Peer, random_state

from gcvideo.models import Placement, c2d_resnet, i3d_resnet, slow_resnet, video_resnet
from gcvideo.nn import CrissCrossBlock, global_context
from gcvideo.weights import WeightsError
from gcvideo.weights._architecture import architecture_of
from gcvideo.weights._naming import NAMINGS, detect_naming, to_common


def common_of(state):
    return to_common(state, detect_naming(state))


def architecture(**arguments):
    return architecture_of(common_of(random_state(Peer(names=MMACTION2, **arguments))))


def test_an_architecture_is_read_from_names_and_shapes():
    found = architecture(kernels=I3D, inserted=EVEN, width=8, num_classes=5)
    assert (found.depth, found.width, found.num_classes, found.stem_kernel) == (50, 8, 5, 5)
    assert found.temporal_kernels == (
        (3, 3, 3),
        (3, 1, 3, 1),
        (3, 1, 3, 1, 3, 1),
        (1, 3, 1),
    )
    assert found.placement == {"res3": [0, 2], "res4": [0, 2, 4]}
    assert set(found.blocks.values()) == {"non-local"}


@pytest.mark.parametrize(
    ("arguments", "family", "text"),
    [
        ({"kernels": SLOW, "width": 64}, "slow", "Slow R50"),
        ({"kernels": C2D}, "c2d", "C2D R50 of width 4"),
        ({"kernels": I3D, "depths": (3, 4, 23, 3)}, "i3d", "I3D R101 of width 4"),
        (
            {"kernels": SLOW, "inserted": {4: (5,)}},
            "slow",
            "Slow R50 of width 4 with non-local blocks in res4 [5]",
        ),
        (
            {"kernels": ((1,), (3,), (1,), (3,), (3,))},
            None,
            "ResNet with temporal kernels of its own R50 of width 4",
        ),
        (
            {"kernels": ((5,), *C2D[1:])},
            None,
            "ResNet with temporal kernels of its own R50 of width 4",
        ),
    ],
)
def test_an_architecture_has_a_family_and_says_it(arguments, family, text):
    found = architecture(**arguments)
    assert (found.family, str(found)) == (family, text)


@pytest.mark.parametrize(
    ("make", "family"), [(slow_resnet, "slow"), (i3d_resnet, "i3d"), (c2d_resnet, "c2d")]
)
@pytest.mark.parametrize("depth", [50, 101])
def test_our_own_nets_are_recognised(on_meta, make, family, depth):
    net = on_meta(make, num_classes=9, width=4, depth=depth)
    found = architecture_of(to_common(net.state_dict(), NAMINGS["pytorchvideo"]))
    assert (found.family, found.depth, found.num_classes) == (family, depth, 9)


def test_temporal_kernels_that_are_read_build_the_same_net(on_meta):
    kernels = ((3,), (1, 3), (5, 1, 1), (3, 3, 1))
    net = on_meta(video_resnet, num_classes=9, width=4, stem_kernel=3, temporal_kernels=kernels)
    found = architecture_of(to_common(net.state_dict(), NAMINGS["pytorchvideo"]))
    again = on_meta(
        video_resnet,
        num_classes=9,
        width=4,
        stem_kernel=found.stem_kernel,
        temporal_kernels=found.temporal_kernels,
    )
    shapes = {key: tensor.shape for key, tensor in net.state_dict().items()}
    assert {key: tensor.shape for key, tensor in again.state_dict().items()} == shapes


def test_context_blocks_and_foreign_ones_are_told_apart():
    image = Peer(names=MMDETECTION, kernels=C2D, flat=True, inserted={3: (1,)})
    assert architecture_of(common_of(random_state(image))).blocks == {("res3", 1): "context"}
    for block, kind in ((global_context, "context"), (CrissCrossBlock, "other")):
        net = slow_resnet(num_classes=7, width=8, placement=Placement(block=block, res4=[2]))
        assert architecture_of(common_of(net.state_dict())).blocks == {("res4", 2): kind}


def without(state, *patterns):
    return {key: value for key, value in state.items() if not any(p in key for p in patterns)}


def test_weights_without_a_classifier_have_no_classes():
    state = random_state(Peer(names=MMACTION2, kernels=SLOW))
    assert architecture_of(common_of(without(state, "cls_head"))).num_classes is None


def test_another_number_of_residual_blocks_is_refused():
    state = random_state(Peer(names=MMACTION2, kernels=SLOW, depths=(2, 2, 2, 2)))
    with pytest.raises(
        WeightsError,
        match=r"have \[2, 2, 2, 2\] residual blocks in res2-res5; a bottleneck ResNet has "
        r"\[3, 4, 6, 3\] \(50 layers\) or \[3, 4, 23, 3\] \(101 layers\)",
    ):
        architecture_of(common_of(state))


def test_kernels_of_3x3x3_are_refused():
    state = random_state(Peer(names=MMACTION2, kernels=SLOW))
    key = "backbone.layer3.1.conv2.conv.weight"
    with pytest.raises(
        WeightsError, match=r"3x3 kernels of res4\.1 extend over 3 frames; .* first convolution"
    ):
        architecture_of(common_of(state | {key: state[key].repeat(1, 1, 3, 1, 1)}))


@pytest.mark.parametrize("part", ["conv1", "conv2"])
def test_a_missing_kernel_is_named(part):
    state = random_state(Peer(names=MMACTION2, kernels=SLOW))
    letter = {"conv1": "a", "conv2": "b"}[part]
    with pytest.raises(
        WeightsError, match=rf"lack the kernel res3\.2\.branch2\.conv_{letter}\.weight"
    ):
        architecture_of(common_of(without(state, f"layer2.2.{part}.conv")))


def test_a_kernel_without_a_time_axis_beside_others_with_one_is_taken_as_one_frame():
    state = random_state(Peer(names=MMACTION2, kernels=C2D))
    flat = {k: v[:, :, 0] if v.ndim == 5 else v for k, v in state.items()}
    assert architecture_of(common_of(flat)) == architecture_of(common_of(state))
    torch.testing.assert_close(common_of(flat), common_of(state))
