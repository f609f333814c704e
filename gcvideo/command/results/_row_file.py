"""A file of results that grows by one input at a time, and can be gone on with after a kill."""

from array import array
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
from jaxtyping import Int64

from gcvideo._draft import draft_of
from gcvideo.command._output_check import telling
from gcvideo.command._record_lock import take
from gcvideo.command.results._row_layout import Record, RowLayout

_NUM_BYTES_AT_ONCE = 1 << 20


class RowFileError(ValueError):
    """A file of results that belongs to another process, or has another content."""


class RowFile:
    """Results of inputs, appended as they come, and put into the order of the inputs at the end.

    Each append is one write, so a kill costs at most the last input, whose bytes are cut off when the file
    is opened again. Memory holds 24 bytes for each input.

    Args:
        path: file to write; made if it does not exist.
        layout: format of the file.
        is_whole: whether an existing file is known to end where an input ends.

    Raises:
        OutputError: if the file cannot be written, now or later.
        RowFileError: if another process writes the file, or its content is of another layout.
    """

    def __init__(self, path: Path, layout: RowLayout, *, is_whole: bool = False) -> None:
        self.path = path
        self._layout = layout
        with telling(path, "output"):
            path.parent.mkdir(parents=True, exist_ok=True)
            # Unbuffered, so that nothing is lost with the process; appended to wherever the file was read.
            self._file: BinaryIO = path.open("a+b", buffering=0)
            try:
                lock(self._file, path)
                self._blocks = array("q")
                self._read(is_whole)
            except BaseException:
                self._file.close()
                raise

    def _read(self, is_whole: bool) -> None:
        header = self._layout.header
        end = len(header)
        if self._file.seek(0, 2) < end:
            self._file.seek(0)
            if header.startswith(self._file.read()):  # empty, or cut off by a kill
                self._file.truncate(0)
                write_all(self._file, header)
                return
        try:
            for index, start, end, is_error in self._layout.blocks(self._file, is_whole=is_whole):
                self._blocks.extend((~index if is_error else index, start, end))
        except (ValueError, KeyError) as error:
            raise RowFileError(
                f"'{self.path}' has another content than results of this command ({error}); give another "
                "name, or overwrite=true"
            ) from error
        self._file.truncate(end)

    @property
    def indices(self) -> Int64[np.ndarray, " n"]:
        """Places of the inputs that are done, in the order of the file."""
        return np.where(self._numbers < 0, ~self._numbers, self._numbers)

    @property
    def num_errors(self) -> int:
        """Number of the inputs that could not be worked on."""
        return int((self._numbers < 0).sum())

    @property
    def _table(self) -> Int64[np.ndarray, "n 3"]:
        # A copy: an array cannot grow while something views it.
        return np.array(self._blocks, np.int64).reshape(-1, 3)

    @property
    def _numbers(self) -> Int64[np.ndarray, " n"]:
        return self._table[:, 0]

    @property
    def spans(self) -> Int64[np.ndarray, "n 2"]:
        """First byte and end of the results of each of ``indices``."""
        return self._table[:, 1:]

    def read(self, start: int, end: int) -> bytes:
        """Bytes of the file."""
        self._file.seek(start)
        return self._file.read(end - start)

    def append(self, record: Record) -> None:
        """Write the results of an input."""
        content = self._layout.encode(record)
        start = self._file.seek(0, 2)
        with telling(self.path, "output"):
            try:
                write_all(self._file, content)
            except OSError:
                self._file.truncate(start)
                raise
        index = record["index"]
        number = ~index if "error" in record else index
        self._blocks.extend((number, start, start + len(content)))

    def sort(self, *, without_errors: bool = False) -> None:
        """Bring the inputs into their order; a kill meanwhile leaves the file as it was."""
        keep = self._numbers >= 0 if without_errors else np.full(len(self._numbers), True)
        order = np.flatnonzero(keep)[np.argsort(self.indices[keep], kind="stable")]
        blocks = self._table[order]
        starts = blocks[:, 1]
        if len(blocks) == len(keep) and (starts[1:] > starts[:-1]).all():
            return
        with telling(self.path, "output"), draft_of(self.path) as draft:
            file = draft.open("w+b", buffering=0)
            lock(file, self.path)
            write_blocks(file, self._layout, ((self, block) for block in blocks[:, 1:].tolist()))
        self._file.close()
        self._file = file
        sizes = blocks[:, 2] - blocks[:, 1]
        ends = len(self._layout.header) + np.cumsum(sizes)
        moved = np.stack([blocks[:, 0], ends - sizes, ends], axis=1)
        self._blocks = array("q", moved.tobytes())

    def close(self) -> None:
        """Close the file; another process may then write it."""
        self._file.close()


def write_blocks(
    target: BinaryIO, layout: RowLayout, blocks: Iterable[tuple[RowFile, Sequence[int]]]
) -> None:
    """Write results of files, (file, (first byte, end)), in this order behind a header."""
    pieces, size = [layout.header], 0
    for source, (start, end) in blocks:
        pieces.append(source.read(start, end))
        size += end - start
        if size > _NUM_BYTES_AT_ONCE:
            write_all(target, b"".join(pieces))
            pieces, size = [], 0
    write_all(target, b"".join(pieces))


def delete_free(path: Path) -> None:
    """Delete a file of results, if it exists; RowFileError if another process writes it."""
    if path.is_file():
        with path.open("r+b") as file:
            lock(file, path)
            path.unlink()


def write_all(file: BinaryIO, content: bytes) -> None:
    """Write to a file without a buffer, which may take a part only where a disk becomes full."""
    rest = memoryview(content)
    while rest:
        rest = rest[file.write(rest) :]


def lock(file: BinaryIO, path: Path) -> None:
    """Keep other processes away until the file is closed, however this one ends."""
    if not take(file):
        raise RowFileError(
            f"'{path}' is being written by another process; wait for it or stop it, or give another name "
            "with output=..."
        )
