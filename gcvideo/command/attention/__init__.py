"""The commands ``attention show`` and ``attention stats``."""

from typing import TYPE_CHECKING

from gcvideo._lazy_name import lazy_names

if TYPE_CHECKING:
    from gcvideo.command.attention._show import attention_show as attention_show
    from gcvideo.command.attention._stats import attention_stats as attention_stats

# Each command, and each of its processes, imports only what it needs.
__getattr__ = lazy_names(__name__, {"_show": ("attention_show",), "_stats": ("attention_stats",)})
