from functools import partial

import pytest
import torch
from peer_layout import (
    C2D,
    CAFFE2,
    FIVE,
    I3D,
    MMACTION2,
    PYSLOWFAST,
    SLOW,
    Peer,
    random_state,
)

from gcvideo.models import Placement, c2d_resnet, i3d_resnet, slow_resnet
from gcvideo.nn import NonLocalBlock, global_context
from gcvideo.weights import (
    LoadReport,
    NetChoice,
    Weights,
    WeightsError,
    checkpoint_weights,
    convert,
    load_weights,
)
from gcvideo.weights._weights import BLOCKS, COUNTERS, HEAD

HEAD_KEYS = ("blocks.5.proj.weight", "blocks.5.proj.bias")
BLOCK = "blocks.1.res_blocks.0.branch_fusion.block."


@pytest.fixture(scope="module")
def state():
    return slow_resnet(num_classes=7, width=4).state_dict()


@pytest.fixture(scope="module")
def net():
    """A net with other weights, which tests may fill."""
    return slow_resnet(num_classes=7, width=4)


def weights_of(state, changes=None, **arguments):
    changed = {k: v for k, v in (state | (changes or {})).items() if v is not None}
    return Weights(name="test", read=lambda: changed, **arguments)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"blocks.5.proj.bias": None},
            r"'test' do not fit the net: 1 missing \(blocks\.5\.proj\.bias\); choose",
        ),
        (
            {"blocks.5.proj.bias": torch.zeros(5)},
            r"1 of another shape \(blocks\.5\.proj\.bias\)",
        ),
        (
            {"blocks.5.proj.bias": None, f"{BLOCK}a": torch.zeros(1)},
            r"1 missing \(blocks\.5\.proj\.bias\); 1 unexpected \(blocks.*block\.a\)",
        ),
        (
            {f"{BLOCK}{name}": torch.zeros(1) for name in "abcd"},
            r"4 unexpected \(\S+\.a, \S+\.b, \S+\.c, \.\.\.\)",
        ),
    ],
)
def test_what_does_not_fit_is_named_and_nothing_is_loaded(net, state, changes, message):
    before = {k: v.clone() for k, v in net.state_dict().items()}
    with pytest.raises(WeightsError, match=message):
        load_weights(net, weights_of(state, changes))
    torch.testing.assert_close(dict(net.state_dict()), before, rtol=0, atol=0)


def test_fresh_patterns_excuse_missing_and_other_shapes(net, state):
    bias = net.blocks[5].proj.bias.detach().clone()
    changes = {"blocks.5.proj.bias": None, "blocks.5.proj.weight": torch.zeros(9, 128)}
    report = load_weights(net, weights_of(state, changes, fresh=["*.proj.*"]))
    assert report.fresh == HEAD_KEYS
    assert report.reshaped == {"blocks.5.proj.weight": ((9, 128), (7, 128))}
    assert torch.equal(net.blocks[5].proj.bias, bias)
    with pytest.raises(WeightsError, match=r"1 of another shape \(blocks\.5\.proj\.weight\)"):
        load_weights(net, weights_of(state, changes, fresh=["*.proj.bias"]))


def test_everything_is_loaded_and_reported_and_constants_of_our_classifier_are_ignored(net, state):
    report = load_weights(net, weights_of(state, {"mean": torch.zeros(3)}))
    assert report == LoadReport("test", tuple(state), (), ("mean",), {})
    assert str(report) == "test: 320 tensors loaded, 0 fresh, 1 of the source ignored"
    torch.testing.assert_close(net.state_dict(), state, rtol=0, atol=0)


def test_weights_of_which_nothing_fits_are_refused(net):
    wide = slow_resnet(num_classes=9, width=8).state_dict()
    counters = dict.fromkeys(key for key in wide if key.endswith("num_batches_tracked"))
    with pytest.raises(WeightsError, match="no tensor fits"):
        load_weights(net, weights_of(wide, counters, fresh=["*"]))


PLACEMENT = Placement(block=partial(global_context, ratio=1 / 4), res4=[1])


def test_blocks_and_another_head_start_fresh_by_default(tmp_path):
    torch.save(slow_resnet(num_classes=10, width=4).state_dict(), tmp_path / "bare.pth")
    net = slow_resnet(num_classes=7, width=4, placement=PLACEMENT)
    report = load_weights(net, checkpoint_weights(str(tmp_path / "bare.pth")))
    blocks = {k for k in net.state_dict() if "branch_fusion" in k}
    assert set(report.fresh) == blocks | {"blocks.5.proj.weight", "blocks.5.proj.bias"}
    assert len(report.loaded) + len(report.fresh) == len(net.state_dict())
    assert str(report).endswith("; the head starts fresh: it had 10 classes, the net has 7")
    with pytest.raises(WeightsError, match="2 of another shape"):
        load_weights(net, checkpoint_weights(str(tmp_path / "bare.pth"), fresh=BLOCKS))
    with pytest.raises(WeightsError, match=f"{len(blocks)} missing"):
        load_weights(net, checkpoint_weights(str(tmp_path / "bare.pth"), fresh=HEAD))


def loading(net, state, tmp_path, **arguments):
    torch.save(state, tmp_path / "w.pth")
    return load_weights(net, checkpoint_weights(str(tmp_path / "w.pth"), **arguments))


def pyslowfast(**arguments):
    return random_state(Peer(names=PYSLOWFAST, **arguments))


@pytest.mark.parametrize(
    ("state", "make", "message"),
    [
        (
            pyslowfast(kernels=SLOW),
            i3d_resnet,
            "11 of another shape .* made for Slow R50 of width 4, and the net is I3D R50 of width 4: "
            r"build it with model=slow, in Python with slow_resnet\(depth=50, ",
        ),
        (
            pyslowfast(kernels=I3D),
            slow_resnet,
            "made for I3D R50 .* build it with model=i3d, ",
        ),
        (pyslowfast(kernels=SLOW, width=8), slow_resnet, "with width=8, "),
        (
            pyslowfast(kernels=C2D, depths=(3, 4, 23, 3)),
            c2d_resnet,
            r"with model\.net\.depth=101, in Python with c2d_resnet\(depth=101, ",
        ),
        (
            pyslowfast(kernels=SLOW, inserted=FIVE),
            slow_resnet,
            r"65 unexpected .* with non-local blocks in res3 \[1, 3\], .*model=slow_nl "
            r"model\.placement\.res3=\[1,3\] model\.placement\.res4=\[1,3,5\]",
        ),
    ],
    ids=["slow into i3d", "i3d into slow", "width", "depth", "blocks"],
)
def test_the_net_that_weights_were_made_for_is_named(tmp_path, state, make, message):
    net = make(num_classes=7, width=4)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    with pytest.raises(WeightsError, match=message):
        loading(net, state, tmp_path)
    torch.testing.assert_close(dict(net.state_dict()), before, rtol=0, atol=0)


def recorded(state, choice=None):
    """Weights with a record of the net that they were made for."""
    conversion = convert(state, choice)
    return Weights(
        name="recorded",
        read=lambda: state,
        fresh=HEAD + COUNTERS,
        net=conversion.net,
    )


def non_local(**arguments):
    block = partial(NonLocalBlock, kind="dot_product", **arguments)
    return Placement(block=block, res3=[1, 3], res4=[1, 3, 5], position="after_relu")


@pytest.mark.parametrize(
    ("peer", "choice", "make", "message"),
    [
        (
            Peer(names=MMACTION2, kernels=I3D),
            None,
            i3d_resnet,
            r"stem\.conv was Conv3d\(.*stride=\(2, 2, 2\).* and is Conv3d\(.*stride=\(1, 2, 2\).*"
            r"build it with model\.net\.temporal_stride=2",
        ),
        (
            Peer(names=CAFFE2, kernels=SLOW),
            None,
            slow_resnet,
            r"fit the net in shape, but not in function: stem\.pool was MaxPool3d\(.*"
            r"model\.net\.stem_pool_padding=0",
        ),
        (
            Peer(names=PYSLOWFAST, kernels=I3D),
            None,
            partial(i3d_resnet, temporal_pool=False),
            r"pool was MaxPool3d\(kernel_size=\(2, 1, 1\).* and is absent; .*temporal_pool=True",
        ),
        (
            Peer(names=PYSLOWFAST, kernels=C2D),
            NetChoice(temporal_pool=False),
            c2d_resnet,
            r"pool was absent and is MaxPool3d\(kernel_size=\(2, 1, 1\).*temporal_pool=False",
        ),
        (
            Peer(names=PYSLOWFAST, kernels=SLOW, inserted=FIVE),
            NetChoice(non_local_kind="embedded_gaussian"),
            partial(slow_resnet, placement=non_local()),
            r"block was NonLocalBlock\(kind='embedded_gaussian'.* and is NonLocalBlock\(kind='dot_product'"
            r".*model\.block\.kind=embedded_gaussian",
        ),
        (
            Peer(names=PYSLOWFAST, kernels=SLOW, inserted=FIVE),
            NetChoice(non_local_kind="dot_product"),
            partial(slow_resnet, placement=non_local(sub_sample="none")),
            r"sub_sample='before'.* and is .*sub_sample='none'.*model\.block\.sub_sample=before",
        ),
    ],
    ids=["stride", "padding", "no pool", "pool", "pairwise function", "keys"],
)
def test_weights_for_another_function_of_the_same_shapes_are_refused(peer, choice, make, message):
    net = make(num_classes=7, width=4)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    with pytest.raises(WeightsError, match=message):
        load_weights(net, recorded(random_state(peer), choice))
    torch.testing.assert_close(dict(net.state_dict()), before, rtol=0, atol=0)


def test_head_mode_and_classes_may_differ_from_the_record():
    net = slow_resnet(num_classes=9, width=4, head="adaptive", dropout=0.1)
    report = load_weights(net, recorded(pyslowfast(kernels=SLOW)))
    assert set(report.fresh) == {"blocks.5.proj.weight", "blocks.5.proj.bias"}
