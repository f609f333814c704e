"""What holds for every block, whatever it computes."""

from functools import partial
from typing import get_args

import pytest
import torch

from gcvideo.nn import ContextBlock, CrissCrossBlock, NonLocalBlock, global_context
from gcvideo.nn._non_local import Kind

NON_LOCAL = {kind: partial(NonLocalBlock, kind=kind) for kind in get_args(Kind)}
WITHOUT_NORM = {f"{kind} plain": partial(make, norm=False) for kind, make in NON_LOCAL.items()}
ADDING = {"gc": global_context, "cc": CrissCrossBlock, **NON_LOCAL, **WITHOUT_NORM}
BLOCKS = {"gc mul add": partial(ContextBlock, fusion=("mul", "add")), **ADDING}
# Parameters whose gradients a softmax or a batch norm cancels.
CANCELLED = {"mask.bias", "phi.bias", "key.bias", "out.bias"}


@pytest.fixture(params=BLOCKS)
def make(request):
    return BLOCKS[request.param]


@pytest.mark.parametrize("name", ADDING)
@pytest.mark.parametrize("training", [True, False])
def test_an_adding_block_starts_at_the_identity(name, training):
    x = torch.randn(2, 8, 2, 4, 4)
    assert torch.equal(ADDING[name](8).train(training)(x), x)


def test_every_parameter_gets_a_gradient_once_the_zero_layers_have_left_zero(make):
    block, x = make(8), torch.randn(4, 8, 2, 4, 4)
    target = torch.randn_like(x)
    optimizer = torch.optim.SGD(block.parameters(), lr=0.1)
    (block(x) * target).sum().backward()
    optimizer.step()
    optimizer.zero_grad()
    (block(x) * target).sum().backward()
    assert all(p.grad is not None for p in block.parameters())
    assert all(p.grad.any() for name, p in block.named_parameters() if name not in CANCELLED)


def test_channels_last_input_gives_equal_output(randomised, make):
    block = randomised(make(8))
    x = torch.randn(2, 8, 2, 4, 4, dtype=torch.float64)
    found = block(x.contiguous(memory_format=torch.channels_last_3d))
    torch.testing.assert_close(found, block(x))
    if isinstance(block, ContextBlock):
        assert found.is_contiguous(memory_format=torch.channels_last_3d)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_autocast_keeps_the_input_type_and_stays_finite(randomised, make, dtype):
    block = randomised(make(8)).float().train()
    with torch.autocast("cpu", torch.bfloat16):
        z = block(torch.randn(2, 8, 2, 4, 4, dtype=dtype))
    assert z.dtype == dtype
    assert z.isfinite().all()


@pytest.mark.parametrize("name", ["cc", *NON_LOCAL])
def test_no_map_of_all_pairs_is_allocated(largest_new_tensor, name):
    keys = {} if name == "cc" else {"sub_sample": "none"}
    block, x = ADDING[name](8, **keys), torch.randn(1, 8, 4, 8, 8, requires_grad=True)
    with largest_new_tensor:
        block(x).sum().backward()
    assert largest_new_tensor.numel < 256 * 256 // 8


def test_wrong_channel_count_is_refused(make):
    block, x = make(8), torch.zeros(1, 4, 2, 2)
    for name in ("forward", "attention", "pool"):
        method = getattr(block, name, lambda x: block(x))  # not every block has all of them
        with pytest.raises(ValueError, match=r"expected 8 channels, got 4; build .*in_channels=4"):
            method(x)


@pytest.mark.parametrize(
    ("block", "text"),
    [
        (ContextBlock(8, pooling="avg", axes="hw"), "in_channels=8, pooling='avg', axes='hw'"),
        (CrissCrossBlock(8, recurrence=3), "in_channels=8, recurrence=3"),
        (
            NonLocalBlock(8, kind="gaussian", axes="hw", sub_sample="none"),
            "kind='gaussian', axes='hw', sub_sample='none'",
        ),
    ],
)
def test_description_names_the_setting(block, text):
    assert text in repr(block)
