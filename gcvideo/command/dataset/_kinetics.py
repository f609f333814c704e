"""``gcvideo kinetics``: makes lists from the official Kinetics tables and a folder of files."""

import difflib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from omegaconf import DictConfig
from rich.table import Table

from gcvideo._console import Console
from gcvideo.command._output_check import check_folder
from gcvideo.command.dataset._work import write_lists
from gcvideo.data import check_listable, read_classes, write_table
from gcvideo.data.listing._kinetics import (
    KineticsClip,
    ListedClip,
    listed_clips,
    match_clips,
    read_unreadable,
)

_CONSOLE = Console()
_NUM_SHOWN = 10


def kinetics(cfg: DictConfig) -> dict[str, Counter[str]]:
    """Turn official Kinetics CSVs and a folder into lists, as configured by ``conf/kinetics.yaml``.

    ``output`` gets a list of "path label" of the usable files in each split, such as ``train.txt``;
    ``classes.txt``; ``coverage.csv`` with the number of clips by split and class, and in each split; and
    ``missing.csv``, in the official columns, with the clips whose file is missing or bad.

    Returns:
        The numbers of clips of each split that are found, missing or bad.

    Raises:
        FileNotFoundError: if a file or folder is missing, or no clip is found.
        ValueError: if a CSV cannot be used; the message names the row.
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
    check_listable((match.path for match in matched if match.path), classes)
    clips: dict[str, list[ListedClip]] = {row.split: [] for row in listed}
    counts = {(split, name): Counter[str]() for split in clips for name in classes}
    for match in matched:
        clips[match.split].append(match)
        counts[match.split, match.clip.label][match.status] += 1
    folder.mkdir(parents=True, exist_ok=True)
    label_of = {name: label for label, name in enumerate(classes)}
    lists = {}
    for split, matches in clips.items():
        found = [match for match in matches if match.status == "found" and match.path is not None]
        labels = np.array([label_of[match.clip.label] for match in found], dtype=np.int64)
        lists[split] = ([str(match.path) for match in found], labels)
    write_lists(folder, lists, classes)

    totals = {split: Counter(m.status for m in matches) for split, matches in clips.items()}
    rows = [(split, label_of[name], name, count) for (split, name), count in counts.items()]
    rows += [(split, "", "(total)", total) for split, total in totals.items()]
    write_table(
        folder / "coverage.csv",
        ("split", "label", "class", "listed", "found", "missing", "bad"),
        [(*key, c.total(), c["found"], c["missing"], c["bad"]) for *key, c in rows],
    )
    lost = (match.clip for match in matched if match.status != "found")
    write_table(folder / "missing.csv", KineticsClip._fields, lost)
    _show(counts, totals)
    _CONSOLE.print(f"lists, coverage.csv and missing.csv in {folder}", soft_wrap=True)
    return totals


def _check_classes(named: Sequence[str], classes: Sequence[str], source: str | None) -> None:
    for label in named:
        if label not in classes:
            close = difflib.get_close_matches(label, classes, n=3)
            hint = f"did you mean {' or '.join(close)}? " if close else ""
            raise ValueError(
                f"the class '{label}' is not among the {len(classes)} in '{source}'; {hint}give all "
                "names with classes="
            )


def _show(
    counts: Mapping[tuple[str, str], Counter[str]], totals: Mapping[str, Counter[str]]
) -> None:
    _CONSOLE.print(_table("split", totals))
    lacking = sorted(
        ((f"{name} ({split})", c) for (split, name), c in counts.items() if _fraction(c) < 1),
        key=lambda item: _fraction(item[1]),
    )
    if lacking:
        _CONSOLE.print("classes with the worst coverage:")
        _CONSOLE.print(_table("class", dict(lacking[:_NUM_SHOWN])))
    if len(lacking) > _NUM_SHOWN:
        _CONSOLE.print(f"and {len(lacking) - _NUM_SHOWN} more with missing or bad clips")


def _fraction(count: Counter[str]) -> float:
    return count["found"] / count.total() if count else 1.0


def _table(title: str, counts: Mapping[str, Counter[str]]) -> Table:
    table = Table(title, "listed", "found", "", "missing", "bad")
    for column in table.columns[1:]:
        column.justify = "right"
    for name, c in counts.items():
        numbers = c.total(), c["found"], f"{_fraction(c):.1%}", c["missing"], c["bad"]
        table.add_row(name, *map(str, numbers))
    return table
