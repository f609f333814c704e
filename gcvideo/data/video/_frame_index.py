"""The frame index: timelines of all videos of a data set, scanned once and then looked up."""

import hashlib
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int64

from gcvideo._invocation import command_line
from gcvideo.data.listing._array_file import ArrayFile, Ragged, write_arrays
from gcvideo.data.listing._cache import CacheError, cache_folder
from gcvideo.data.video._container import VideoReadError
from gcvideo.data.video._decoding import VideoReader
from gcvideo.data.video._orientation import Orientation
from gcvideo.data.video._timeline import Timeline, VideoInfo

_VERSION = "2"
_RAGGED = ("path", "stamps", "keyframes", "reason", "remedy")
# Type of a column, and where its values stand in an entry.
_COLUMNS = {
    "size": (np.int64, "size"),
    "mtime_ns": (np.int64, "mtime_ns"),
    "num_frames": (np.int64, "timeline.info.num_frames"),
    "fps": (np.float64, "timeline.info.fps"),
    "width": (np.int32, "timeline.info.width"),
    "height": (np.int32, "timeline.info.height"),
    "quarter_turns": (np.int8, "timeline.info.orientation.quarter_turns"),
    "is_mirrored": (np.bool_, "timeline.info.orientation.is_mirrored"),
    "aspect_width": (np.int32, "timeline.info.sample_aspect_ratio.numerator"),
    "aspect_height": (np.int32, "timeline.info.sample_aspect_ratio.denominator"),
    "is_direct": (np.bool_, "timeline.is_direct"),
    "skips_unwanted": (np.bool_, "timeline.skips_unwanted"),
    "time_base_numerator": (np.int64, "timeline.time_base.numerator"),
    "time_base_denominator": (np.int64, "timeline.time_base.denominator"),
}
# Computed: the hash of the path, and first stamp and step if the step is constant (otherwise 0).
_COMPUTED = ("hash", "first_stamp", "stamp_step")
_NOTHING = np.empty(0, np.int64)
_UNREADABLE = Timeline(VideoInfo(0, 0.0, 0, 0), _NOTHING, Fraction(0), False, _NOTHING, False)


class FileStamp(NamedTuple):
    """Size and modification time of a file, which change with its content."""

    size: int
    mtime_ns: int

    @classmethod
    def of(cls, file: str | Path) -> "FileStamp | None":
        """The stamp of a file; None if it cannot be read."""
        try:
            state = Path(file).stat()
        except OSError:
            return None
        return cls(state.st_size, state.st_mtime_ns)


@dataclass(frozen=True, eq=False)
class IndexEntry:
    """The timeline of one listed file, and the state of the file (bytes, last change) for which it is valid.

    Without a timeline, the file cannot be read; reason and remedy are those of a VideoReadError.
    """

    path: str
    size: int
    mtime_ns: int
    timeline: Timeline | None
    reason: str = ""
    remedy: str = ""


def index_video(path: str, file: str) -> IndexEntry:
    """The entry of a video listed as ``path``, from the packets and the first frame of its ``file``."""
    stamp = FileStamp.of(file) or FileStamp(-1, -1)
    try:
        with VideoReader(file) as reader:
            return IndexEntry(path, *stamp, reader.timeline)
    except VideoReadError as error:
        return IndexEntry(path, *stamp, None, error.reason, error.remedy)


class FrameIndex:
    """A memory-mapped index file: all processes share its pages, and a pickle contains only its path.

    Constant frame rates need no stamps: stamp i is ``first_stamp + i * stamp_step``. Raises
    FileNotFoundError if there is no file at ``path``, ValueError if it is damaged or of another version.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        arrays = ArrayFile(self.path)
        if arrays.metadata.get("gcvideo_index") != _VERSION:
            raise ValueError(
                f"'{self.path}' is not a frame index of this version of gcvideo; delete it and make it "
                f"again with `{command_line('index')}`"
            )
        self.columns = {name: arrays[name] for name in (*_COLUMNS, *_COMPUTED)}
        self.ragged = {name: Ragged(arrays[name], arrays[f"{name}_offsets"]) for name in _RAGGED}

    @classmethod
    def of_root(cls, root: str | Path) -> "FrameIndex | None":
        """The index of the videos below ``root`` in the cache folder; None, with a warning, if unusable.

        Videos can be read without it.
        """
        try:
            path = index_path(root)
        except CacheError:
            return None  # without a folder, there is no index
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
        """The timeline of a ``file`` listed as ``path``; None if it is not in the index or has changed since.

        Raises VideoReadError if the file is known to be unreadable.
        """
        row = self._current_row(path, file)
        if row is None:
            return None
        reason = self._text("reason", row)
        if reason:
            raise VideoReadError(file, reason, self._text("remedy", row))
        return self._timeline(row)

    def is_current(self, path: str, file: str) -> bool:
        """Whether the file is in the index, readable and unchanged."""
        row = self._current_row(path, file)
        return row is not None and not self._text("reason", row)

    def paths(self) -> Iterator[str]:
        """The listed paths of all entries."""
        return (self._text("path", row) for row in range(len(self)))

    def problem(self, path: str, file: str) -> str | None:
        """Why a file cannot be read; empty if it can; None if it is not in the index or has changed since."""
        row = self._current_row(path, file)
        return None if row is None else self._text("reason", row)

    def _current_row(self, path: str, file: str) -> int | None:
        key = _hash(path)
        hashes = self.columns["hash"]
        row = int(np.searchsorted(hashes, key))
        while row < len(hashes) and hashes[row] == key:
            if self._text("path", row) == path:
                stamp = self.columns["size"][row], self.columns["mtime_ns"][row]
                return row if FileStamp.of(file) == stamp else None
            row += 1
        return None

    def _text(self, name: str, row: int) -> str:
        return self.ragged[name].row(row).tobytes().decode("utf-8", "surrogatepass")

    def _timeline(self, row: int) -> Timeline:
        def value(name: str) -> Any:
            return self.columns[name][row].item()

        info = VideoInfo(
            value("num_frames"),
            value("fps"),
            value("width"),
            value("height"),
            Orientation(value("quarter_turns"), value("is_mirrored")),
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
            is_direct=value("is_direct"),
            keyframes=np.asarray(self.ragged["keyframes"].row(row)),
            skips_unwanted=value("skips_unwanted"),
        )


def index_path(root: str | Path) -> Path:
    """The default file for the index of a folder of videos; CacheError if there is no cache folder."""
    key = hashlib.sha256(str(Path(root).resolve()).encode("utf-8", "surrogatepass")).hexdigest()
    return cache_folder() / "index" / f"{key[:16]}.safetensors"


def write_index(path: Path, entries: Sequence[IndexEntry], *older: FrameIndex) -> None:
    """Write an index file of ``entries``, and of those of older indexes for other videos.

    Where several of these have one video, the first counts.
    """
    columns, ragged = _arrays(entries)
    for old in older:
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


def _arrays(entries: Sequence[IndexEntry]) -> tuple[dict[str, np.ndarray], dict[str, Ragged]]:
    entries = [replace(entry, timeline=entry.timeline or _UNREADABLE) for entry in entries]
    columns = {
        name: np.array(list(map(attrgetter(place), entries)), dtype)
        for name, (dtype, place) in _COLUMNS.items()
    }
    runs = [_run_length(entry.timeline.stamps) for entry in entries if entry.timeline]
    columns["hash"] = np.array([_hash(entry.path) for entry in entries], np.uint64)
    columns["first_stamp"] = np.array([first for first, _, _ in runs], np.int64)
    columns["stamp_step"] = np.array([step for _, step, _ in runs], np.int64)
    ragged = {}
    for name in ("path", "reason", "remedy"):
        texts = (getattr(entry, name).encode("utf-8", "surrogatepass") for entry in entries)
        ragged[name] = Ragged.from_rows((np.frombuffer(t, np.uint8) for t in texts), np.uint8)
    ragged["stamps"] = Ragged.from_rows((stamps for _, _, stamps in runs), np.int64)
    keyframes = (entry.timeline.keyframes for entry in entries if entry.timeline)
    ragged["keyframes"] = Ragged.from_rows(keyframes, np.int64)
    return columns, ragged


def _run_length(stamps: Int64[np.ndarray, "n"]) -> tuple[int, int, Int64[np.ndarray, "m"]]:
    """First stamp, step and no stamps if the step is constant; otherwise 0, 0 and all stamps."""
    steps = np.diff(stamps)
    if len(stamps) and (steps == (step := steps[0] if len(steps) else 1)).all():
        return int(stamps[0]), int(step), _NOTHING
    return 0, 0, stamps


def _hash(path: str) -> np.uint64:
    digest = hashlib.blake2b(path.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return np.uint64(int.from_bytes(digest, "little"))
