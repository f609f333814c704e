"""What the processor does in bfloat16."""

import torch


def has_bfloat16_products() -> bool:
    """Whether oneDNN multiplies in bfloat16 on this processor, instead of emulating it."""
    is_supported = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", None)
    return torch.backends.mkldnn.is_available() and is_supported is not None and is_supported()
