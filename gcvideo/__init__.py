"""Global context blocks in 3-D ResNets for video action recognition."""

from typing import TYPE_CHECKING

from gcvideo._lazy_name import lazy_names

if TYPE_CHECKING:
    from gcvideo.data import VideoDataModule
    from gcvideo.inference import (
        Prediction,
        TrainedClassifier,
        classify_live,
        classify_videos,
        classify_windows,
        export_classifier,
        load,
    )
    from gcvideo.models import (
        Placement,
        c2d_resnet,
        count_cost,
        i3d_resnet,
        insert_blocks,
        slow_resnet,
    )
    from gcvideo.nn import ContextBlock, global_context
    from gcvideo.training import VideoClassifier

__version__ = "0.1.0"
__all__ = [
    "ContextBlock",
    "Placement",
    "Prediction",
    "TrainedClassifier",
    "VideoClassifier",
    "VideoDataModule",
    "c2d_resnet",
    "classify_live",
    "classify_videos",
    "classify_windows",
    "count_cost",
    "export_classifier",
    "global_context",
    "i3d_resnet",
    "insert_blocks",
    "load",
    "slow_resnet",
]

# Loaded on first use: `from gcvideo.nn import ContextBlock` must not pay for the nets and PyAV.
__getattr__ = lazy_names(
    __name__,
    {
        "data": ("VideoDataModule",),
        "inference": (
            *("Prediction", "TrainedClassifier", "classify_live", "classify_videos"),
            *("classify_windows", "export_classifier", "load"),
        ),
        "models": (
            *("Placement", "c2d_resnet", "count_cost", "i3d_resnet", "insert_blocks"),
            "slow_resnet",
        ),
        "nn": ("ContextBlock", "global_context"),
        "training": ("VideoClassifier",),
    },
)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
