import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LargestNewTensor(TorchDispatchMode):
    """Number of elements of the largest tensor any operator allocates; views do not count."""

    numel = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        given = {_storage(t) for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)}
        for item in tree_leaves(out):
            if isinstance(item, torch.Tensor) and _storage(item) not in given:
                self.numel = max(self.numel, item.numel())
        return out


def _storage(tensor):
    return tensor.untyped_storage().data_ptr()
