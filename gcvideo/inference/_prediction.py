"""One result of a classification."""

from dataclasses import dataclass


@dataclass(frozen=True, repr=False)
class Prediction:
    """One class of a ranking, or the class of a segment of a video.

    Args:
        label: number of the class.
        name: name of the class.
        score: score in [0, 1].
        start_seconds: start of the window or segment; None for a whole video.
        end_seconds: end of the window or segment; None for a whole video.
    """

    label: int
    name: str
    score: float
    start_seconds: float | None = None
    end_seconds: float | None = None

    def __repr__(self) -> str:
        text = f"Prediction({self.name!r}, score={self.score:.3f}, label={self.label}"
        if self.start_seconds is not None and self.end_seconds is not None:
            text += f", {self.start_seconds:.2f} to {self.end_seconds:.2f} s"
        return text + ")"
