from typing import Any

import torch
from torch import distributed


class RankAgreement:
    """Lets all ranks take the same decision at the same step.

    Asks over a gloo group of its own: on the processors, so that no GPU has to wait.
    """

    def __init__(self) -> None:
        self._group: Any = None

    def any(self, wanted: bool) -> bool:
        """Whether a rank wants it; all ranks have to ask."""
        return bool(self._reduce(int(wanted), distributed.ReduceOp.MAX))

    def least(self, number: int) -> int:
        """The smallest number of all ranks; all have to ask."""
        return self._reduce(number, distributed.ReduceOp.MIN)

    def _reduce(self, number: int, operation: distributed.ReduceOp.RedOpType) -> int:
        if not (distributed.is_initialized() and distributed.get_world_size() > 1):
            return number
        if self._group is None:
            self._group = distributed.new_group(backend="gloo")
        numbers = torch.tensor([number])
        distributed.all_reduce(numbers, operation, group=self._group)
        return int(numbers.item())
