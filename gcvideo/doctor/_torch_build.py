import importlib

import torch

from gcvideo.doctor._finding import Finding

_REMEDY = (
    "install both anew in one command and from one index, as the selector on pytorch.org gives it"
)


def check_torch_build() -> Finding:
    """That torchvision was built for this torch and for the same CUDA, by running an operator of it."""
    seen = f"torch {torch.__version__} (CUDA {torch.version.cuda or 'none'})"
    try:
        torchvision = importlib.import_module("torchvision")
    except (ImportError, OSError, RuntimeError) as error:
        return Finding(
            "fail", f"{seen}, but torchvision does not load beside it ({error})", _REMEDY
        )
    seen += f", torchvision {torchvision.__version__} (CUDA {_torchvision_cuda() or 'none'})"
    boxes = torch.tensor([[0.0, 0.0, 2.0, 2.0], [0.0, 0.0, 2.0, 2.1]])
    try:
        kept = torchvision.ops.nms(boxes, torch.tensor([1.0, 0.5]), 0.5)
    except (RuntimeError, NotImplementedError) as error:
        return Finding("fail", f"{seen}: torchvision's operators do not run ({error})", _REMEDY)
    if kept.tolist() != [0]:
        return Finding("fail", f"{seen}: torchvision's operators compute wrongly", _REMEDY)
    if _torchvision_cuda() != torch.version.cuda:
        return Finding("fail", f"{seen} were built for different CUDA versions", _REMEDY)
    return Finding("ok", seen)


def _torchvision_cuda() -> str | None:
    """The CUDA version as torch writes it, "13.2"; None for a build without CUDA."""
    number = torch.ops.torchvision._cuda_version()  # 13020
    return None if number < 0 else f"{number // 1000}.{number % 1000 // 10}"
