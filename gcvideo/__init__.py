"""Global context blocks in 3-D ResNets for video action recognition."""

from typing import TYPE_CHECKING

from gcvideo._lazy_name import lazy_names

if TYPE_CHECKING:
    from gcvideo.data import VideoDataModule as VideoDataModule
    from gcvideo.inference import Prediction as Prediction
    from gcvideo.inference import TrainedClassifier as TrainedClassifier
    from gcvideo.inference import classify_live as classify_live
    from gcvideo.inference import classify_videos as classify_videos
    from gcvideo.inference import classify_windows as classify_windows
    from gcvideo.inference import export_classifier as export_classifier
    from gcvideo.inference import load as load
    from gcvideo.models import Placement as Placement
    from gcvideo.models import c2d_resnet as c2d_resnet
    from gcvideo.models import count_cost as count_cost
    from gcvideo.models import i3d_resnet as i3d_resnet
    from gcvideo.models import insert_blocks as insert_blocks
    from gcvideo.models import slow_resnet as slow_resnet
    from gcvideo.nn import ContextBlock as ContextBlock
    from gcvideo.nn import global_context as global_context
    from gcvideo.training import VideoClassifier as VideoClassifier

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
