"""The command ``compare``."""

from typing import TYPE_CHECKING

from gcvideo._lazy_name import lazy_names

if TYPE_CHECKING:
    from gcvideo.command.compare._comparing import compare as compare
    from gcvideo.command.compare._comparing import run_comparison as run_comparison

# A command pays for the imports of its own work alone, and so does each of its processes.
__getattr__ = lazy_names(__name__, {"_comparing": ("compare", "run_comparison")})
