"""``gcvideo check``: decodes every video of a data set from end to end."""

import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from omegaconf import DictConfig

from gcvideo._console import Console
from gcvideo._hint import override
from gcvideo._invocation import command_line
from gcvideo.command._shard import Shard, find_shard, present_parts
from gcvideo.command.dataset._histogram import Histogram, draw_histograms
from gcvideo.command.dataset._journal import Findings, Journal
from gcvideo.command.dataset._part import delete_parts, of_part, part_file, say_joined, say_part
from gcvideo.command.dataset._sole_work import sole_work
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
    VideoSplits,
    check_listable,
    check_video,
    write_table,
)
from gcvideo.data._parallel import tell_progress
from gcvideo.data.video._frame_index import FileStamp

_CONSOLE = Console()
_JOURNAL = "journal.jsonl"
_COLUMNS = (
    *("path", "status", "reason", "num_frames", "num_promised", "damaged_packets"),
    *("corrupt_frames", "fps", "width", "height", "duration_seconds"),
    *("sample_aspect_ratio", "remarks"),
)


@dataclass(frozen=True)
class CheckReport:
    """Findings by listed path, reasons why a training or test would stop, and the folder of the tables.

    A part has no such reasons, because they depend on all videos.
    """

    checks: Mapping[str, VideoCheck]
    problems: tuple[str, ...]
    folder: Path


def check(cfg: DictConfig) -> CheckReport:
    """Decode every video of the splits from end to end, as configured by ``conf/check.yaml``.

    The output folder gets ``videos.csv``, ``bad_videos.csv``, ``histograms.png``, ``classes.txt`` and
    lists of "path label" without unreadable videos: ``train.txt``, ``val.txt``, and ``test.txt`` if it
    differs from val. ``journal.jsonl`` gets each finding as it comes. The next check decodes only videos
    that have changed or could not be read.

    With ``shard``, only the findings of that part of the videos are written, into a journal of its own.
    Without it, those of all parts are joined, and their journals deleted.

    Raises:
        ValueError: if the folder contains the check of another root, a path cannot be listed, another
            process works on the same part or on everything, or there is another number of parts.
    """
    shard = find_shard(cfg.shard)
    splits, lists = configured_splits(cfg)
    files = listed_files(lists)
    check_listable(files, splits.classes)
    root = Path(splits.val.root).resolve()
    folder = Path(cfg.output_dir) if cfg.output_dir else Path("checks") / (root.name or "root")
    claim_folder(folder, "output_dir", "check.json", {"root": str(root)})
    with sole_work(folder, "output_dir", shard):
        if shard is not None:
            return CheckReport(_check_part(folder, files, shard, cfg), (), folder)
        checks, parts = _check_all(folder, files, cfg)
        problems = _write_findings(folder, splits, lists, checks, cfg)
        delete_parts(parts)
    return CheckReport(checks, problems, folder)


def _check_part(
    folder: Path, files: Mapping[str, str], shard: Shard, cfg: DictConfig
) -> dict[str, VideoCheck]:
    """Findings of a part, in its journal."""
    files = of_part(files, shard)
    whole = Findings(folder / _JOURNAL, VideoCheck)
    with Journal(part_file(folder / _JOURNAL, shard), VideoCheck) as journal:
        stamps = {path: FileStamp.of(file) for path, file in files.items()}
        checks = _check_rest(files, stamps, [whole, journal], {}, journal, cfg)
    failed = [path for path, check in checks.items() if check.status == "unreadable"]
    say_part(shard, len(checks), failed)
    return checks


def _check_all(
    folder: Path, files: Mapping[str, str], cfg: DictConfig
) -> tuple[dict[str, VideoCheck], list[Path]]:
    """Findings in the order of ``files``, and the journals of parts that have been joined."""
    parts = list(present_parts(folder / _JOURNAL).values())
    with Journal(folder / _JOURNAL, VideoCheck) as journal:
        stamps = {path: FileStamp.of(file) for path, file in files.items()}
        from_parts: dict[str, VideoCheck] = {}
        for part in parts:
            from_parts |= Findings(part, VideoCheck).current(stamps)
        taken = {
            path: from_parts[path]
            for path in files
            if path in from_parts and _recall([journal], path, stamps[path]) is None
        }
        for path, check in taken.items():
            journal.add(path, stamps[path], check)
        return _check_rest(files, stamps, [journal], taken, journal, cfg, len(parts)), parts


def _check_rest(
    files: Mapping[str, str],
    stamps: Mapping[str, FileStamp | None],
    known: Sequence[Findings[VideoCheck]],
    taken: Mapping[str, VideoCheck],
    journal: Journal[VideoCheck],
    cfg: DictConfig,
    num_parts: int = 0,
) -> dict[str, VideoCheck]:
    """Findings in the order of ``files``: taken from parts, known already, or new."""
    found = {path: taken.get(path) or _recall(known, path, stamps[path]) for path in files}
    due = {path: (files[path],) for path, check in found.items() if check is None}
    num_known = len(files) - len(due) - len(taken)
    _CONSOLE.print(f"{len(files)} videos, {num_known} of them already checked and unchanged")
    say_joined(num_parts, len(taken), len(due))
    work = partial(check_video, progress=tell_progress)
    for path, result in work_through(work, due, "Checking", cfg):
        if not isinstance(result, VideoCheck):
            result = VideoCheck("unreadable", result.reason)
        journal.add(path, stamps[path], result)
        found[path] = result
    return {path: check for path, check in found.items() if check is not None}


def _recall(
    known: Sequence[Findings[VideoCheck]], path: str, stamp: FileStamp | None
) -> VideoCheck | None:
    """The finding of an earlier check; None if the video must be checked.

    A file that could not be read is always tried again: it fails quickly, and the cause may have been the
    disk, permissions or a busy machine.
    """
    checks = (findings.recall(path, stamp) for findings in known)
    return next((c for c in checks if c is not None and c.status != "unreadable"), None)


def _write_findings(
    folder: Path,
    splits: VideoSplits,
    lists: Mapping[str, Annotations],
    checks: Mapping[str, VideoCheck],
    cfg: DictConfig,
) -> tuple[str, ...]:
    """Write tables, lists and histograms, and print what matters; returns why a training or test would stop."""
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
    return problems


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
