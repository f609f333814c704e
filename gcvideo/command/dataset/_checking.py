"""``gcvideo check``: decodes every video of a data set from end to end."""

import json
import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from omegaconf import DictConfig

from gcvideo._console import Console
from gcvideo._hint import override
from gcvideo._invocation import command_line
from gcvideo.command.dataset._histogram import Histogram, draw_histograms
from gcvideo.command.dataset._work import (
    claim_folder,
    configured_splits,
    listed_files,
    show_first,
    work_through,
    write_lists,
)
from gcvideo.data import (
    Annotations,
    VideoCheck,
    check_listable,
    check_video,
    write_table,
    write_text,
)
from gcvideo.data.video._frame_index import FileStamp

_CONSOLE = Console()
_COLUMNS = (
    *("path", "status", "reason", "num_frames", "num_promised", "damaged_packets"),
    *("corrupt_frames", "fps", "width", "height", "duration_seconds"),
    *("sample_aspect_ratio", "remarks"),
)


@dataclass(frozen=True)
class CheckReport:
    """Findings by listed path, reasons why a training or test would stop, and the folder of the tables."""

    checks: Mapping[str, VideoCheck]
    problems: tuple[str, ...]
    folder: Path


def check(cfg: DictConfig) -> CheckReport:
    """Decode every video of the splits from end to end, as configured by ``conf/check.yaml``.

    The output folder gets ``videos.csv``, ``bad_videos.csv``, ``histograms.png``, ``classes.txt`` and
    lists of "path label" without unreadable videos: ``train.txt``, ``val.txt``, and ``test.txt`` if it
    differs from val. ``journal.jsonl`` gets each finding as it comes. The next check decodes only videos
    that have changed or could not be read.

    Raises:
        ValueError: if the folder contains the check of another root, or a path cannot be listed.
    """
    splits, lists = configured_splits(cfg)
    files = listed_files(lists)
    check_listable(files, splits.classes)
    root = Path(splits.val.root).resolve()
    folder = Path(cfg.output_dir) if cfg.output_dir else Path("checks") / (root.name or "root")
    claim_folder(folder, "output_dir", "check.json", {"root": str(root)})
    checks = _check_all(folder, files, cfg)
    _write_table(folder / "videos.csv", _COLUMNS, checks)
    bad = {path: check for path, check in checks.items() if check.status != "ok"}
    columns = ("path", "status", "reason", "damaged_packets")
    _write_table(folder / "bad_videos.csv", columns, bad)
    dropped = {"unreadable", "damaged"} if cfg.drop_damaged else {"unreadable"}
    clean = {}
    for name, split in lists.items():
        kept = [i for i, path in enumerate(split.paths) if checks[path].status not in dropped]
        clean[name] = ([split.paths[i] for i in kept], split.labels[kept])
    write_lists(folder, clean, splits.classes)
    for name in {"train", "val", "test"} - lists.keys():
        # From an earlier check with other splits.
        (folder / f"{name}.txt").unlink(missing_ok=True)
    readable = [c for c in checks.values() if c.status != "unreadable"]
    histograms = [
        Histogram.of_numbers("duration (s)", [c.duration_seconds for c in readable]),
        Histogram.of_numbers("frames", [c.num_frames for c in readable]),
        Histogram.of_numbers("frame rate (1/s)", [c.fps for c in readable]),
        Histogram.of_numbers("short side (px)", [min(c.width, c.height) for c in readable]),
        Histogram.of_texts("frame size (px)", [f"{c.width}x{c.height}" for c in readable]),
    ]
    draw_histograms(histograms, folder / "histograms.png")
    for histogram in histograms:
        _CONSOLE.print(histogram.text(min(_CONSOLE.width, 80)), soft_wrap=True)

    count = Counter(check.status for check in checks.values())
    _CONSOLE.print(
        f"{len(checks)} videos: {count['ok']} ok, {count['damaged']} damaged, "
        f"{count['unreadable']} unreadable",
        soft_wrap=True,
    )
    ranked = sorted(bad.items(), key=lambda item: item[1].status != "unreadable")
    lines = [f"{check.status}  {path}: {check.reason}" for path, check in ranked]
    show_first(lines, "see bad_videos.csv")
    problems = _problems(lists, checks, splits.max_bad_fraction)
    words = [override(f"data.{name}", folder / f"{name}.txt") for name in lists]
    words.append(override("data.classes", folder / "classes.txt"))
    for line in (
        *_remarks(checks, splits.square_pixels),
        *(
            f"{split.num_missing} videos listed for {name} have no file; "
            f"`{command_line('kinetics')}` names them"
            for name, split in lists.items()
            if split.num_missing
        ),
        *problems,
        f"to use the lists without them: {shlex.join(words)}",
    ):
        _CONSOLE.print(line, soft_wrap=True)
    return CheckReport(checks, problems, folder)


def _check_all(folder: Path, files: Mapping[str, str], cfg: DictConfig) -> dict[str, VideoCheck]:
    """Findings in the order of ``files``, some of them from the journal."""
    with CheckJournal(folder / "journal.jsonl") as journal:
        stamps = {path: FileStamp.of(file) for path, file in files.items()}
        found = {path: journal.recall(path, stamp) for path, stamp in stamps.items()}
        due = {path: (files[path],) for path, known in found.items() if known is None}
        num_known = len(files) - len(due)
        _CONSOLE.print(f"{len(files)} videos, {num_known} of them already checked and unchanged")
        work = partial(check_video, time_budget_seconds=cfg.time_budget_seconds)
        for path, result in work_through(work, due, "Checking", cfg):
            if not isinstance(result, VideoCheck):
                result = VideoCheck("unreadable", result.reason)
            journal.add(path, stamps[path], result)
            found[path] = result
    return {path: check for path, check in found.items() if check is not None}


def _write_table(file: Path, columns: tuple[str, ...], checks: Mapping[str, VideoCheck]) -> None:
    rows = ((path, *(getattr(c, name) for name in columns[1:])) for path, c in checks.items())
    write_table(file, columns, rows)


def _problems(
    lists: Mapping[str, Annotations], checks: Mapping[str, VideoCheck], max_bad_fraction: float
) -> tuple[str, ...]:
    problems = []
    for name, annotations in lists.items():
        unreadable = sum(checks[path].status == "unreadable" for path in annotations.paths)
        share = unreadable / len(annotations)
        if name == "train" and share > max_bad_fraction:
            problems.append(
                f"{unreadable} of {len(annotations)} training videos cannot be read, {share:.2%}, "
                f"above data.max_bad_fraction = {max_bad_fraction:.2%}: training would stop"
            )
        elif name != "train" and unreadable:
            problems.append(
                f"{unreadable} of {len(annotations)} {name} videos cannot be read: the metrics would "
                "not be those of the list"
            )
    return tuple(problems)


def _remarks(checks: Mapping[str, VideoCheck], square_pixels: bool) -> Iterable[str]:
    """Lines on unusual videos that can be read, with their number."""
    count = Counter(
        remark for check in checks.values() for remark in filter(None, check.remarks.split("; "))
    )
    if count:
        yield "unusual videos, listed in videos.csv:"
    for remark, number in count.most_common():
        yield f"  {number} x  {remark}"
    anamorphic = sum(check.sample_aspect_ratio != "1:1" for check in checks.values())
    if anamorphic:
        fate = "stay so; with data.square_pixels=true they become square, as in players"
        yield (
            f"{anamorphic} of {len(checks)} videos are anamorphic: their pixels are oblong, and "
            f"{'are made square' if square_pixels else fate}"
        )


class CheckJournal:
    """Findings by path and file stamp, appended to a file of JSON lines; cut-off lines are dropped."""

    def __init__(self, file: Path) -> None:
        self._known = dict(_lines(file))
        write_text(file, "".join(_line(path, *known) for path, known in self._known.items()))
        self._stream = file.open("a", encoding="utf-8")

    def __enter__(self) -> "CheckJournal":
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def recall(self, path: str, stamp: FileStamp | None) -> VideoCheck | None:
        """The finding for a file with this stamp; None if it must be checked.

        A file that could not be read is always tried again: it fails quickly, and the cause may have
        been the disk, permissions or a busy machine.
        """
        known, check = self._known.get(path, (None, None))
        if check is None or stamp is None or known != stamp or check.status == "unreadable":
            return None
        return check

    def add(self, path: str, stamp: FileStamp | None, check: VideoCheck) -> None:
        """Write a finding to disk, unless the file had no stamp."""
        if stamp is not None:
            self._stream.write(_line(path, stamp, check))
            self._stream.flush()


def _line(path: str, stamp: FileStamp, check: VideoCheck) -> str:
    return json.dumps([path, stamp, asdict(check)]) + "\n"


def _lines(file: Path) -> Iterator[tuple[str, tuple[FileStamp, VideoCheck]]]:
    for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else ():
        with suppress(TypeError, ValueError):
            path, stamp, check = json.loads(line)
            yield path, (FileStamp(*stamp), VideoCheck(**check))
