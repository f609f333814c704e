"""Transforms that go beyond the handwritten derivatives of an operator."""

import torch
from torch.autograd import forward_ad


@torch.compiler.assume_constant_result
def is_transformed() -> bool:
    """Whether a transform of ``torch.func`` or forward-mode differentiation is under way.

    Fused operators only have the first derivative in reverse mode: torch refuses their other
    derivatives, or silently takes them for zero. Plain operations have all.
    """
    return torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0
