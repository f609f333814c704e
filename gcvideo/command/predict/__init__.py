"""The command ``predict``."""

from typing import TYPE_CHECKING

from gcvideo._lazy_name import lazy_names

if TYPE_CHECKING:
    from gcvideo.command.predict._prediction import predict as predict

# A command pays for the imports of its own work alone, and so does each of its processes.
__getattr__ = lazy_names(
    __name__,
    {
        "_prediction": ("predict",),
    },
)
