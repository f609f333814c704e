import torch

from gcvideo.command import best_precision
from gcvideo.doctor._finding import Finding
from gcvideo.models._convolution_check import convolution_slowdown


def check_bf16() -> Finding:
    """Whether the device that trainer=auto takes computes in bf16, 3-D convolutions too, or emulates it."""
    is_gpu = torch.cuda.is_available()
    device = "GPU" if is_gpu else "processor"
    if best_precision("auto") != "bf16-mixed":
        return Finding(
            "warn",
            f"emulated on this {device}, far slower than 32 bits",
            "leave trainer.precision=auto, which takes 32-true here",
        )
    where = torch.device("cuda", 0) if is_gpu else torch.device("cpu")
    share = convolution_slowdown(where, torch.bfloat16)
    seen = f"in the hardware of the {device}; a 3-D convolution takes {share:.2f} of its time in 32 bits"
    if share > 1:
        return Finding(
            "warn",
            seen,
            "update PyTorch; layout=auto runs them as 2-D convolutions on a GPU meanwhile",
        )
    return Finding("ok", f"{seen}; trainer.precision=auto uses it")
