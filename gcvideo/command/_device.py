"""The device that a command computes on, and the precision that suits it."""

import torch
from omegaconf import DictConfig

from gcvideo.command._rank_config import local_rank
from gcvideo.nn._bfloat16 import has_bfloat16_products


def choose_device(name: str | None) -> torch.device:
    """The device of a key ``device``; null and "auto" are a GPU if there is one, else the CPU.

    Of several processes on a machine, each has a GPU of its own, as far as there are so many.
    """
    if name in (None, "auto"):
        if not torch.cuda.is_available():
            return torch.device("cpu")
        rank = local_rank()
        number = "" if rank is None else f":{rank % torch.cuda.device_count()}"
        return torch.device(f"cuda{number}")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"device is '{name}'; choose auto, cpu, cuda or cuda:<number>") from error
    if device.type == "cuda" and not (device.index or 0) < torch.cuda.device_count():
        raise ValueError(
            f"device is '{name}', but torch sees {torch.cuda.device_count()} CUDA devices; choose one "
            "of them, or device=cpu"
        )
    return device


def device_of(trainer: DictConfig) -> str:
    """The kind of device, "cuda" or "cpu", on which this machine does what a trainer is to do."""
    wanted = trainer.accelerator in ("auto", "gpu", "cuda")
    return "cuda" if wanted and torch.cuda.is_available() else "cpu"


def best_precision(accelerator: str) -> str:
    """The precision "bf16-mixed" where the hardware computes in bf16, else "32-true".

    On a processor without bf16 instructions PyTorch emulates them, tens of times slower.
    """
    if accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available():
        supported = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        supported = has_bfloat16_products()
    return "bf16-mixed" if supported else "32-true"
