import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from omegaconf import DictConfig
from rich.table import Table

from gcvideo._console import Console
from gcvideo.command._output_check import check_folder
from gcvideo.data import read_classes
from gcvideo.data.listing._kinetics import (
    Coverage,
    KineticsClip,
    MatchedClip,
    listed_clips,
    match_clips,
    read_unreadable,
)
from gcvideo.data.listing._list_file import (
    check_listable,
    write_list,
    write_table,
    write_text,
)

_CONSOLE = Console()
_NUM_SHOWN = 10


def kinetics(cfg: DictConfig) -> dict[str, Coverage]:
    """Turn official Kinetics CSVs and a folder into lists, as configured by ``conf/kinetics.yaml``.

    ``output`` gets, for every split, a list of "path label" of the usable files, such as
    ``train.txt``; ``classes.txt``; ``coverage.csv`` with the numbers of clips by split and class and
    of each split in all; and ``missing.csv``, in the official columns, with the clips that no list
    holds because their file is missing or bad.

    Returns:
        The coverage of each split.

    Raises:
        FileNotFoundError: if a file or folder is missing, or no clip is found.
        ValueError: if a CSV cannot be used as it is, naming the row.
    """
    tables = [cfg.csv] if isinstance(cfg.csv, str) else list(cfg.csv)
    listed = [row for table in tables for row in listed_clips(Path(table), cfg.split)]
    named = sorted({row.clip.label for row in listed})
    classes = read_classes(cfg.classes) if cfg.classes else tuple(named)
    _check_classes(named, classes, cfg.classes)
    splits = sorted({row.split for row in listed})
    if cfg.split:
        listed = [row for row in listed if row.split == cfg.split]
    if not listed:
        raise ValueError(
            f"{', '.join(tables)} lists no clips of the split '{cfg.split or '(any)'}', only of "
            f"{', '.join(splits) or 'none'}; give another csv= or split="
        )
    folder = Path(cfg.output)
    check_folder(folder, "output")
    bad = read_unreadable(Path(cfg.bad)) if cfg.bad else ()
    matched = match_clips(listed, Path(cfg.root), bad)
    by_split = {
        name: [match for match in matched if match.listed.split == name]
        for name in dict.fromkeys(row.split for row in listed)
    }
    check_listable((match.path for match in matched if match.path), classes)
    folder.mkdir(parents=True, exist_ok=True)
    _write_lists(folder, by_split, classes)
    coverages = _class_coverages(by_split, classes)
    totals = {name: Coverage.of(clips) for name, clips in by_split.items()}
    _write_coverage(folder / "coverage.csv", coverages, totals, classes)
    lost = (match.listed.clip for match in matched if match.status != "found")
    write_table(folder / "missing.csv", KineticsClip._fields, lost)
    _show(folder, coverages, totals)
    return totals


def _check_classes(named: Sequence[str], classes: Sequence[str], source: str | None) -> None:
    known = set(classes)
    for label in named:
        if label not in known:
            close = difflib.get_close_matches(label, classes, n=3)
            hint = f"did you mean {' or '.join(close)}? " if close else ""
            raise ValueError(
                f"the class '{label}' is none of the {len(classes)} in '{source}'; {hint}give all "
                "names with classes="
            )


def _write_lists(
    folder: Path, by_split: Mapping[str, Sequence[MatchedClip]], classes: Sequence[str]
) -> None:
    label_of = {name: label for label, name in enumerate(classes)}
    for split, clips in by_split.items():
        rows = [
            (clip.path, label_of[clip.listed.clip.label])
            for clip in clips
            if clip.status == "found" and clip.path is not None
        ]
        labels = np.array([label for _, label in rows], dtype=np.int64)
        write_list(folder / f"{split}.txt", [path for path, _ in rows], labels, classes)
    write_text(folder / "classes.txt", "".join(f"{name}\n" for name in classes))


def _class_coverages(
    by_split: Mapping[str, Sequence[MatchedClip]], classes: Sequence[str]
) -> dict[tuple[str, str], Coverage]:
    """By split and class, in label order."""
    clips_of = {(split, name): [] for split in by_split for name in classes}
    for split, clips in by_split.items():
        for clip in clips:
            clips_of[split, clip.listed.clip.label].append(clip)
    return {key: Coverage.of(clips) for key, clips in clips_of.items()}


def _write_coverage(
    file: Path,
    coverages: Mapping[tuple[str, str], Coverage],
    totals: Mapping[str, Coverage],
    classes: Sequence[str],
) -> None:
    def row(split: str, label: int | str, name: str, c: Coverage) -> tuple[object, ...]:
        return split, label, name, c.listed, c.found, c.missing, c.bad

    label_of = {name: label for label, name in enumerate(classes)}
    rows = [row(split, label_of[name], name, c) for (split, name), c in coverages.items()]
    rows += [row(split, "", "(total)", total) for split, total in totals.items()]
    columns = ("split", "label", "class", "listed", "found", "missing", "bad")
    write_table(file, columns, rows)


def _show(
    folder: Path,
    coverages: Mapping[tuple[str, str], Coverage],
    totals: Mapping[str, Coverage],
) -> None:
    _CONSOLE.print(_table("split", totals))
    lacking = sorted(
        ((f"{name} ({split})", c) for (split, name), c in coverages.items() if c.fraction < 1),
        key=lambda item: item[1].fraction,
    )
    if lacking:
        _CONSOLE.print("classes with the worst coverage:")
        _CONSOLE.print(_table("class", dict(lacking[:_NUM_SHOWN])))
    if len(lacking) > _NUM_SHOWN:
        _CONSOLE.print(f"and {len(lacking) - _NUM_SHOWN} more with clips missing or bad")
    _CONSOLE.print(f"lists, coverage.csv and missing.csv in {folder}", soft_wrap=True)


def _table(title: str, coverages: Mapping[str, Coverage]) -> Table:
    table = Table(title, "listed", "found", "", "missing", "bad")
    for column in table.columns[1:]:
        column.justify = "right"
    for name, c in coverages.items():
        numbers = f"{c.listed}", f"{c.found}", f"{c.fraction:.1%}", f"{c.missing}", f"{c.bad}"
        table.add_row(name, *numbers)
    return table
