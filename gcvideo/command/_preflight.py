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
    """Make the folder and prove with a file that it can be written to and has space.

    Args:
        folder: of the run.
        num_bytes: that the run writes at least, as ``checkpoint_bytes`` gives.

    Raises:
        OutputFolderError: if the folder cannot be made or written to, or has too little space.
    """
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
    free_files = _free_files(folder)
    if free_files is not None and free_files < _NUM_FILES:
        raise OutputFolderError(
            f"the file system of the output folder '{folder}' can take {free_files} more files (its "
            f"inodes are used up), but a run needs up to {_NUM_FILES}; delete files, or choose a folder "
            "on another disk with hydra.run.dir=..."
        )


def _free_files(folder: Path) -> int | None:
    """Free inodes; None where the system does not tell, or makes them as needed (total of 0)."""
    if not hasattr(os, "statvfs"):
        return None
    status = os.statvfs(folder)
    return status.f_favail if status.f_files else None


def checkpoint_bytes(
    net: nn.Module, *, num_moments: int, has_ema: bool = False, num_kept: int = 4
) -> int:
    """The least that the checkpoints of a run take on disk.

    num_kept ((1 + ema) (parameters + buffers) + num_moments trained parameters)

    Args:
        net: whose weights are kept.
        num_moments: running values the optimizer keeps for each trained parameter: 0 for plain SGD, 1
            with momentum, 2 for Adam.
        has_ema: whether averaged weights are kept beside.
        num_kept: files at a time: the last, the one before it, the best, and a draft.
    """
    weights = sum(tensor.nbytes for tensor in net.state_dict().values())
    trained = sum(p.nbytes for p in net.parameters() if p.requires_grad)
    return num_kept * ((1 + has_ema) * weights + num_moments * trained)


def batch_bytes(num_views: int, num_frames: int, crop_size: int) -> int:
    """Size of a batch of uint8 views between a worker and its loader: views * 3 * t * s * s.

    Args:
        num_views: videos of the batch times clips of each.
        num_frames: of a view.
        crop_size: pixels, of a square view.
    """
    return num_views * 3 * num_frames * crop_size**2


def bytes_in_flight(num_bytes: int, num_workers: int, prefetch: int = 2) -> int:
    """Most shared memory a loader takes: what its workers hold ready, and the batch in use.

    Args:
        num_bytes: of a batch.
        num_workers: processes of the loader; without any, nothing is shared.
        prefetch: batches per worker, PyTorch's ``prefetch_factor``.
    """
    return num_bytes * (num_workers * prefetch + 1) if num_workers else 0


def check_shared_memory(num_bytes: int, num_workers: int, prefetch: int = 2) -> str | None:
    """A warning if /dev/shm cannot hold the batches in flight, where workers would die of SIGBUS.

    Args:
        num_bytes: of a batch.
        num_workers: of all loaders of this machine, one loader per rank.
        prefetch: batches per worker.
    """
    if not _SHARED_MEMORY.is_dir():
        return None
    needed = bytes_in_flight(num_bytes, num_workers, prefetch)
    free = shutil.disk_usage(_SHARED_MEMORY).free
    if free >= needed:
        return None
    return (
        f"{_SHARED_MEMORY} has {free / _GIB:.2f} GiB free, but {num_workers} workers keep up to "
        f"{needed / _GIB:.2f} GiB of views there, and die where it is full; start the container with "
        "--shm-size or --ipc=host, or lower num_workers or batch_size"
    )
