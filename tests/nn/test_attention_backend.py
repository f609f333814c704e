import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.profiler import profile

from gcvideo.nn import NonLocalBlock

FLASH = "aten::_scaled_dot_product_flash_attention"
EFFICIENT = "aten::_scaled_dot_product_efficient_attention"


def attention_operators(step):
    with profile() as profiler:
        step()
    names = {event.key for event in profiler.key_averages()}
    return {name for name in names if name.startswith("aten::_scaled_dot_product")}


@pytest.mark.parametrize("kind", ["gaussian", "embedded_gaussian"])
@pytest.mark.parametrize("inner_channels", [3, 8, 512])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_flash_attention_runs_on_the_cpu(kind, inner_channels, dtype, monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True)
    block = NonLocalBlock(8, kind=kind, inner_channels=inner_channels).to(dtype)
    x = torch.randn(2, 8, 2, 4, 4, dtype=dtype, requires_grad=True)
    assert attention_operators(lambda: block(x).sum().backward()) == {
        "aten::_scaled_dot_product_flash_attention_for_cpu",
        "aten::_scaled_dot_product_flash_attention_for_cpu_backward",
    }


def test_back_ends_that_are_switched_off_stay_off_and_their_order_stays():
    block, x = NonLocalBlock(8), torch.randn(2, 8, 2, 4, 4)
    order = torch._C._get_sdp_priority_order()
    with sdpa_kernel(SDPBackend.MATH):
        found = attention_operators(lambda: block(x))
    assert found == {"aten::_scaled_dot_product_attention_math"}
    assert torch.backends.cuda.cudnn_sdp_enabled()
    assert torch._C._get_sdp_priority_order() == order


def feature_map(channels, size, dtype):
    x = torch.randn(2, channels, 8, size, size, device="cuda", dtype=dtype)
    return x.contiguous(memory_format=torch.channels_last_3d).requires_grad_()


@pytest.mark.gpu
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


@pytest.mark.gpu
def test_the_gaussian_kind_of_res3_is_as_wide_as_its_input():
    block, x = NonLocalBlock(512, kind="gaussian").cuda().bfloat16(), None
    x = feature_map(512, 28, torch.bfloat16)
    assert attention_operators(lambda: block(x)) == {EFFICIENT}


@pytest.mark.gpu
def test_autocast_of_float32_weights_reaches_flash_attention():
    block, x = NonLocalBlock(512).cuda(), feature_map(512, 28, torch.float32)

    def step():
        with torch.autocast("cuda", torch.bfloat16):
            y = block(x)
        y.sum().backward()

    assert attention_operators(step) == {FLASH, f"{FLASH}_backward"}


@pytest.mark.gpu
def test_float64_falls_back_to_the_plain_form():
    block, x = NonLocalBlock(8).cuda().double(), feature_map(8, 4, torch.float64)
    found = attention_operators(lambda: block(x))
    assert found == {"aten::_scaled_dot_product_attention_math"}


@pytest.mark.gpu
def test_a_compiled_block_keeps_the_back_end():
    block, x = NonLocalBlock(512).cuda().bfloat16(), feature_map(512, 28, torch.bfloat16)
    block.compile(fullgraph=True)
    block(x).sum().backward()
    found = attention_operators(lambda: block(x).sum().backward())
    assert found == {FLASH, f"{FLASH}_backward"}


@pytest.mark.gpu
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
