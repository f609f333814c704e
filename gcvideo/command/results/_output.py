"""Where the results of a command go: into a file that grows, to the standard output, or only to the screen."""

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
from jaxtyping import Int64

from gcvideo.command._output_check import STANDARD_OUTPUT, check_file, telling
from gcvideo.command._shard import Shard
from gcvideo.command.results._row_file import RowFile, delete_free, write_all
from gcvideo.command.results._row_layout import JsonLines, Record, RowLayout
from gcvideo.command.results._run_record import OtherRunError, RunRecord, record_path


@dataclass(frozen=True)
class OutputForm:
    """The files that a command can write, by their ending.

    Args:
        layouts: how results stand in files that grow, by suffix.
        converters: for other suffixes, what makes the file from finished JSON lines: (lines, file).
    """

    layouts: Mapping[str, RowLayout]
    converters: Mapping[str, Callable[[Path, Path], None]]

    def check(self, output: str | None, key: str = "output") -> None:
        """Raise ValueError for another ending, OutputError if the file could not be written."""
        if output in (None, STANDARD_OUTPUT):
            return
        assert output is not None
        known = [*self.layouts, *self.converters]
        if Path(output).suffix not in known:
            raise ValueError(
                f"{key} is '{output}'; give a file ending in {', '.join(known)}, or - for the standard output"
            )
        check_file(output, key)

    def growing(self, output: Path) -> tuple[Path, RowLayout]:
        """The file to which results of ``output`` are appended, and its layout."""
        if output.suffix in self.layouts:
            return output, self.layouts[output.suffix]
        return output.with_name(f"{output.name}.jsonl"), JsonLines()

    def convert(self, output: Path) -> None:
        """Make the file of another format from its finished lines, which then go."""
        if output.suffix in self.converters:
            lines, _ = self.growing(output)
            self.converters[output.suffix](lines, output)
            lines.unlink()


class ResultOutput:
    """Results of the inputs of a command, kept from the moment they come.

    Results of an earlier run of the same net, settings and inputs are gone on with.

    Args:
        output: file; "-" for lines of JSON on the standard output; None: results are kept nowhere.
        form: what the command can write.
        record: what the results are of.
        num_inputs: inputs of all parts.
        shard: part of this process; None: all.
        overwrite: whether results of another run, or finished ones, are deleted.
        retry_failures: whether inputs that could not be worked on are tried again.
        standard: the standard output, for "-".

    Attributes:
        remaining: places of the inputs that are to be worked on.
        num_before: inputs of the part that are done already.

    Raises:
        OtherRunError: if the file holds results of another run.
        OutputError: if it cannot be written.
        RowFileError: if another process writes it.
    """

    def __init__(
        self,
        output: str | None,
        form: OutputForm,
        record: RunRecord,
        num_inputs: int,
        *,
        shard: Shard | None = None,
        overwrite: bool = False,
        retry_failures: bool = False,
        standard: BinaryIO | None = None,
    ) -> None:
        self._form, self._standard = form, standard
        self.shard = shard
        self._rows: RowFile | None = None
        self.path: Path | None = None
        self.num_before = self.num_added = self.num_errors = 0
        self._started = time.monotonic()
        self._mine = np.arange(num_inputs) if shard is None else shard.of(num_inputs)
        self.remaining = self._mine
        if output in (None, STANDARD_OUTPUT):
            return
        final = Path(output)
        self.path = final if shard is None else shard.path(final)
        self._record = replace(record, shard=shard and str(shard), path=record_path(self.path))
        done = self._open(overwrite=overwrite, retry_failures=retry_failures)
        self.remaining = np.setdiff1d(self._mine, done, assume_unique=True)
        self.num_before = len(self._mine) - len(self.remaining)
        self._record.write()

    @property
    def num_mine(self) -> int:
        """Inputs of the part."""
        return len(self._mine)

    @property
    def num_done(self) -> int:
        """Inputs of the part that there are results of."""
        return self.num_before + self.num_added

    def _open(self, *, overwrite: bool, retry_failures: bool) -> Int64[np.ndarray, " n"]:
        """Open the file; returns the places of inputs that are done."""
        assert self.path is not None
        file, layout = self._form.growing(self.path)
        if overwrite:
            delete_free(file)
            self.path.unlink(missing_ok=True)
            self._record.path.unlink(missing_ok=True)
        exists = file.exists() or self.path.exists()
        earlier = RunRecord.beside(self.path) if exists else None
        if earlier is not None:
            earlier.require_same(self._record, self.path)
        elif exists:
            raise OtherRunError(
                f"'{self.path}' exists and has no record of a run that could go on; give another output, or "
                "overwrite=true to lose it"
            )
        is_finished = earlier is not None and earlier.is_finished
        # One that was converted.
        if earlier is not None and is_finished and self.path.exists() and not file.exists():
            if retry_failures and earlier.num_errors:
                raise OtherRunError(
                    f"'{self.path}' is finished, and the lines that it was made from are gone; predict the "
                    f"{earlier.num_errors} videos that failed into another output, or give overwrite=true"
                )
            self.num_errors = earlier.num_errors
            return self._mine
        self._rows = RowFile(file, layout, is_whole=is_finished)
        if retry_failures and self._rows.num_errors:
            self._rows.sort(without_errors=True)
        self.num_errors = self._rows.num_errors
        return self._rows.indices

    def add(self, record: Record) -> None:
        """Keep the results of an input; BrokenPipeError if nobody reads the standard output any more."""
        if self._standard is not None:
            write_all(self._standard, JsonLines().encode(record))
        elif self._rows is not None:
            self._rows.append(record)
        self.num_added += 1
        self.num_errors += "error" in record

    def finish(self) -> None:
        """Bring the file into the order of the inputs, and make it of its format."""
        if self._rows is None or self.path is None:
            return
        self._rows.sort()
        self._rows.close()
        if self.shard is None:
            with telling(self.path, "output"):
                self._form.convert(self.path)
        self._record.is_finished = True
        self._record.num_done = self.num_done
        self._record.num_errors = self.num_errors
        self._record.seconds = round(time.monotonic() - self._started, 3)
        self._record.write()

    def close(self) -> None:
        """Close the file as it is: the same command goes on from there."""
        if self._rows is not None:
            self._rows.close()

    def progress(self) -> str:
        """How many inputs are done, and where they stand."""
        text = f"{self.num_done} of {self.num_mine} videos are done"
        if self.path is None or not self.num_done:
            return text
        return f"{text} and in '{self.path}'; the same command goes on from there"


@contextmanager
def standard_output_of_rows() -> Iterator[BinaryIO]:
    """Within, the standard output is that of the file given alone; what is printed goes to standard error."""
    sys.stdout.flush()
    kept = os.dup(1)
    try:
        os.dup2(2, 1)  # below Python, because libraries print, too
        with redirect_stdout(sys.stderr), os.fdopen(os.dup(kept), "wb", buffering=0) as file:
            yield file
    finally:
        os.dup2(kept, 1)
        os.close(kept)
