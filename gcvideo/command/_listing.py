"""A list of videos that is made in another process: a million names take as long as importing torch."""

import sys
from collections.abc import Sequence
from types import TracebackType

from gcvideo.command._video_list import STANDARD_INPUT, VideoInputs, find_all_videos
from gcvideo.data._parallel import ProcessDiedError, Worker


class Listing:
    """The videos for some words, as :func:`find_all_videos` finds them, begun in a copy of this process.

    The copy is made on Linux alone, and only before torch is imported: afterwards there is nothing to wait
    for, and torch has threads, which a copy lacks. It has no standard input either.

    Args:
        patterns: files, folders, globs, lists, or "-".
    """

    def __init__(self, patterns: Sequence[str]) -> None:
        self._patterns = list(patterns)
        self._worker: Worker | None = None
        if (
            sys.platform == "linux"
            and "torch" not in sys.modules
            and STANDARD_INPUT not in self._patterns
        ):
            self._worker = Worker(find_all_videos, [])
            self._worker.receive([])  # it has started
            self._worker.give(0, self._patterns)

    def __enter__(self) -> "Listing":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    def wait(self) -> VideoInputs:
        """The videos.

        Raises:
            FileNotFoundError: if there is none.
        """
        if self._worker is None:
            return find_all_videos(self._patterns)
        try:
            found = self._worker.receive([self._patterns])
        finally:
            self._end()
        # Killed, as for its memory; here, it may still fit.
        return find_all_videos(self._patterns) if isinstance(found, ProcessDiedError) else found

    def _end(self) -> None:
        if self._worker is not None:
            self._worker.end()
            self._worker = None
