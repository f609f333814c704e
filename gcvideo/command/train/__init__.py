"""The command ``train``."""

from typing import TYPE_CHECKING

from gcvideo._lazy_name import lazy_names

if TYPE_CHECKING:
    from gcvideo.command.train._resuming import ResumeError as ResumeError
    from gcvideo.command.train._resuming import resumed_config as resumed_config
    from gcvideo.command.train._training import run_training as run_training
    from gcvideo.command.train._training import train as train

# A command pays for the imports of its own work alone, and so does each of its processes.
__getattr__ = lazy_names(
    __name__,
    {
        "_resuming": (
            "ResumeError",
            "resumed_config",
        ),
        "_training": (
            "run_training",
            "train",
        ),
    },
)
