import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.profiler import profile

from gcvideo.nn import NonLocalBlock


def attention_operators(step):
    with profile() as profiler:
        step()
    names = {event.key for event in profiler.key_averages()}
    return {name for name in names if name.startswith("aten::_scaled_dot_product")}


@pytest.mark.parametrize("kind", ["gaussian", "embedded_gaussian"])
@pytest.mark.parametrize("inner_channels", [3, 8, 512])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_flash_attention_runs_on_the_cpu(kind, inner_channels, dtype):
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
