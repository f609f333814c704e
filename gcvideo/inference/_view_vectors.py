"""One vector for a video from its views: scores, or features."""

from collections.abc import Callable
from typing import Any, cast

from jaxtyping import Float, UInt8
from torch import Tensor

from gcvideo.evaluation import average_views
from gcvideo.inference._classifier import TrainedClassifier

Compute = Callable[[TrainedClassifier, UInt8[Tensor, "n v 3 t s s"], int | None], Tensor]
"""One vector for each of n videos, from their views and the number of views in a pass."""


def scores_of(
    classifier: TrainedClassifier, views: UInt8[Tensor, "n v 3 t s s"], batch_size: int | None
) -> Float[Tensor, "n k"]:
    logits = classifier.logits(views, batch_size)
    return average_views(logits, cast(Any, classifier.protocol.average))


def require_features(classifier: TrainedClassifier) -> None:
    """Raise ValueError unless the features of a classifier's net can be had."""
    if classifier.engine_model is not None:
        raise ValueError(
            f"the net is computed by {classifier.engine}, which gives logits alone; load the checkpoint that "
            "it was exported from"
        )


def feature_vectors(
    classifier: TrainedClassifier, views: UInt8[Tensor, "n v 3 t s s"], batch_size: int | None
) -> Float[Tensor, "n c"]:
    """The vectors of videos from their views."""
    return classifier.view_features(views, batch_size).mean(1)
