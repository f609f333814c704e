"""Many videos: read in processes, classified in batches."""

from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, closing, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from gcvideo._progress import with_progress
from gcvideo.data import EvaluationProtocol, VideoReadError, read_views, run_within
from gcvideo.data._parallel import default_num_workers, parallel_map
from gcvideo.data._process_error import ProcessDiedError
from gcvideo.data.video._deadline import death_as_read_error
from gcvideo.inference._classifier import TrainedClassifier
from gcvideo.inference._view_vectors import (
    Compute,
    feature_vectors,
    require_features,
    scores_of,
)

_Views = UInt8[np.ndarray, "v 3 t s s"]
_Reading = tuple[int, _Views | VideoReadError]
_Result = tuple[int, Float[Tensor, " k"] | VideoReadError]


def classify_videos(
    classifier: TrainedClassifier,
    videos: Sequence[str | Path],
    *,
    num_clips: int = 1,
    num_crops: int = 1,
    batch_size: int | None = None,
    num_workers: int | None = None,
    time_budget_seconds: float | None = 60,
    progress: bool = True,
    _compute: Compute = scores_of,
) -> Generator[_Result, None, None]:
    """The index of each video with its scores, or with the reason why it cannot be read.

    The scores are those of ``classifier.scores`` up to rounding, and on one machine the same bits whatever
    other videos there are: the last batch is filled up. Each video comes once, as soon as it is done, and
    only a few batches are in memory. Files are read in separate processes, so a file that cannot be
    decoded, crashes its decoder or hangs affects no other. On a CPU, each of torch's threads works on
    batches of its own; until the iteration ends, torch uses a single thread everywhere else.

    Args:
        classifier: classifier in evaluation mode; it is not changed.
        videos: paths of files.
        num_clips: clips spread over each video whose scores are averaged.
        num_crops: 1 (centre) or 3 spatial windows per clip.
        batch_size: views of one forward pass; None: chosen by the size of a view.
        num_workers: processes that read; None: one per core, at most 8; 0: files are read in this
            process, which a crash of the decoder then ends.
        time_budget_seconds: seconds after which a file counts as unreadable; None: no limit.
        progress: whether standard error shows how many are done.

    Raises:
        ValueError: if ``batch_size`` is less than one, ``num_workers`` is negative,
            ``time_budget_seconds`` is not positive or the model is in training mode.
    """
    if batch_size is not None and batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}; give at least 1 view per forward pass")
    if time_budget_seconds is not None and not time_budget_seconds > 0:
        raise ValueError(
            f"time_budget_seconds is {time_budget_seconds}; give a number of seconds above 0, or None "
            "for no limit"
        )
    if classifier.model.training:
        raise ValueError(
            "the model is in training mode, in which scores depend on the batch; call "
            "classifier.model.eval() first"
        )
    protocol = classifier.protocol.for_prediction(num_clips, num_crops)
    views = read_videos(
        protocol, videos, num_workers=num_workers, time_budget_seconds=time_budget_seconds
    )
    results = score_groups(classifier, protocol, views, batch_size, _compute)
    return with_progress(results, len(videos), "Classifying") if progress else results


def extract_features(
    classifier: TrainedClassifier, videos: Sequence[str | Path], **options: Any
) -> Generator[_Result, None, None]:
    """The index of each video with its vector, or with the reason why it cannot be read.

    The vectors are those of ``classifier.features``: the pooled features before the linear layer, averaged
    over the views of a video, float32. ``options`` and errors are those of :func:`classify_videos`; so are
    order, memory and what a broken file costs.

    Raises:
        ValueError: also if the net has no such layer, or another program computes it.
    """
    require_features(classifier)
    return classify_videos(classifier, videos, **options, _compute=feature_vectors)


def read_videos(
    protocol: EvaluationProtocol,
    videos: Sequence[str | Path],
    *,
    num_workers: int | None = None,
    time_budget_seconds: float | None = None,
) -> Generator[_Reading, None, None]:
    """The index of each video with its views, or with the reason why it cannot be read."""
    num_workers = default_num_workers() if num_workers is None else num_workers
    # A process of its own is killed, what is stuck in this one can only be left behind.
    read = partial(_read, protocol, None if num_workers else time_budget_seconds)
    results = parallel_map(
        read,
        videos,
        description=None,
        num_workers=num_workers,
        fork=True,
        seconds=time_budget_seconds,
    )

    def with_deaths_as_errors() -> Generator[_Reading, None, None]:
        with closing(cast(Any, results)):
            for index, result in results:
                if isinstance(result, ProcessDiedError):
                    result = death_as_read_error(result, str(videos[index]))
                yield index, result

    return with_deaths_as_errors()


def _read(
    protocol: EvaluationProtocol, seconds: float | None, video: str | Path
) -> _Views | VideoReadError:
    path = str(video)
    try:
        return run_within(seconds, path, lambda: read_views(path, protocol).numpy())
    except VideoReadError as error:
        return error


def score_groups(
    classifier: TrainedClassifier,
    protocol: EvaluationProtocol,
    results: Generator[_Reading, None, None],
    batch_size: int | None = None,
    compute: Compute = scores_of,
) -> Generator[_Result, None, None]:
    """The vectors of the videos whose views arrive, in groups that share passes; errors pass through."""
    if not classifier.is_prepared:
        classifier = classifier.for_inference()
    # Beside a GPU, a second thread prepares the next group.
    num_threads = torch.get_num_threads() if classifier.device.type == "cpu" else 2
    batch_size = batch_size or classifier.views_per_pass(
        protocol.num_frames * protocol.crop_size**2
    )
    videos_per_group = max(1, batch_size // protocol.num_views)

    def score(videos: dict[int, _Views]) -> list[_Result]:
        found = list(videos.values())
        # Libraries choose their kernels, which round differently, by the size of a batch.
        found += found[-1:] * (videos_per_group - len(found))
        views = torch.from_numpy(np.stack(found))
        if classifier.device.type == "cuda":
            views = views.pin_memory()
        scores = compute(classifier, views, batch_size)
        return list(zip(videos, scores[: len(videos)].cpu(), strict=True))

    group: dict[int, _Views] = {}
    pending: deque[Future[list[_Result]]] = deque()
    threads_before = torch.get_num_threads()
    # The operators in these threads start no further threads.
    pool = ThreadPoolExecutor(num_threads, initializer=torch.set_num_threads, initargs=(1,))
    streams = ExitStack()
    streams.enter_context(_streams(classifier, num_threads))
    try:
        for index, result in results:
            if isinstance(result, VideoReadError):
                yield index, result
                continue
            group[index] = result
            if len(group) == videos_per_group:
                pending.append(pool.submit(score, group))
                group = {}
            while pending and (pending[0].done() or len(pending) > 2 * num_threads):
                yield from pending.popleft().result()
        if group:
            pending.append(pool.submit(score, group))
        while pending:
            yield from pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
        streams.close()
        torch.set_num_threads(threads_before)
        results.close()


def _streams(classifier: TrainedClassifier, num_threads: int) -> AbstractContextManager[None]:
    """Within, so many threads may call the net of another program; torch's takes any number."""
    model = classifier.engine_model
    return nullcontext() if model is None else model.in_streams(num_threads)
