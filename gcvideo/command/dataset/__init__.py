"""The commands on data sets: ``check``, ``index``, ``reencode`` and ``kinetics``."""

from typing import TYPE_CHECKING

from gcvideo._lazy_name import lazy_names

if TYPE_CHECKING:
    from gcvideo.command.dataset._checking import check as check
    from gcvideo.command.dataset._indexing import index as index
    from gcvideo.command.dataset._kinetics import kinetics as kinetics
    from gcvideo.command.dataset._reencoding import reencode as reencode

# Each command, and each of its processes, imports only what it needs.
__getattr__ = lazy_names(
    __name__,
    {
        "_checking": ("check",),
        "_indexing": ("index",),
        "_kinetics": ("kinetics",),
        "_reencoding": ("reencode",),
    },
)
