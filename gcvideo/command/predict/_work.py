"""A command on many videos, whose results are kept as they come."""

import signal
from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int64
from omegaconf import DictConfig

from gcvideo._console import Console
from gcvideo.command._device import choose_device
from gcvideo.command._interruption import Interrupted, interruptible
from gcvideo.command._output_check import STANDARD_OUTPUT
from gcvideo.command._shard import find_shard
from gcvideo.command._video_list import VideoInputs
from gcvideo.command.predict._screen import PredictionScreen, Shown
from gcvideo.command.results._output import (
    OutputForm,
    ResultOutput,
    standard_output_of_rows,
)
from gcvideo.command.results._row_layout import Record
from gcvideo.command.results._run_record import RunRecord, describe_run, net_digest
from gcvideo.inference import TrainedClassifier, load
from gcvideo.models import keep_freed_memory

_CONSOLE = Console()


@runtime_checkable
class VideoOutcome(Shown, Protocol):
    """The results of a video."""

    def record(self) -> Record:
        """Plain data for a file."""
        ...


Outcomes = Generator[VideoOutcome, None, None]


@dataclass(frozen=True)
class VideoWork:
    """What a command does with its videos.

    Args:
        command: its name.
        form: what it can write.
        settings: keys that change its results.
        outcomes: results of the videos at some places, as they come: (classifier, videos, places).
    """

    command: str
    form: OutputForm
    settings: Mapping[str, Any]
    outcomes: Callable[[TrainedClassifier, VideoInputs, Int64[np.ndarray, " n"]], Outcomes]


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


def work_on_videos(cfg: DictConfig, work: VideoWork, inputs: VideoInputs) -> PredictionCount:
    """Do the work on the videos that an earlier run has left, and keep each result.

    Raises:
        ValueError: if the output holds results of another run.
        Interrupted: after SIGINT or SIGTERM, or when nobody reads the standard output any more.
    """
    with ExitStack() as stack:
        standard = None
        if cfg.output == STANDARD_OUTPUT:
            standard = stack.enter_context(standard_output_of_rows())
        shard = find_shard(cfg.shard)
        stack.enter_context(interruptible())
        classifier, net = load_classifier(cfg)
        made_by = describe_run(work.command, net, classifier, inputs.paths, work.settings)
        with closing(
            ResultOutput(
                cfg.output,
                work.form,
                RunRecord(made_by, classifier.source),
                len(inputs.paths),
                shard=shard,
                overwrite=cfg.overwrite,
                retry_failures=cfg.retry_failures,
                standard=standard,
            )
        ) as output:
            _say_start(output)
            outcomes = work.outcomes(classifier, inputs, output.remaining)
            _keep(outcomes, output, shows_each=cfg.output is None or len(inputs.paths) == 1)
    return PredictionCount(output.num_done, output.num_errors, shard is not None)


def _keep(outcomes: Outcomes, output: ResultOutput, *, shows_each: bool) -> None:
    screen = PredictionScreen(shows_each=shows_each)
    try:
        with closing(outcomes):
            for outcome in outcomes:
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


def load_classifier(cfg: DictConfig) -> tuple[TrainedClassifier, str]:
    """The classifier as it computes, and a digest of it as it was loaded."""
    classifier = load(cfg.checkpoint, device=choose_device(cfg.device), packages=list(cfg.packages))
    if classifier.device.type == "cpu":
        keep_freed_memory()
    lines, net = [f"checkpoint {classifier.source}"], net_digest(classifier)
    classifier = classifier.for_inference(
        engine=cfg.get("engine"), precision=cfg.precision, compile=cfg.compile
    )
    lines.append(f"precision  {classifier.precision}")
    if classifier.engine != "torch":
        lines.append(f"engine     {classifier.engine}")
    _CONSOLE.print("\n".join(lines), soft_wrap=True)
    return classifier, net


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
