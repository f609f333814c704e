"""Classification of a live source, which is connected to again when it is lost."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import BinaryIO

from omegaconf import DictConfig

from gcvideo.command._interruption import undisturbed
from gcvideo.command.predict._live_output import open_live_output
from gcvideo.command.predict._live_record import LiveRecord, tell
from gcvideo.data import FrameStream, StreamConnections, VideoReadError, stream_frames
from gcvideo.inference import Backlog, TrainedClassifier, classify_live

_DEFAULT_STRIDE_SECONDS = 1.0


def classify_stream(
    cfg: DictConfig, source: str, classifier: TrainedClassifier, standard: BinaryIO | None = None
) -> bool:
    """Show and write each window, segment and gap of a source when it is known, to its end or to a signal.

    Memory does not grow.

    Args:
        cfg: configuration.
        source: what to read.
        classifier: classifier with net and protocol.
        standard: the standard output, for rows.

    Returns:
        False if the source was lost for good.

    Raises:
        VideoReadError: if the source cannot be opened.
        OutputError: if the output cannot be written.
    """
    protocol, stride_seconds = classifier.protocol, cfg.stride_seconds or _DEFAULT_STRIDE_SECONDS

    def open_stream() -> FrameStream:
        return stream_frames(
            source,
            format=cfg.format,
            short_side=protocol.decode_size,
            square_pixels=protocol.square_pixels,
        )

    with StreamConnections(
        open_stream, reconnect_seconds=cfg.reconnect_seconds, tell=tell
    ) as connections:
        # A source that waits for its reader is never late.
        limit = math.inf if cfg.max_delay_seconds is None else cfg.max_delay_seconds
        backlog = Backlog(stride_seconds, limit if connections.is_live else None)
        windows_of = partial(
            classify_live,
            classifier,
            stride_seconds=stride_seconds,
            num_crops=cfg.num_crops,
            backlog=backlog,
        )
        output = open_live_output(cfg.output, source, standard)
        record, losses = LiveRecord(cfg, classifier, output, backlog), list[VideoReadError]()
        with _ended(record, connections, losses):
            with undisturbed():
                record.begin(source)
            for gap, frames in connections:
                if gap is not None:
                    with undisturbed():
                        record.add_gap(gap)
                for window in windows_of(record.arriving(frames)):
                    with undisturbed():
                        record.add_window(window)
                with undisturbed():
                    record.close_segment()
    return not losses


@contextmanager
def _ended(
    record: LiveRecord, connections: StreamConnections, losses: list[VideoReadError]
) -> Iterator[None]:
    """At the end, complete a record, whatever the reason; a signal or the loss of the source is no error."""
    reason = "the source ended"
    try:
        yield
    except VideoReadError as error:
        losses.append(error)
        reason = str(error)
    except KeyboardInterrupt as stop:
        reason = str(stop) or "interrupted"
    except BaseException as error:
        reason = str(error) or type(error).__name__
        raise
    finally:
        with undisturbed():
            if (lost := connections.open_gap) is not None:
                record.add_gap(lost)
            record.end(reason)
