import json
import os
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, cast

from hydra.utils import instantiate
from omegaconf import DictConfig
from rich.filesize import decimal

from gcvideo._console import Console
from gcvideo._hint import command, override
from gcvideo.command._output_check import make_folder
from gcvideo.command._record import write_json
from gcvideo.data import (
    Annotations,
    Reencoding,
    VideoReadError,
    VideoSplits,
    check_listable,
    parallel_map,
    reencode_video,
    write_list,
    write_table,
    write_text,
)

_CONSOLE = Console()
_SETTINGS = ("short_side", "gop_size", "crf", "preset")
_FAILURES_SHOWN = 5


def reencode(cfg: DictConfig) -> dict[str, str]:
    """Re-encode every video of the splits, as configured by ``conf/reencode.yaml``.

    ``output`` gets each video once under its relative path with the suffix ``.mp4``, the lists
    ``train.txt``, ``val.txt`` and ``test.txt`` (where it differs from val) of "path label", and
    ``classes.txt``. Videos that failed are left out of the lists and stand in ``failed.csv``. A
    target newer than its source is kept, so that an interrupted run goes on where it was.

    Returns:
        The reason by path for videos that failed.

    Raises:
        ValueError: if ``output`` is inside the folder of videos or holds videos made with other
            settings, or if two videos would get one target.
    """
    splits = cast(VideoSplits, instantiate(cfg.data, _convert_="all"))
    lists = {"train": splits.train, "val": splits.val, "test": splits.test}
    if _same(splits.test, splits.val):
        del lists["test"]
    lists = {name: annotations for name, annotations in lists.items() if len(annotations)}
    output = Path(cfg.output)
    targets = find_targets(lists.values(), output)
    settings = {name: cfg[name] for name in _SETTINGS}
    check_listable(targets.values(), splits.classes)
    _claim(output, settings)

    jobs = list(targets.items())
    made: list[Reencoding] = []
    failures: dict[str, str] = {}
    for index, result in parallel_map(
        partial(_renew, output, settings),
        jobs,
        description="Re-encoding",
        num_workers=cfg.num_workers,
    ):
        if isinstance(result, Reencoding):
            made.append(result)
        elif result is not None:
            failures[jobs[index][0]] = str(result)

    for name, annotations in lists.items():
        _write_list(output / f"{name}.txt", annotations, targets, failures)
    write_text(output / "classes.txt", "".join(f"{name}\n" for name in splits.classes))
    _write_failures(output / "failed.csv", failures)
    _show(made, len(jobs), failures)
    _CONSOLE.print(_usage(output, lists), soft_wrap=True)
    return failures


def find_targets(lists: Iterable[Annotations], output: Path) -> dict[str, str]:
    """Path below ``output`` for the absolute path of every listed video.

    A video below the root of its list keeps its relative path; any other gets its absolute path
    below the folder ``outside``.

    Raises:
        ValueError: if ``output`` is inside a root, two videos would get one target, a target is
            itself a video to read, or a path cannot stand in a list.
    """
    targets: dict[str, str] = {}
    for annotations in lists:
        root = Path(os.path.abspath(annotations.root))  # noqa: PTH100 - links stay as they are
        if output.resolve().is_relative_to(root.resolve()):
            raise ValueError(
                f"output is '{output}', inside the folder of videos '{root}': the copies would be "
                "taken for further videos; choose a folder beside it"
            )
        for video in range(len(annotations)):
            source = _absolute(annotations, video)
            if source not in targets:
                targets[source] = _target(Path(source), root)
    _check(targets, output)
    return targets


def _absolute(annotations: Annotations, video: int) -> str:
    return os.path.abspath(annotations.path(video))  # noqa: PTH100 - links stay as they are


def _target(source: Path, root: Path) -> str:
    if source.is_relative_to(root):
        target = source.relative_to(root)
    else:
        target = "outside" / source.relative_to(source.anchor)
    return target.with_suffix(".mp4").as_posix()


def _check(targets: Mapping[str, str], output: Path) -> None:
    sources: dict[str, str] = {}
    for source, target in targets.items():
        if target in sources:
            raise ValueError(
                f"'{sources[target]}' and '{source}' would both become '{target}'; rename one of "
                "them, or list only one"
            )
        sources[target] = source
        if os.path.abspath(output / target) in targets:  # noqa: PTH100
            raise ValueError(
                f"'{source}' would be written over the video '{output / target}'; choose another "
                "output"
            )
        if target != target.strip() or "\n" in target:
            raise ValueError(
                f"the path {target!r} starts with a space or has a line break, which a list of "
                '"path label" cannot hold; rename it'
            )


def _claim(output: Path, settings: dict[str, Any]) -> None:
    """Note the settings in the folder, so that it never mixes videos made with others."""
    note = output / "reencoding.json"
    if note.exists() and (before := json.loads(note.read_text(encoding="utf-8"))) != settings:
        raise ValueError(
            f"'{output}' holds videos made with {before}, not {settings}; choose another output, or "
            "delete that folder"
        )
    make_folder(output, "output")
    write_json(note, settings)


def _renew(
    output: Path, settings: dict[str, Any], job: tuple[str, str]
) -> Reencoding | VideoReadError | None:
    """None if the target is there and newer than the source."""
    source, target = Path(job[0]), output / job[1]
    if target.exists() and source.exists() and target.stat().st_mtime > source.stat().st_mtime:
        return None
    try:
        return reencode_video(source, target, **settings)
    except VideoReadError as error:
        return error


def _same(one: Annotations, other: Annotations) -> bool:
    return one is other or (
        [one.path(video) for video in range(len(one))]
        == [other.path(video) for video in range(len(other))]
        and one.labels.tolist() == other.labels.tolist()
    )


def _write_list(
    file: Path, annotations: Annotations, targets: Mapping[str, str], failures: Mapping[str, str]
) -> None:
    sources = [_absolute(annotations, video) for video in range(len(annotations))]
    kept = [video for video, source in enumerate(sources) if source not in failures]
    paths = [targets[sources[video]] for video in kept]
    write_list(file, paths, annotations.labels[kept], annotations.classes)


def _write_failures(file: Path, failures: Mapping[str, str]) -> None:
    if failures:
        write_table(file, ("path", "reason"), sorted(failures.items()))
    else:
        file.unlink(missing_ok=True)


def _show(made: list[Reencoding], num_videos: int, failures: Mapping[str, str]) -> None:
    before, after = sum(r.bytes_before for r in made), sum(r.bytes_after for r in made)
    there = num_videos - len(made) - len(failures)
    damaged = sum(r.num_damaged > 0 for r in made)
    _CONSOLE.print(
        f"  {len(made)} made ({decimal(before)} -> {decimal(after)}), {there} already there, "
        f"{len(failures)} failed, {damaged} made without their broken packets",
        soft_wrap=True,
    )
    for path, reason in sorted(failures.items())[:_FAILURES_SHOWN]:
        _CONSOLE.print(f"  {path}: {reason}", soft_wrap=True)
    if len(failures) > _FAILURES_SHOWN:
        _CONSOLE.print(f"  and {len(failures) - _FAILURES_SHOWN} more, see failed.csv")


def _usage(output: Path, lists: Mapping[str, Annotations]) -> str:
    words = ["data=folder", override("data.root", output)]
    words += [f"data.{name}={name}.txt" for name in lists]
    return f"  use: {command(*words, 'data.classes=classes.txt')}"
