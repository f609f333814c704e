"""Results of a prediction brought to the disk while they come."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gcvideo._console import Console
from gcvideo.command._interruption import Interrupted
from gcvideo.command._output_check import OutputError, telling
from gcvideo.command.predict._output import Predictions, show_predictions, write_predictions

_CONSOLE = Console(stderr=True)
_LEAST_SECONDS = 1.0
# The whole file is written each time, which takes at most this share of the work.
_SHARE = 1 / 20


class PredictionWriter:
    """Writes results into the output, whole at any time.

    Args:
        predictions: that grow.
        output: json or csv; None: results are only shown.
        precision: name of the type that the net computes in.
    """

    def __init__(self, predictions: Predictions, output: Path | None, *, precision: str) -> None:
        self.predictions = predictions
        self.output = output
        self.precision = precision
        self._due = time.monotonic() + _LEAST_SECONDS
        self._has_failed = False

    def keep(self) -> None:
        """Write what has come, if it is time again; that this fails is said once, for it may pass."""
        if time.monotonic() < self._due:
            return
        try:
            self.write()
        except OutputError as error:
            if not self._has_failed:
                _CONSOLE.print(f"warning: {error}; the work goes on", soft_wrap=True)
            self._has_failed = True
            self._due = time.monotonic() + _LEAST_SECONDS

    def write(self) -> None:
        """Write what has come.

        Raises:
            OutputError: if it cannot be written.
        """
        if self.output is None:
            return
        started = time.monotonic()
        with telling(self.output, "output"):
            write_predictions(self.output, self.predictions, precision=self.precision)
        ended = time.monotonic()
        self._due = ended + max(_LEAST_SECONDS, (ended - started) / _SHARE)

    def finish(self) -> None:
        """Show and write all.

        Raises:
            OutputError: if it cannot be written.
        """
        show_predictions(self.predictions)
        self.write()

    @contextmanager
    def keeping(self) -> Iterator[None]:
        """Within, whatever ends the work early leaves what has come on the screen and in the output.

        Raises:
            Interrupted: after a signal, with a message that says how much is done.
        """
        try:
            yield
        except BaseException as error:
            if self.predictions.num_done:
                self.finish()
            if isinstance(error, Interrupted):
                raise Interrupted(error.signal_number, self._summary(error)) from None
            raise

    def _summary(self, stop: Interrupted) -> str:
        done, total = self.predictions.num_done, len(self.predictions.videos)
        text = f"{stop}: {done} of {total} videos are done"
        if not done:
            return text
        if self.output is None:
            text += " and shown above; output=FILE keeps them"
        else:
            text += f" and stand in '{self.output}'"
            text += ", which lists the others as not classified" if done < total else ""
        return f"{text}; the same command, given again, does them all"
