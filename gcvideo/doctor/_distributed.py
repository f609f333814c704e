import socket
import tempfile
import time
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import ProcessException, spawn

from gcvideo.doctor._finding import Finding

_TIME_LIMIT_SECONDS = 30.0


def check_nccl() -> Finding:
    """Whether GPUs can exchange gradients."""
    has_nccl = dist.is_available() and dist.is_nccl_available()
    num_gpus = torch.cuda.device_count()
    if num_gpus > 1 and not has_nccl:
        return Finding(
            "fail",
            f"{num_gpus} GPUs, but torch was built without NCCL",
            "install torch's wheel for Linux with CUDA, or train on one with trainer.devices=1",
        )
    return Finding("ok", f"{'built in' if has_nccl else 'not built in'}, {num_gpus} GPUs to use it")


def check_gloo(prove: bool) -> Finding:
    """Whether processes can exchange tensors over the network interfaces of this machine.

    Args:
        prove: by a sum over two processes; else only look whether gloo is built in.
    """
    if not (dist.is_available() and dist.is_gloo_available()):
        return Finding(
            "fail",
            "torch was built without gloo, so training on processors is limited to one process",
            "install torch's wheel",
        )
    if not prove:
        return Finding("ok", "built in; not tried (--quick)")
    failure = _all_reduce()
    if failure is None:
        return Finding("ok", "two processes have added their numbers")
    return Finding(
        "fail",
        f"two processes could not add their numbers: {failure}",
        f"see that the name of this machine, '{socket.gethostname()}', resolves (/etc/hosts), name an "
        "interface with GLOO_SOCKET_IFNAME=lo, or let the firewall pass local connections",
    )


def _all_reduce() -> str | None:
    """Why a sum over two fresh processes failed; None if it did not."""
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
