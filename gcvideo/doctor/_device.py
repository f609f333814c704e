"""Checks of GPUs, bf16, and the exchange of gradients between processes."""

import socket
import tempfile
import time
import warnings
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import ProcessException, spawn

from gcvideo.doctor import Finding, fail, ok, warn

_GIB = 2**30
_DRIVER_FILES = (Path("/proc/driver/nvidia/version"), Path("/dev/nvidiactl"))
_TIME_LIMIT_SECONDS = 30.0


def check_gpu() -> Finding:
    """The GPUs, each tested with a sum; without one, the reason that the driver gives."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        is_available = torch.cuda.is_available()
    told = "; ".join(str(warning.message).strip() for warning in caught)
    if not is_available and not any(file.exists() for file in _DRIVER_FILES):
        return ok("none, and no NVIDIA driver; training runs on the processor")
    if not is_available and torch.version.cuda is None:
        return fail(
            "there is an NVIDIA driver, but torch was built without CUDA",
            "install torch and torchvision for CUDA, as the selector on pytorch.org gives it",
        )
    if not is_available:
        return fail(
            f"there is an NVIDIA driver, but torch finds no GPU: {told or 'it gives no reason'}",
            "compare `nvidia-smi` with the CUDA version of torch (the driver must be as new), check "
            "CUDA_VISIBLE_DEVICES, and start a container with --gpus all",
        )
    texts = []
    for index in range(torch.cuda.device_count()):
        name = torch.cuda.get_device_name(index)
        try:
            total = torch.ones(1000, device=f"cuda:{index}").sum().item()
            free, size = torch.cuda.mem_get_info(index)
        except RuntimeError as error:
            return fail(
                f"cuda:{index} {name} does not compute: {str(error).splitlines()[0]}",
                "see in `nvidia-smi` whether another process uses it, or install a torch that supports "
                "it; CUDA_VISIBLE_DEVICES can exclude it",
            )
        if total != 1000:
            return fail(
                f"cuda:{index} {name} adds 1000 ones to {total:g}",
                "it is defective: leave it out with CUDA_VISIBLE_DEVICES",
            )
        texts.append(f"cuda:{index} {name}, {free / _GIB:.0f} of {size / _GIB:.0f} GiB free")
    return ok("; ".join(texts))


def check_bf16() -> Finding:
    """Whether the device of trainer=auto computes bf16 in hardware, including 3-D convolutions."""
    # These load all rooms, and a failure must not affect the other checks.
    from gcvideo.command._device import best_precision  # noqa: PLC0415
    from gcvideo.models._convolution_check import convolution_slowdown  # noqa: PLC0415

    is_gpu = torch.cuda.is_available()
    device = "GPU" if is_gpu else "processor"
    if best_precision("auto") != "bf16-mixed":
        return warn(
            f"emulated on this {device}, far slower than 32 bits",
            "leave trainer.precision=auto, which takes 32-true here",
        )
    where = torch.device("cuda", 0) if is_gpu else torch.device("cpu")
    share = convolution_slowdown(where, torch.bfloat16)
    seen = f"in the hardware of the {device}; a 3-D convolution takes {share:.2f} of its time in 32 bits"
    if share > 1:
        return warn(
            seen,
            "update PyTorch; until then, layout=auto runs them as 2-D convolutions on a GPU",
        )
    return ok(f"{seen}; trainer.precision=auto uses it")


def check_nccl() -> Finding:
    """Whether GPUs can exchange gradients."""
    has_nccl = dist.is_available() and dist.is_nccl_available()
    num_gpus = torch.cuda.device_count()
    if num_gpus > 1 and not has_nccl:
        return fail(
            f"{num_gpus} GPUs, but torch was built without NCCL",
            "install torch's wheel for Linux with CUDA, or train on one with trainer.devices=1",
        )
    return ok(f"{'built in' if has_nccl else 'not built in'}, {num_gpus} GPUs to use it")


def check_gloo(prove: bool) -> Finding:
    """Whether processes can exchange tensors over the network interfaces of this machine."""
    if not (dist.is_available() and dist.is_gloo_available()):
        return fail(
            "torch was built without gloo, so training on processors is limited to one process",
            "install torch's wheel",
        )
    if not prove:
        return ok("built in; not tried (--quick)")
    failure = _all_reduce()
    if failure is None:
        return ok("two processes added their numbers")
    return fail(
        f"two processes could not add their numbers: {failure}",
        f"make sure that the name of this machine, '{socket.gethostname()}', resolves (/etc/hosts), name an "
        "interface with GLOO_SOCKET_IFNAME=lo, or let the firewall pass local connections",
    )


def _all_reduce() -> str | None:
    """The reason why a sum over two new processes failed, if it did."""
    deadline = time.monotonic() + _TIME_LIMIT_SECONDS
    with tempfile.TemporaryDirectory() as folder:
        context = spawn(_add, (str(Path(folder) / "store"),), nprocs=2, join=False)
        assert context is not None
        try:
            while not context.join(timeout=max(deadline - time.monotonic(), 0)):
                if time.monotonic() >= deadline:
                    return f"no answer within {_TIME_LIMIT_SECONDS:g} s"
        except ProcessException as error:
            return str(error).strip().splitlines()[-1]
        finally:
            for process in filter(None, context.processes):
                process.kill()
                process.join()
    return None


def _add(rank: int, store: str) -> None:
    dist.init_process_group(
        "gloo",
        init_method=f"file://{store}",
        rank=rank,
        world_size=2,
        timeout=timedelta(seconds=_TIME_LIMIT_SECONDS),
    )
    number = torch.tensor([1.0 + rank])
    dist.all_reduce(number)
    dist.destroy_process_group()
    if number.item() != 3:
        raise ArithmeticError(f"1 + 2 gave {number.item():g}")
