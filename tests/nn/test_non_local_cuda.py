import pytest
import torch
from torch.profiler import profile

from gcvideo.nn import NonLocalBlock

pytestmark = pytest.mark.gpu

FLASH = "aten::_scaled_dot_product_flash_attention"
EFFICIENT = "aten::_scaled_dot_product_efficient_attention"


def attention_operators(step):
    with profile() as profiler:
        step()
    names = {event.key for event in profiler.key_averages()}
    return {name for name in names if name.startswith("aten::_scaled_dot_product")}


def feature_map(channels, size, dtype):
    x = torch.randn(2, channels, 8, size, size, device="cuda", dtype=dtype)
    return x.contiguous(memory_format=torch.channels_last_3d).requires_grad_()


@pytest.mark.parametrize(
    ("channels", "size", "dtype", "operator"),
    [
        (512, 28, torch.bfloat16, FLASH),  # res3: 6272 queries, 1568 keys, 256 wide
        (512, 28, torch.float16, FLASH),
        (512, 28, torch.float32, EFFICIENT),
        (1024, 14, torch.bfloat16, EFFICIENT),  # res4: 1568 queries, 392 keys, 512 wide
        (1024, 14, torch.float16, EFFICIENT),
        (1024, 14, torch.float32, EFFICIENT),
    ],
)
def test_the_fused_back_end_runs_forward_and_backward(channels, size, dtype, operator):
    block, x = NonLocalBlock(channels).to("cuda", dtype), feature_map(channels, size, dtype)
    found = attention_operators(lambda: block(x).sum().backward())
    assert found == {operator, f"{operator}_backward"}
    assert x.grad.isfinite().all()


def test_the_gaussian_kind_of_res3_is_as_wide_as_its_input():
    block, x = NonLocalBlock(512, kind="gaussian").cuda().bfloat16(), None
    x = feature_map(512, 28, torch.bfloat16)
    assert attention_operators(lambda: block(x)) == {EFFICIENT}


def test_autocast_of_float32_weights_reaches_flash_attention():
    block, x = NonLocalBlock(512).cuda(), feature_map(512, 28, torch.float32)

    def step():
        with torch.autocast("cuda", torch.bfloat16):
            y = block(x)
        y.sum().backward()

    assert attention_operators(step) == {FLASH, f"{FLASH}_backward"}


def test_float64_falls_back_to_the_plain_form():
    block, x = NonLocalBlock(8).cuda().double(), feature_map(8, 4, torch.float64)
    found = attention_operators(lambda: block(x))
    assert found == {"aten::_scaled_dot_product_attention_math"}


def test_a_compiled_block_keeps_the_back_end():
    block, x = NonLocalBlock(512).cuda().bfloat16(), feature_map(512, 28, torch.bfloat16)
    block.compile(fullgraph=True)
    block(x).sum().backward()
    found = attention_operators(lambda: block(x).sum().backward())
    assert found == {FLASH, f"{FLASH}_backward"}


@pytest.mark.parametrize(("channels", "size"), [(512, 28), (1024, 14)])
def test_peak_memory_is_far_below_the_map_of_all_pairs(channels, size):
    block = NonLocalBlock(channels, sub_sample="none").cuda().bfloat16()
    x = feature_map(channels, size, torch.bfloat16)
    num_positions = 8 * size * size
    block(x).sum().backward()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    block(x).sum().backward()
    rise = torch.cuda.max_memory_allocated() - before
    assert rise < 16 * x.numel() * x.element_size()
    if size == 28:
        assert rise < 2 * num_positions**2 * x.element_size() * 2
