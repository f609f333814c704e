"""The type that validation and test compute in, within a trainer that has a precision of its own."""

from contextlib import AbstractContextManager, nullcontext

import torch
from lightning import Trainer
from lightning.pytorch.plugins.precision import MixedPrecision, Precision

from gcvideo.models import computing_in


def evaluating(
    trainer: Trainer | None, dtype: torch.dtype, device: torch.device
) -> AbstractContextManager[None]:
    """Within, nets compute in ``dtype``, unless the trainer gives their weights another type.

    Args:
        trainer: whose precision does not matter while its weights are float32; None: there is none.
        dtype: to compute in.
        device: that computes.
    """
    return computing_in(dtype, device) if _keeps_float32(trainer) else nullcontext()


def evaluation_precision(trainer: Trainer | None, dtype: torch.dtype) -> str:
    """The name of ``dtype``, or the trainer's precision where it changes the weights, as "bf16-true" does."""
    if trainer is None or _keeps_float32(trainer):
        return str(dtype).removeprefix("torch.")
    return str(trainer.precision)


def _keeps_float32(trainer: Trainer | None) -> bool:
    # Other plugins cast weights, or have the strategy do so.
    return trainer is None or type(trainer.precision_plugin) in (Precision, MixedPrecision)
