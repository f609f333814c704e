import warnings
from pathlib import Path

import torch

from gcvideo.doctor._finding import Finding

_GIB = 2**30
_DRIVER_FILES = (Path("/proc/driver/nvidia/version"), Path("/dev/nvidiactl"))


def check_gpu() -> Finding:
    """The GPUs, each proven by a sum; without one, why the driver does not offer it."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        is_available = torch.cuda.is_available()
    told = "; ".join(str(warning.message).strip() for warning in caught)
    if is_available:
        return _try_gpus()
    if not any(file.exists() for file in _DRIVER_FILES):
        return Finding("ok", "none, and no NVIDIA driver; training runs on the processor")
    if torch.version.cuda is None:
        return Finding(
            "fail",
            "there is an NVIDIA driver, but torch was built without CUDA",
            "install torch and torchvision for CUDA, as the selector on pytorch.org gives it",
        )
    return Finding(
        "fail",
        f"there is an NVIDIA driver, but torch finds no GPU: {told or 'it does not say why'}",
        "compare `nvidia-smi` with the CUDA version of torch (the driver must be as new), look at "
        "CUDA_VISIBLE_DEVICES, and start a container with --gpus all",
    )


def _try_gpus() -> Finding:
    texts = []
    for index in range(torch.cuda.device_count()):
        name = torch.cuda.get_device_name(index)
        try:
            total = torch.ones(1000, device=f"cuda:{index}").sum().item()
            free, size = torch.cuda.mem_get_info(index)
        except RuntimeError as error:
            return Finding(
                "fail",
                f"cuda:{index} {name} does not compute: {str(error).splitlines()[0]}",
                "see in `nvidia-smi` whether another process holds it, or install a torch that "
                "supports it; CUDA_VISIBLE_DEVICES can leave it out",
            )
        if total != 1000:
            return Finding(
                "fail",
                f"cuda:{index} {name} adds 1000 ones to {total:g}",
                "it is defective: leave it out with CUDA_VISIBLE_DEVICES",
            )
        texts.append(f"cuda:{index} {name}, {free / _GIB:.0f} of {size / _GIB:.0f} GiB free")
    return Finding("ok", "; ".join(texts))
