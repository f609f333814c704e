"""Pictures of the videos of a prediction: copies with scores drawn on them, and contact sheets."""

import os
from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path

from omegaconf import DictConfig

from gcvideo.command._output_check import check_folder
from gcvideo.command._video_list import VideoInputs
from gcvideo.command.predict._outcome import Outcome, Timeline
from gcvideo.data import VideoReadError
from gcvideo.inference import TrainedClassifier, annotate_video
from gcvideo.inference._contact_sheet import write_view_sheet
from gcvideo.inference._overlay import Ranking

_NUM_DRAWN = 3


class Drawing:
    """Draws what the keys ``annotated`` and ``contact_sheets`` ask for; OutputError for closed folders."""

    def __init__(self, cfg: DictConfig, inputs: VideoInputs) -> None:
        self._cfg, self._is_one = cfg, len(inputs.paths) == 1
        self._root = ""
        if cfg.annotated is None and cfg.contact_sheets is None:
            return
        for key in ("annotated", "contact_sheets"):
            if cfg[key] is not None:
                check_folder(cfg[key], key)
        found = (path for i, path in enumerate(inputs.paths) if i not in inputs.missing)
        self._root = os.path.commonpath([Path(path).absolute().parent for path in found])

    def draw_all(
        self, outcomes: Generator[Outcome, None, None], classifier: TrainedClassifier
    ) -> Generator[Outcome, None, None]:
        """The same results, each after its pictures; an error if the video cannot be read again."""
        if not self._root:
            yield from outcomes
            return
        with closing(outcomes):
            for outcome in outcomes:
                try:
                    if outcome.error is None:
                        self._draw(outcome, classifier)
                    yield outcome
                except VideoReadError as error:
                    yield Outcome(outcome.index, outcome.video, str(error))

    def _draw(self, outcome: Outcome, classifier: TrainedClassifier) -> None:
        cfg = self._cfg
        if cfg.annotated is not None:
            annotate_video(
                outcome.video,
                self._target(cfg.annotated, outcome.video, ".mp4"),
                _drawn(outcome),
                square_pixels=classifier.protocol.square_pixels,
                progress=self._is_one,
            )
        if cfg.contact_sheets is not None:
            protocol = classifier.protocol.for_prediction(cfg.num_clips, cfg.num_crops)
            target = self._target(cfg.contact_sheets, outcome.video, ".png")
            write_view_sheet(target, outcome.video, protocol)

    def _target(self, folder: str, video: str, suffix: str) -> Path:
        """The file in ``folder`` for a video: in the same subfolder, with a name of its own."""
        relative = Path(video).absolute().relative_to(self._root)
        name = relative.name if relative.suffix.lower() == suffix else f"{relative.name}{suffix}"
        target = Path(folder) / relative.with_name(name)
        target.parent.mkdir(parents=True, exist_ok=True)
        return target


def _drawn(outcome: Outcome) -> Callable[[float], Ranking]:
    """The ranking to draw at a time."""
    result = outcome.result
    assert not isinstance(result, str)
    if isinstance(result, Timeline):
        drawn = [[(p.name, p.score) for p in r[:_NUM_DRAWN]] for r in result.rankings]
        return lambda seconds: drawn[result.windows.nearest(seconds)]
    ranking = [(p.name, p.score) for p in result[:_NUM_DRAWN]]
    return lambda _: ranking
