"""The command ``predict``."""

from typing import TYPE_CHECKING

from gcvideo._lazy_name import lazy_names

if TYPE_CHECKING:
    from gcvideo.command.predict._prediction import predict as predict

# Each command, and each of its processes, imports only what it needs.
__getattr__ = lazy_names(__name__, {"_prediction": ("predict",)})
