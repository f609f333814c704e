"""Whether a machine has room for a run, checked before it starts."""

import os
import shutil
from pathlib import Path

from torch import nn

from gcvideo.command._output_check import OutputError, prove_writable, reason

_MIB, _GIB = 2**20, 2**30
_SHARED_MEMORY = Path("/dev/shm")
# Tables, logs, pictures and checkpoints of one run, generously.
_NUM_FILES = 100


class OutputFolderError(OutputError):
    """The output folder cannot take what the run writes."""


def check_output_folder(folder: Path, *, num_bytes: int) -> None:
    """Make the folder of a run and prove that it can be written to and has room for ``num_bytes``."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        prove_writable(folder)
    except OSError as error:
        raise OutputFolderError(
            f"the output folder '{folder}' cannot be written to: {reason(error)}; a run keeps its checkpoints "
            "there, so make it writable, or choose another with hydra.run.dir=..."
        ) from error
    free = shutil.disk_usage(folder).free
    if free < num_bytes:
        raise OutputFolderError(
            f"the output folder '{folder}' has {free / _MIB:,.1f} MiB of free space, but the checkpoints "
            f"of this run need at least {num_bytes / _MIB:,.1f} MiB; make room, or choose a folder on "
            "another disk with hydra.run.dir=..."
        )
    # A total of 0: the system makes inodes as needed. Windows does not tell.
    status = os.statvfs(folder) if hasattr(os, "statvfs") else None
    if status is not None and status.f_files and status.f_favail < _NUM_FILES:
        raise OutputFolderError(
            f"the file system of the output folder '{folder}' can take {status.f_favail} more files (its "
            f"inodes are used up), but a run needs up to {_NUM_FILES}; delete files, or choose a folder "
            "on another disk with hydra.run.dir=..."
        )


def checkpoint_bytes(
    net: nn.Module, *, num_moments: int, has_ema: bool = False, num_kept: int = 4
) -> int:
    """The least that the checkpoints of a run take on disk.

    num_kept ((1 + ema) (parameters + buffers) + num_moments trained parameters)

    The optimizer keeps num_moments running values for each trained parameter: 0 for plain SGD, 1 with
    momentum, 2 for Adam. Files at a time are the last, the one before it, the best, and a draft.
    """
    weights = sum(tensor.nbytes for tensor in net.state_dict().values())
    trained = sum(p.nbytes for p in net.parameters() if p.requires_grad)
    return num_kept * ((1 + has_ema) * weights + num_moments * trained)


def batch_bytes(num_views: int, num_frames: int, crop_size: int) -> int:
    """Size of a batch of uint8 views between a worker and its loader: views * 3 * t * s * s."""
    return num_views * 3 * num_frames * crop_size**2


def bytes_in_flight(num_bytes: int, num_workers: int, prefetch: int = 2) -> int:
    """Most shared memory a loader takes for batches of ``num_bytes``: those held ready, and one in use."""
    return num_bytes * (num_workers * prefetch + 1) if num_workers else 0


def check_shared_memory(num_bytes: int, num_workers: int, prefetch: int = 2) -> str | None:
    """A warning if /dev/shm cannot hold the batches in flight, where workers would die of SIGBUS.

    ``num_workers`` counts those of all loaders of this machine, one loader per rank.
    """
    if not _SHARED_MEMORY.is_dir():
        return None
    needed = bytes_in_flight(num_bytes, num_workers, prefetch)
    free = shutil.disk_usage(_SHARED_MEMORY).free
    if free >= needed:
        return None
    return (
        f"{_SHARED_MEMORY} has {free / _GIB:.2f} GiB free, but {num_workers} workers keep up to "
        f"{needed / _GIB:.2f} GiB of views there, and crash when it is full; start the container with "
        "--shm-size or --ipc=host, or lower num_workers or batch_size"
    )
