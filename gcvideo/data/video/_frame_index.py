"""Where the frames of all videos of a data set lie: scanned once, then looked up."""

import hashlib
import warnings
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64

from gcvideo._invocation import command_line
from gcvideo.data.listing._array_file import ArrayFile, Ragged, write_arrays
from gcvideo.data.listing._cache import CacheError, cache_folder
from gcvideo.data.video._container import VideoReadError
from gcvideo.data.video._index_entry import IndexEntry
from gcvideo.data.video._orientation import Orientation
from gcvideo.data.video._timeline import Timeline, VideoInfo

_VERSION = "2"
_RAGGED = ("path", "stamps", "keyframes", "reason", "remedy")
_COLUMNS = {
    "hash": np.uint64,
    "size": np.int64,
    "mtime_ns": np.int64,
    "num_frames": np.int64,
    "fps": np.float64,
    "width": np.int32,
    "height": np.int32,
    "quarter_turns": np.int8,
    "is_mirrored": np.bool_,
    "aspect_width": np.int32,
    "aspect_height": np.int32,
    "is_direct": np.bool_,
    "skips_unwanted": np.bool_,
    "time_base_numerator": np.int64,
    "time_base_denominator": np.int64,
    "first_stamp": np.int64,
    "stamp_step": np.int64,
}


class FrameIndex:
    """An index file, memory-mapped: all processes share its pages, and a pickle holds its path.

    Constant frame rates take no room: stamp i is ``first_stamp + i * stamp_step``.

    Args:
        path: written by :func:`write_index`.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is damaged or of another version.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        arrays = ArrayFile(self.path)
        if arrays.metadata.get("gcvideo_index") != _VERSION:
            raise ValueError(
                f"'{self.path}' is no frame index of this version of gcvideo; delete it and make it "
                f"anew with `{command_line('index')}`"
            )
        self.columns = {name: arrays[name] for name in _COLUMNS}
        self.ragged = {name: Ragged(arrays[name], arrays[f"{name}_offsets"]) for name in _RAGGED}

    @classmethod
    def of_root(cls, root: str | Path) -> "FrameIndex | None":
        """The index of the videos below ``root`` in the cache folder; None if there is none.

        One that is damaged, closed to this user or of another version counts as none, with a warning:
        videos are read without it too.
        """
        try:
            path = index_path(root)
        except CacheError:
            return None  # where there is no folder, there is no index
        try:
            return cls(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError) as error:
            warnings.warn(str(error), stacklevel=2)
            return None

    def __len__(self) -> int:
        return len(self.columns["hash"])

    def __reduce__(self) -> tuple[type["FrameIndex"], tuple[Path]]:
        return FrameIndex, (self.path,)

    def find(self, path: str, file: str) -> Timeline | None:
        """The timeline of a video; None if it is not listed here or has changed since.

        Args:
            path: as listed.
            file: the same, ready to open.

        Raises:
            VideoReadError: if the file is known to be unreadable.
        """
        row = self._row(path)
        if row is None or not self._is_current(row, file):
            return None
        reason = self._text("reason", row)
        if reason:
            raise VideoReadError(file, reason, self._text("remedy", row))
        return self._timeline(row)

    def is_current(self, path: str, file: str) -> bool:
        """Whether the file is here, readable, and has not changed since."""
        row = self._row(path)
        return row is not None and not self._text("reason", row) and self._is_current(row, file)

    def _row(self, path: str) -> int | None:
        key = _hash(path)
        hashes = self.columns["hash"]
        row = int(np.searchsorted(hashes, key))
        while row < len(hashes) and hashes[row] == key:
            if self._text("path", row) == path:
                return row
            row += 1
        return None

    def _is_current(self, row: int, file: str) -> bool:
        try:
            state = Path(file).stat()
        except OSError:
            return False
        return (state.st_size, state.st_mtime_ns) == (
            self.columns["size"][row],
            self.columns["mtime_ns"][row],
        )

    def _text(self, name: str, row: int) -> str:
        return self.ragged[name].row(row).tobytes().decode("utf-8", "surrogatepass")

    def _timeline(self, row: int) -> Timeline:
        def value(name: str) -> int:
            return int(self.columns[name][row])

        info = VideoInfo(
            value("num_frames"),
            float(self.columns["fps"][row]),
            value("width"),
            value("height"),
            Orientation(value("quarter_turns"), bool(value("is_mirrored"))),
            Fraction(value("aspect_width"), value("aspect_height")),
        )
        step = value("stamp_step")
        if step:
            stamps = value("first_stamp") + step * np.arange(info.num_frames, dtype=np.int64)
        else:
            stamps = np.asarray(self.ragged["stamps"].row(row))
        return Timeline(
            info,
            stamps,
            Fraction(value("time_base_numerator"), value("time_base_denominator")),
            is_direct=bool(self.columns["is_direct"][row]),
            keyframes=np.asarray(self.ragged["keyframes"].row(row)),
            skips_unwanted=bool(self.columns["skips_unwanted"][row]),
        )


def index_path(root: str | Path) -> Path:
    """Where the index of a folder of videos is kept, unless another place is named.

    Raises:
        CacheError: if there is no home folder, and no other for such files.
    """
    key = hashlib.sha256(str(Path(root).resolve()).encode("utf-8", "surrogatepass")).hexdigest()
    return cache_folder() / "index" / f"{key[:16]}.safetensors"


def write_index(path: Path, entries: Sequence[IndexEntry], old: FrameIndex | None = None) -> None:
    """Write entries, and those of an older index for other videos, in one step.

    Args:
        path: of the index; its folder is made if need be.
        entries: one a video.
        old: taken over as far as ``entries`` do not replace it.
    """
    columns, ragged = _arrays(entries)
    if old is not None:
        stale = np.isin(old.columns["hash"], columns["hash"])
        kept = np.flatnonzero(~stale)
        columns = {
            name: np.concatenate([old.columns[name][kept], columns[name]]) for name in columns
        }
        ragged = {name: old.ragged[name].take(kept).followed_by(ragged[name]) for name in ragged}
    order = np.argsort(columns["hash"], kind="stable")
    arrays = {name: column[order] for name, column in columns.items()}
    for name, rows in ragged.items():
        arrays[name], arrays[f"{name}_offsets"] = rows.take(order)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_arrays(path, arrays, {"gcvideo_index": _VERSION})


def _arrays(
    entries: Sequence[IndexEntry],
) -> tuple[dict[str, np.ndarray], dict[str, Ragged]]:
    rows = [_row_values(entry) for entry in entries]
    columns = {
        name: np.array([row[name] for row in rows], dtype) for name, dtype in _COLUMNS.items()
    }
    texts = {name: [getattr(e, name) for e in entries] for name in ("path", "reason", "remedy")}
    ragged = {
        name: Ragged.from_rows(map(_bytes, column), np.uint8) for name, column in texts.items()
    }
    for name in ("stamps", "keyframes"):
        ragged[name] = Ragged.from_rows((row[name] for row in rows), np.int64)
    return columns, ragged


def _row_values(entry: IndexEntry) -> dict[str, Any]:
    timeline = entry.timeline
    info = timeline.info if timeline else VideoInfo(0, 0.0, 0, 0)
    first, step, stamps = _run_length(timeline.stamps if timeline else np.empty(0, np.int64))
    time_base = timeline.time_base if timeline else Fraction(0)
    return {
        "hash": _hash(entry.path),
        "size": entry.size,
        "mtime_ns": entry.mtime_ns,
        "num_frames": info.num_frames,
        "fps": info.fps,
        "width": info.width,
        "height": info.height,
        "quarter_turns": info.orientation.quarter_turns,
        "is_mirrored": info.orientation.is_mirrored,
        "aspect_width": info.sample_aspect_ratio.numerator,
        "aspect_height": info.sample_aspect_ratio.denominator,
        "is_direct": timeline is not None and timeline.is_direct,
        "skips_unwanted": timeline is not None and timeline.skips_unwanted,
        "time_base_numerator": time_base.numerator,
        "time_base_denominator": time_base.denominator,
        "first_stamp": first,
        "stamp_step": step,
        "stamps": stamps,
        "keyframes": () if timeline is None else timeline.keyframes,
    }


def _run_length(
    stamps: Int64[np.ndarray, "n"],
) -> tuple[int, int, Int64[np.ndarray, "m"]]:
    """First stamp, step and no stamps where the step is constant; else all stamps."""
    steps = np.diff(stamps)
    if len(stamps) and (steps == (step := steps[0] if len(steps) else 1)).all():
        return int(stamps[0]), int(step), np.empty(0, np.int64)
    return 0, 0, stamps


def _hash(path: str) -> np.uint64:
    digest = hashlib.blake2b(path.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return np.uint64(int.from_bytes(digest, "little"))


def _bytes(text: str) -> np.ndarray:
    return np.frombuffer(text.encode("utf-8", "surrogatepass"), np.uint8)
