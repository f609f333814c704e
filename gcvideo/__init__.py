"""Global context blocks in 3-D ResNets for video action recognition."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gcvideo.inference import load as load

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # Loaded on first use: `from gcvideo.nn import ContextBlock` must not pay for the nets and PyAV.
    if name == "load":
        from gcvideo.inference import load  # noqa: PLC0415

        return load
    raise AttributeError(f"module 'gcvideo' has no attribute {name!r}")
