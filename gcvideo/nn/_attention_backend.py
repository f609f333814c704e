"""Which kernel of scaled dot product attention runs."""

import torch
from torch.nn.attention import SDPBackend


@torch.compiler.assume_constant_result
def attention_backends() -> list[SDPBackend]:
    """The back ends that fused attention may use, for ``torch.nn.attention.sdpa_kernel``.

    Torch tries flash attention first, which takes all widths on CPUs, and on CUDA those up to 256 in
    16 bits (non-local blocks in res3); then memory-efficient attention, which takes the others on
    CUDA (512 in res4, and float32); last the plain form, which builds the map of all pairs, for what
    neither takes, such as float64 on CUDA.
    Differs from torch's own choice: no cuDNN, which comes first on some GPUs and whose largest width
    depends on its version. What a surrounding ``sdpa_kernel`` switches off stays off.
    """
    switches = {
        SDPBackend.FLASH_ATTENTION: torch.backends.cuda.flash_sdp_enabled(),
        SDPBackend.EFFICIENT_ATTENTION: torch.backends.cuda.mem_efficient_sdp_enabled(),
        SDPBackend.MATH: torch.backends.cuda.math_sdp_enabled(),
    }
    return [backend for backend, is_on in switches.items() if is_on]
