"""The moving average of the weights."""

from collections.abc import Sequence
from typing import Any

import torch
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor


class WeightAverage(WeightAveraging):
    """Exponential moving average of the weights, which is validated and saved in their place.

    After step t, counted from 0: average = d_t average + (1 - d_t) weights with
    d_t = min(decay, (1 + t) / (10 + t)), and the first average is the weights of the first step. It
    reaches back over about a ninth of the steps so far, at most 1 / (1 - decay) of them: the average
    of a short run is of what it has learned, not of its random start.

    Source: the warm-up of the decay is that of TensorFlow's ExponentialMovingAverage.

    Args:
        decay: decay of a long run, in [0, 1).
        device: device that keeps the average; None: that of the module.

    Raises:
        ValueError: for a decay out of range.
    """

    def __init__(self, decay: float = 0.9999, device: str | None = None) -> None:
        if not 0 <= decay < 1:
            raise ValueError(
                f"ema.decay is {decay}; give the share of the average that a step keeps, in [0, 1), such "
                "as 0.9999"
            )
        super().__init__(device=device, multi_avg_fn=self._average)
        self.decay = decay
        self._share = 1.0

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        """After each step, whose number decides on the share of the weights."""
        if step_idx is None:
            return False
        # The count in the averaged model is on the device, and reading it would mean waiting.
        self._share = 1 - min(self.decay, (1 + step_idx) / (10 + step_idx))
        return True

    @torch.no_grad()
    def _average(self, averages: Sequence[Tensor], weights: Sequence[Tensor], _: Any) -> None:
        if averages[0].is_floating_point():
            torch._foreach_lerp_(  # pyright: ignore[reportPrivateImportUsage]
                list(averages), list(weights), self._share
            )
            return
        for average, count in zip(averages, weights, strict=True):
            average.copy_(count)  # of batches, which has no average
