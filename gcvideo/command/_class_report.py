"""How many videos each class has, and what a net that sees nothing would score on them."""

from collections.abc import Sequence
from typing import TypedDict

import numpy as np
from jaxtyping import Int64

from gcvideo.data import Annotations

_NUM_LISTED, _NUM_EXTREME = 20, 3


class Baselines(TypedDict):
    """Top-1 accuracies that say nothing about a net."""

    chance_top1: float  # 1 / k for k classes, what guessing gives
    majority_top1: float  # what always naming the most frequent class gives
    majority_class: str


def baselines(labels: Int64[np.ndarray, " n"], classes: Sequence[str]) -> Baselines:
    """Chance level and majority share of at least one scored video."""
    counts = np.bincount(labels, minlength=len(classes))
    largest = int(counts.argmax())
    return {
        "chance_top1": 1 / len(classes),
        "majority_top1": float(counts[largest] / len(labels)),
        "majority_class": classes[largest],
    }


def describe_baselines(found: Baselines) -> str:
    """Two lines in the form of metrics."""
    return (
        f"  {'chance':28s} {found['chance_top1']:.4f}\n"
        f"  {'majority class':28s} {found['majority_top1']:.4f}  (always {found['majority_class']!r})"
    )


def describe_source(annotations: Annotations) -> str:
    """How many videos of how many classes there are, and where they are listed."""
    num_present = len(np.unique(annotations.labels))
    return (
        f"{len(annotations)} videos of {num_present} of the {len(annotations.classes)} classes, from "
        f"'{annotations.source}'"
    )


def describe_classes(annotations: Annotations) -> str:
    """Names of all classes with their numbers of videos; of many, the smallest and the largest.

    Classes without a video are named in a line of their own.
    """
    counts = np.bincount(annotations.labels, minlength=len(annotations.classes))
    named = [f"{name} {count}" for name, count in zip(annotations.classes, counts, strict=True)]
    text = ", ".join(named)
    if len(named) > _NUM_LISTED:
        order = np.argsort(counts, kind="stable").tolist()
        text = (
            f"{len(named)} of {counts.min()} to {counts.max()} videos, median {np.median(counts):g}; "
            f"smallest {', '.join(named[i] for i in order[:_NUM_EXTREME])}; "
            f"largest {', '.join(named[i] for i in order[: -_NUM_EXTREME - 1 : -1])}"
        )
    without = [annotations.classes[i] for i in np.flatnonzero(counts == 0).tolist()]
    if not without:
        return text
    shown = ", ".join(without[:_NUM_LISTED]) + (", ..." if len(without) > _NUM_LISTED else "")
    return f"{text}\nwarning: {len(without)} classes have no video for training: {shown}"
