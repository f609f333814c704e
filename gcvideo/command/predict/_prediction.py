"""The command that classifies videos or a live source."""

import signal
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig

from gcvideo._console import Console
from gcvideo.command._device import choose_device
from gcvideo.command._interruption import Interrupted, interruptible
from gcvideo.command._shard import find_shard
from gcvideo.command._video_list import VideoInputs, find_all_videos
from gcvideo.command.predict._classification import classify
from gcvideo.command.predict._drawing import Drawing
from gcvideo.command.predict._outcome import Outcome, form_of
from gcvideo.command.predict._screen import PredictionScreen
from gcvideo.command.results._output import (
    STANDARD_OUTPUT,
    ResultOutput,
    standard_output_of_rows,
)
from gcvideo.command.results._run_record import RunRecord, describe_run, net_digest
from gcvideo.data import VideoReadError, is_stream
from gcvideo.inference import TrainedClassifier, load
from gcvideo.models import keep_freed_memory

_CONSOLE = Console()
_SETTINGS = ("num_clips", "num_crops", "top_k")


@dataclass(frozen=True)
class PredictionCount:
    """How many videos there are results of, and how many could not be read; of a part, if it is one."""

    num_videos: int
    num_failed: int
    is_part: bool = False

    @property
    def has_failed(self) -> bool:
        """Whether the command fails; a part does not, or torchrun would end the other parts."""
        return self.num_failed > 0 and not self.is_part


def predict(cfg: DictConfig) -> PredictionCount:
    """Classify videos or a live source, as configured by ``conf/predict.yaml``.

    All readable files are classified, even if others fail, and results are written as they come. The same
    command goes on where an earlier one was stopped.

    Raises:
        FileNotFoundError: if nothing matches ``video``.
        ValueError: if ``output`` has an unknown ending, cannot be written or holds results of another run,
            ``precision`` is unknown, a live source is combined with other videos, or options contradict
            each other.
        VideoReadError: if a live source cannot be opened.
        Interrupted: after SIGINT or SIGTERM; for a live source, SIGINT is a normal end.
    """
    with ExitStack() as stack:
        standard = None
        if cfg.output == STANDARD_OUTPUT:
            standard = stack.enter_context(standard_output_of_rows())
        form = form_of(in_windows=cfg.stride_seconds is not None)
        _stream, inputs = _settle_sources(cfg)
        if cfg.output is not None:
            form.check(cfg.output)
        drawing, shard = Drawing(cfg, inputs), find_shard(cfg.shard)
        stack.enter_context(interruptible())
        classifier, net = _load(cfg)
        with closing(
            ResultOutput(
                cfg.output,
                form,
                _record_of(cfg, net, classifier, inputs),
                len(inputs.paths),
                shard=shard,
                overwrite=cfg.overwrite,
                retry_failures=cfg.retry_failures,
                standard=standard,
            )
        ) as output:
            _say_start(output)
            _work(cfg, classifier, inputs, output, drawing)
    return PredictionCount(output.num_done, output.num_errors, shard is not None)


def _work(
    cfg: DictConfig,
    classifier: TrainedClassifier,
    inputs: VideoInputs,
    output: ResultOutput,
    drawing: Drawing,
) -> None:
    screen = PredictionScreen(shows_each=cfg.output is None or len(inputs.paths) == 1)
    try:
        with closing(classify(cfg, classifier, inputs, output.remaining)) as outcomes:
            for outcome in outcomes:
                try:
                    drawing.draw(outcome, classifier)
                except VideoReadError as error:
                    outcome = Outcome(outcome.index, outcome.video, str(error))
                output.add(outcome.record())
                screen.show(outcome)
        output.finish()
    except BrokenPipeError:
        raise Interrupted(
            signal.SIGPIPE, f"the reader of the output has gone: {output.progress()}"
        ) from None
    except Interrupted as stop:
        raise Interrupted(stop.signal_number, f"{stop}: {output.progress()}") from None
    screen.finish(None if output.path is None else str(output.path))


def _settle_sources(cfg: DictConfig) -> tuple[str | None, VideoInputs]:
    """The live source, or the videos and what is missing, after a check of the options."""
    sources = [str(cfg.video)] if isinstance(cfg.video, str | int) else list(map(str, cfg.video))
    stream = next((source for source in sources if is_stream(source, cfg.format)), None)
    if stream is not None and len(sources) > 1:
        raise ValueError(
            f"'{stream}' is a live source, which cannot be combined with other videos; give it alone"
        )
    if stream is None and cfg.stride_seconds is not None and cfg.num_clips != 1:
        raise ValueError(
            f"num_clips is {cfg.num_clips}, but with stride_seconds every window is one clip; leave "
            "num_clips out"
        )
    for key in ("annotated", "contact_sheets"):
        if stream is not None and cfg[key] is not None:
            raise ValueError(
                f"{key} is '{cfg[key]}', but '{stream}' is a live source; leave {key} out, or record the "
                "source to a file first"
            )
    return stream, find_all_videos(sources)


def _load(cfg: DictConfig) -> tuple[TrainedClassifier, str]:
    """The classifier as it computes, and a digest of it as it was loaded."""
    classifier = load(cfg.checkpoint, device=choose_device(cfg.device), packages=list(cfg.packages))
    if classifier.device.type == "cpu":
        keep_freed_memory()
    lines, net = [f"checkpoint {classifier.source}"], net_digest(classifier)
    classifier = classifier.for_inference(
        engine=cfg.engine, precision=cfg.precision, compile=cfg.compile
    )
    lines.append(f"precision  {classifier.precision}")
    if classifier.engine != "torch":
        lines.append(f"engine     {classifier.engine}")
    _CONSOLE.print("\n".join(lines), soft_wrap=True)
    return classifier, net


def _record_of(
    cfg: DictConfig, net: str, classifier: TrainedClassifier, inputs: VideoInputs
) -> RunRecord:
    settings: dict[str, Any] = {key: cfg[key] for key in _SETTINGS}
    if cfg.stride_seconds is not None:
        settings |= {key: cfg[key] for key in ("stride_seconds", "threshold")}
    made_by = describe_run("predict", net, classifier, inputs.paths, settings)
    return RunRecord(made_by, classifier.source)


def _say_start(output: ResultOutput) -> None:
    if output.shard is not None:
        _CONSOLE.print(f"part       {output.shard}: {output.num_mine} videos")
    if not output.num_before:
        return
    where = f"{output.num_before} of {output.num_mine} videos are in '{output.path}'"
    if len(output.remaining):
        _CONSOLE.print(f"goes on    {where}", soft_wrap=True)
    else:
        _CONSOLE.print(f"{where} already; overwrite=true classifies them again", soft_wrap=True)
