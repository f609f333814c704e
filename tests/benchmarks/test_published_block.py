import pytest
import torch
from published_block import PublishedContextBlock, PublishedNonLocalBlock
from torch import nn

from gcvideo.nn import ContextBlock, NonLocalBlock, global_context

LAYOUTS = [torch.contiguous_format, torch.channels_last_3d]
EXACT = {"rtol": 1e-9, "atol": 1e-9}


def drawn(block):
    """Every weight matters: nothing is at its start of zero or one."""
    for parameter in block.parameters():
        nn.init.normal_(parameter, std=0.4)
    return block.double()


def clip(channels, layout):
    x = torch.randn(2, channels, 3, 4, 6, dtype=torch.float64)
    return x.contiguous(memory_format=layout).requires_grad_()


def gradients(block, x, names):
    """Of the input and of parameters, after a loss in which every position has its own weight."""
    z = block(x)
    weights = torch.sin(torch.arange(z.numel(), dtype=z.dtype)).view(z.shape)
    parameters = dict(block.named_parameters())
    wanted = [x, *(parameters[name] for name in names)]
    return z, torch.autograd.grad((weights * z).sum(), wanted)


def check_equal(ours, published, x, pairs):
    z, expected = gradients(published, x, pairs.values())
    found_z, found = gradients(ours, x, pairs)
    torch.testing.assert_close(found_z, z, **EXACT)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other.reshape(one.shape), **EXACT)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_global_context_block_equals_its_published_form_with_all_gradients(layout):
    block = drawn(global_context(8, ratio=1 / 2))
    published, x = PublishedContextBlock(block), clip(8, layout)
    torch.testing.assert_close(block.pool(x), published.pool(x).flatten(1), **EXACT)
    pairs = {
        "mask.weight": "conv_mask.weight",
        "add_transform.reduce.weight": "channel_add_conv.0.weight",
        "add_transform.reduce.bias": "channel_add_conv.0.bias",
        "add_transform.norm.weight": "channel_add_conv.1.weight",
        "add_transform.norm.bias": "channel_add_conv.1.bias",
        "add_transform.expand.weight": "channel_add_conv.3.weight",
        "add_transform.expand.bias": "channel_add_conv.3.bias",
    }
    check_equal(block, published, x, pairs)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("kind", ["embedded_gaussian", "dot_product"])
def test_the_non_local_block_equals_its_published_form_with_all_gradients(kind, training, layout):
    block = drawn(NonLocalBlock(8, kind=kind)).train(training)
    nn.init.uniform_(block.norm.running_var, 0.5, 2)
    published, x = PublishedNonLocalBlock(block).train(training), clip(8, layout)
    pairs = {
        f"{name}.{what}": f"conv_{name}.{what}"
        for name in ("theta", "phi", "g", "out")
        for what in ("weight", "bias")
    }
    check_equal(block, published, x, pairs | {"norm.weight": "bn.weight", "norm.bias": "bn.bias"})
    torch.testing.assert_close(block.norm.running_var, published.bn.running_var, **EXACT)


def test_published_forms_have_weights_of_their_own():
    block = drawn(global_context(8, ratio=1 / 2))
    published, x = PublishedContextBlock(block), clip(8, torch.contiguous_format)
    before = published(x)
    drawn(block)
    torch.testing.assert_close(published(x), before)


@pytest.mark.parametrize(
    "settings",
    [{"pooling": "avg"}, {"axes": "hw"}, {"fusion": ("add", "mul")}, {"fusion": ("mul",)}]
    + [{"ratio": None}, {"norm": False}, {"activation": False}],
)
def test_a_context_block_of_another_form_is_refused(settings):
    with pytest.raises(ValueError, match=r"the published form is there for pooling='att'"):
        PublishedContextBlock(ContextBlock(8, **settings))


@pytest.mark.parametrize(
    "settings",
    [{"kind": "gaussian"}, {"axes": "hw"}, {"sub_sample": "none"}, {"norm": False}],
)
def test_a_non_local_block_of_another_form_is_refused(settings):
    with pytest.raises(ValueError, match=r"the published form is there for embedded_gaussian and"):
        PublishedNonLocalBlock(NonLocalBlock(8, **settings))
