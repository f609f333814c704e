import torch

from gcvideo.doctor.finding import Finding
from gcvideo.run import best_precision


def check_bf16() -> Finding:
    """Whether the device that trainer=auto takes computes in bf16 or emulates it."""
    device = "GPU" if torch.cuda.is_available() else "processor"
    if best_precision("auto") == "bf16-mixed":
        return Finding("ok", f"in the hardware of the {device}; trainer.precision=auto uses it")
    return Finding(
        "warn",
        f"emulated on this {device}, far slower than 32 bits",
        "leave trainer.precision=auto, which takes 32-true here",
    )
