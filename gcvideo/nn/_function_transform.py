"""Where the derivatives of an operator, written by hand, are not enough."""

import torch
from torch.autograd import forward_ad


@torch.compiler.assume_constant_result
def is_transformed() -> bool:
    """Whether a transform of ``torch.func`` or forward-mode differentiation is under way.

    Fused operators have the first derivative in reverse mode and nothing else: torch refuses
    their other derivatives, or takes them for zero without a word. Plain operations have all.
    """
    return torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0
