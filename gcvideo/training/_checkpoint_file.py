"""Checkpoints on disk."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO

from gcvideo._draft import draft_of


class CheckpointWriteError(ValueError):
    """A checkpoint that could not be written; the one before is still there."""


class AtomicCheckpointIO(TorchCheckpointIO):
    """Checkpoints that are complete or absent: written to a draft, flushed to disk, then renamed.

    Reading accepts plain data only (``weights_only=True``).
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | os.PathLike[str], storage_options: Any = None
    ) -> None:
        """Write a checkpoint.

        Raises:
            CheckpointWriteError: if the disk is full or the folder cannot be written to.
        """
        del storage_options
        target = Path(path)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with draft_of(target) as draft, draft.open("wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
            sync_folder(target.parent)
        except (OSError, RuntimeError) as error:  # torch's writer reports a full disk as the latter
            raise CheckpointWriteError(
                f"cannot write the checkpoint '{target}': {error}; earlier checkpoints are untouched: "
                f"make room in '{target.parent}' and continue with resume=..."
            ) from error

    def load_checkpoint(
        self,
        path: str | os.PathLike[str],
        map_location: Callable[..., Any] | None = lambda storage, _: storage,
        weights_only: bool | None = True,
    ) -> dict[str, Any]:
        del weights_only
        return torch.load(path, map_location=map_location, weights_only=True)


def sync_folder(folder: Path) -> None:
    """Make renames in a folder survive a power failure, where the system can."""
    if not hasattr(os, "O_DIRECTORY"):
        return  # Windows opens no folders
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
